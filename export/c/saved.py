"""The C functions that write a state as bytes and read it again; the layout is that of `runtime.streams.raw_state`."""

from __future__ import annotations

from ...runtime.format.manifest import Manifest
from ...runtime.format.tensor_specs import EVERY_STEP
from ...runtime.interpreters.step_plan.plan import StepPlan
from .printer import indented


def save_and_load(manifest: Manifest, plan: StepPlan, name: str) -> list[str]:
    """Return the lines of the functions that write a state as bytes and read it again."""
    n, begin = name, 8
    mark = bytes.fromhex(manifest.fingerprint)[:8]
    save = [f"for (int i = 0; i < 8; i++) bytes[i] = {n}_mark[i];"]
    load = [
        "uint32_t bits;",
        "float value;",
        f"for (int i = 0; i < 8; i++) if (bytes[i] != {n}_mark[i]) return -3;",
        f"for (int i = 0; i < {sum(each.before.size for each in plan.state)}; i++) {{",
        f"    bits = {n}_get(bytes + 8 + 4 * i);",
        "    memcpy(&value, &bits, sizeof value);",
        "    if (!(value * 0.0f == 0.0f)) return -2;",
        "}",
    ]
    for each in plan.state:
        field, size = each.tensor.name, each.before.size
        save += [
            f"for (int i = 0; i < {size}; i++) {{",
            "    uint32_t bits;",
            f"    memcpy(&bits, &state->{field}[i], sizeof bits);",
            f"    {n}_put(bytes + {begin} + 4 * i, bits);",
            "}",
        ]
        load += [
            f"for (int i = 0; i < {size}; i++) {{",
            f"    bits = {n}_get(bytes + {begin} + 4 * i);",
            f"    memcpy(&state->{field}[i], &bits, sizeof bits);",
            "}",
        ]
        begin += 4 * size
    if manifest.answers != EVERY_STEP:
        save.append(f"{n}_put(bytes + {begin}, state->steps);")
        load.append(f"state->steps = {n}_get(bytes + {begin});")
    return [
        f"static const uint8_t {n}_mark[8] = {{{', '.join(map(str, mark))}}};",
        f"static void {n}_put(uint8_t *bytes, uint32_t bits)",
        "{",
        "    for (int k = 0; k < 4; k++) bytes[k] = (uint8_t)(bits >> (8 * k));",
        "}",
        f"static uint32_t {n}_get(const uint8_t *bytes)",
        "{",
        "    uint32_t bits = 0;",
        "    for (int k = 0; k < 4; k++) bits |= (uint32_t)bytes[k] << (8 * k);",
        "    return bits;",
        "}",
        f"void {n}_save(const {n}_state *state, uint8_t *bytes)",
        "{",
        *indented(save),
        "}",
        f"int {n}_load({n}_state *state, const uint8_t *bytes)",
        "{",
        *indented([*load, "return 0;"]),
        "}",
    ]
