"""A C program around printed functions that steps what it reads from stdin and writes all results to stdout.

Protocol, in the byte order of the machine. A request is an int32 of flags, then, for each flag in this order: `STATE`:
the state, float32; `STEP`: the symbol as int32 if the model reads one, and each feature; `TIME`: an int32 N. The answer
to a step is an int32, its return code; then with `OUTPUTS` all outputs, with `STATES` all states, float32. `TIME`
repeats the last step N times, leaves the state as it was, and answers with the seconds of processor time, a double.
"""

from __future__ import annotations

from ...runtime.format.manifest import Manifest
from .selftest import reset_call
from .source import CSource

STATE, STEP, OUTPUTS, STATES, TIME = 1, 2, 4, 8, 16


def driver_source(source: CSource, manifest: Manifest) -> str:
    """Return the C program for `source`, whose functions it includes."""
    n, plan = source.name, source.plan
    features = {feature.name: feature for feature in manifest.features}
    arguments = ["&state", "&work", *(["symbol"] if plan.symbol else [])]
    declared, read = [], []
    for number, (name, view) in enumerate(plan.features.items()):
        kind = "float" if features[name].ids is None else "int32_t"
        declared.append(f"static {kind} feature{number}[{view.size}];")
        read.append(f"get(feature{number}, sizeof feature{number});")
        arguments.append(f"feature{number}")
    size = 4 * sum(each.before.size for each in plan.state)
    outputs = [f"output{number}" for number in range(len(plan.outputs))]
    declared += [f"static float {o}[{view.size}];" for o, view in zip(outputs, plan.outputs.values(), strict=True)]
    call = f"{n}_step({', '.join([*arguments, *outputs])})"
    lines = [
        f'#include "{n}.c"',
        "#include <stdio.h>",
        "#include <stdlib.h>",
        "#include <time.h>",
        f"static {n}_state state, kept;",
        f"static {n}_work work;",
        *declared,
        "static void get(void *to, size_t size) { if (fread(to, size, 1, stdin) != 1) exit(3); }",
        "static void put(const void *from, size_t size) { if (fwrite(from, size, 1, stdout) != 1) exit(4); }",
        "int main(void)",
        "{",
        "    int32_t flags, code, times;",
        *(["    int32_t symbol = 0;"] if plan.symbol else []),
        f"    {reset_call(plan, n, f'{n}_zeros')};",
        "    while (fread(&flags, sizeof flags, 1, stdin) == 1) {",
        f"        if (flags & {STATE}) get(&state, {size});",
        f"        if (flags & {STEP}) {{",
        *(["            get(&symbol, sizeof symbol);"] if plan.symbol else []),
        *(f"            {line}" for line in read),
        f"            code = {call};",
        "            put(&code, sizeof code);",
        *(f"            if (flags & {OUTPUTS}) put({output}, sizeof {output});" for output in outputs),
        f"            if (flags & {STATES}) put(&state, {size});",
        "        }",
        f"        if (flags & {TIME}) {{",
        "            clock_t began;",
        "            double seconds;",
        "            get(&times, sizeof times);",
        "            kept = state;",
        "            began = clock();",
        f"            for (int t = 0; t < times; t++) if ({call} < 0) return 5;",
        "            seconds = (double)(clock() - began) / CLOCKS_PER_SEC;",
        "            state = kept;",
        "            put(&seconds, sizeof seconds);",
        "        }",
        "    }",
        "    return 0;",
        "}",
        "",
    ]
    return "\n".join(lines)
