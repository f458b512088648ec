"""A JavaScript module from a model file: one step with explicit state, without dependencies."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import NotSteppableError
from ...runtime.format.manifest import Manifest
from ...runtime.format.model_file import ModelFile
from ...runtime.format.tensor_specs import EVERY_STEP
from ...runtime.interpreters.numpy_engine import CalculationError
from ...runtime.interpreters.step_plan.plan import StepPlan, plan_step
from ...runtime.interpreters.step_plan.views import View, joined_dimensions
from ..c.language import Language
from ..c.names import argument_names
from ..c.printer import Printer, indented

_ARRAYS = {
    "float32": "Float32Array", "int8": "Int8Array", "int32": "Int32Array", "int64": "Int32Array", "bool": "Uint8Array",
    "uint8": "Uint8Array",
}  # fmt: skip
_WORK = {"float32": "f", "int32": "i", "int64": "l", "bool": "b"}
_CASTS = {"float32": "{}", "bool": "Number({})"}
_WORDS = ("state", "symbol", "features", "check", "Infinity", "Math", "id")


def _literal(value: Any, dtype: str) -> str:
    text = repr(float(value)) if dtype == "float32" else str(int(value))
    return f"({text})" if text.startswith("-") else text


JAVASCRIPT = Language(
    functions={
        "abs": "Math.abs({})", "add": "{} + {}", "divide": "{} / {}", "erf": "erf({})", "exp": "Math.exp({})",
        "log": "Math.log({})", "logistic": "1 / (1 + Math.exp(-({})))", "maximum": "Math.max({}, {})",
        "minimum": "Math.min({}, {})", "multiply": "{} * {}", "negative": "-({})", "power": "Math.pow({}, {})",
        "reciprocal": "1 / {}", "select": "({} ? {} : {})", "sqrt": "Math.sqrt({})", "square": "{0} * {0}",
        "subtract": "{} - {}", "tanh": "Math.tanh({})",
    },
    index="let",
    number="let",
    constant=lambda dtype: "const",
    cast=lambda dtype, text: _CASTS.get(dtype, "Math.trunc({})").format(text),
    literal=_literal,
    infinity="Infinity",
    state="state.{}",
    work="{}",
    address=lambda base, begin: f"{base}, {begin}",
    nowhere="null, 0",
    row="const {name} = {base}.subarray({id} * {width}, ({id} + 1) * {width});",
    columns=4,
    check="check += {} * 0.0;",
)  # fmt: skip
_NUMBERS = """\
function numbers(kind, text) {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    return new kind(bytes.buffer);
}
"""
_COPY = """\
export function copyState(state) {
    return Object.fromEntries(Object.entries(state).map(([key, value]) => [key, value.slice ? value.slice() : value]));
}
"""
_ABOUT_STEP = """\
// Move `state` by one step. `symbol` is an id, `features` an object of arrays by name. Returns the outputs by name, a
// Float32Array each; null at a step that has no answer. If it throws a RangeError, the state has not moved."""
_SELFTEST = """\
// Replay the golden sequence of the model file; returns the largest difference of an output.
export function selftest() {
    let worst = 0;
    const compare = (found, right) => { worst = Math.max(worst, Math.abs(found - right)); };
    for (const run of golden.runs) {
        const still = Object.fromEntries(Object.entries(statics).map(([key, size]) => [key, new Float32Array(size)]));
        const state = initialState(still), {steps, ...tensors} = state;
        let place = 0;
        if (run.start === "ramp") {
            for (const tensor of Object.values(tensors)) {
                for (let i = 0; i < tensor.length; i++, place++) tensor[i] = (37 * place + 11) % 101 / 101 - 0.5;
            }
        }
        for (let t = 0; t < run.right.length; t++) {
            const given = Object.fromEntries(Object.entries(run.features).map(([key, rows]) => [key, rows[t]]));
            const symbol = symbols.length ? [run.ids[t]] : [];
            const found = step(state, ...symbol, given);
            if (found === null) continue;
            golden.outputs.forEach((at, i) => compare(found[outputs[0]][at], run.right[t][i]));
            for (const [key, rows] of Object.entries(run.others)) rows[t].forEach((x, i) => compare(found[key][i], x));
        }
    }
    return worst;
}
"""
# Functions of the module that steps call. Products read the weights in blocks of 4 columns.
_KERNELS = {
    "product": """\
function NAME_product(x, xAt, m, w, wAt, start, startAt, y, yAt, n) {
    for (let j = 0; j < n; j += 4) {
        let a = 0, b = 0, c = 0, d = 0;
        for (let i = 0; i < m; i++, wAt += 4) {
            const v = x[xAt + i];
            a += v * w[wAt];
            b += v * w[wAt + 1];
            c += v * w[wAt + 2];
            d += v * w[wAt + 3];
        }
        const sums = n - j;
        y[yAt + j] = start ? a + start[startAt + j] : a;
        if (sums > 1) y[yAt + j + 1] = start ? b + start[startAt + j + 1] : b;
        if (sums > 2) y[yAt + j + 2] = start ? c + start[startAt + j + 2] : c;
        if (sums > 3) y[yAt + j + 3] = start ? d + start[startAt + j + 3] : d;
    }
}
""",
    "softmax": """\
function NAME_softmax(x, xAt, y, yAt, n) {
    let largest = -Infinity, sum = 0;
    for (let i = 0; i < n; i++) largest = Math.max(largest, x[xAt + i]);
    for (let i = 0; i < n; i++) sum += y[yAt + i] = Math.exp(x[xAt + i] - largest);
    for (let i = 0; i < n; i++) y[yAt + i] /= sum;
}
""",
}
_ERF = """\
// Its Maclaurin series, and a continued fraction beyond 3: as exact as float32.
function erf(x) {
    const z = Math.abs(x);
    if (z > 6) return Math.sign(x);
    if (z < 3) {
        let term = z, sum = z;
        for (let n = 1; n < 60; n++) {
            term *= -z * z / n;
            sum += term / (2 * n + 1);
        }
        return Math.sign(x) * sum * 2 / Math.sqrt(Math.PI);
    }
    let fraction = 0;
    for (let n = 40; n > 0; n--) fraction = n / 2 / (z + fraction);
    return Math.sign(x) * (1 - Math.exp(-z * z) / (z + fraction) / Math.sqrt(Math.PI));
}
"""


def javascript_module(file: ModelFile) -> str:
    """Return the text of a module that steps `file`, with its weights in it.

    Raises:
        NotSteppableError: There is no JavaScript for something in the file; all of it is named.
    """
    manifest, problems = file.manifest, []
    if manifest.sequence:
        problems.append("it is a graph of whole sequences; take the file of a step")
    if manifest.golden is None:
        problems.append("it has no golden sequence")
    try:
        plan = plan_step(file) if not problems else None
    except CalculationError as error:
        problems.append(str(error))
    if problems or plan is None:
        raise NotSteppableError(
            f"{file.name} cannot be written as JavaScript: {'; '.join(problems)}. Nothing was written."
        )
    return "\n".join(_lines(manifest, plan)) + "\n"


def _lines(manifest: Manifest, plan: StepPlan) -> Iterator[str]:
    named = argument_names([*plan.features, *plan.outputs])
    arguments = {name: f"{argument}_" if argument in _WORDS else argument for name, argument in named.items()}
    printer = Printer(plan, "m", arguments, JAVASCRIPT)
    body = printer.lines()
    yield f"// One step of a recurrent model with explicit state. Written by {manifest.producer or 'stepcell'}."
    yield ""
    yield from _facts(manifest, plan)
    yield _NUMBERS
    for constant, content in printer.constants.items():
        yield f"const {constant} = {_numbers(content)};"
    for dtype, size in plan.scratch.items():
        yield f"const {_WORK[dtype]} = new {_ARRAYS[dtype]}({size}); // scratch memory"
    yield ""
    for kernel in sorted(printer.kernels & _KERNELS.keys()):
        yield _KERNELS[kernel].replace("NAME_", "m_")
    if any("erf(" in line for line in body):
        yield _ERF
    yield from _initial_state(plan)
    yield _COPY
    yield _ABOUT_STEP
    given = ["state", *(["symbol"] if plan.symbol else []), "features"]
    yield f"export function step({', '.join(given)}) {{"
    yield from indented([*_checks(manifest, plan, arguments), *body, *_moves(manifest, plan, printer, arguments)])
    yield "}"
    yield ""
    yield f"const golden = {script_json(_golden(manifest))};"
    yield _SELFTEST


def _facts(manifest: Manifest, plan: StepPlan) -> Iterator[str]:
    """Return the lines that export the facts of the manifest."""
    features = {each.name: {"size": int(np.prod(each.shape)), "ids": each.ids} for each in manifest.features}
    facts: dict[str, tuple[Any, str]] = {
        "name": (manifest.name, ""),
        "fingerprint": (manifest.fingerprint, "sha256 of the graph"),
        "symbols": (list(manifest.vocabulary.symbols), "the position of a symbol is its id"),
        "unknown": (manifest.vocabulary.unknown, "the symbol for all others"),
        "features": (features, "size of each feature, and the number of ids if it is an id"),
        "statics": (
            {each.tensor.name: each.before.size for each in plan.static},
            "inputs of a stream, and their sizes",
        ),
        "outputs": (list(plan.outputs), "the main one first"),
        "labels": (list(manifest.output_symbols), "of the main output; none: its numbers are values"),
        "answers": (vars(manifest.answers), "the steps that answer, counted from 1"),
        "tolerance": (manifest.golden.tolerance if manifest.golden else 0, "the largest difference of the self-test"),
    }
    for name, (value, about) in facts.items():
        yield f"export const {name} = {script_json(value)};{f' // {about}' if about else ''}"
    yield ""


def _initial_state(plan: StepPlan) -> Iterator[str]:
    yield "// The state before the first step: arrays by name, and `steps`, the steps since then."
    if plan.static:
        yield "// `given` is an object of arrays: the static inputs by name."
    yield f"export function initialState({'given' if plan.static else ''}) {{"
    for each in plan.static:
        name, size = script_json(each.tensor.name), each.before.size
        wrong = script_json(f"the static input {each.tensor.name} is not {size} numbers")
        yield f"    const {each.tensor.name} = Float32Array.from(given?.[{name}] ?? []);"
        good = f"{each.tensor.name}.length === {size} && {each.tensor.name}.every(Number.isFinite)"
        yield f"    if (!({good})) throw new RangeError({wrong});"
    yield "    return {"
    for each in plan.state:
        if each.tensor.given:
            yield f"        {each.tensor.name},"
            continue
        start = each.tensor.initial_value().reshape(-1)
        same = f"new Float32Array({start.size})" + (f".fill({_literal(start[0], 'float32')})" if start[0] else "")
        yield f"        {each.tensor.name}: {same if (start == start[0]).all() else _numbers(start)},"
    yield "        steps: 0,"
    yield "    };"
    yield "}"
    yield ""


def _checks(manifest: Manifest, plan: StepPlan, arguments: Mapping[str, str]) -> Iterator[str]:
    """Return the lines that refuse inputs and make the outputs."""
    if plan.symbol:
        yield (
            f"if (!(Number.isInteger(symbol) && symbol >= 0 && symbol < {len(manifest.vocabulary)})) "
            "throw new RangeError(`${symbol} is not the id of a symbol`);"
        )
    for feature in manifest.features:
        name, size = arguments[feature.name], plan.features[feature.name].size
        good = "Number.isFinite(v)" if feature.ids is None else f"Number.isInteger(v) && v >= 0 && v < {feature.ids}"
        wrong = script_json(f"the feature {feature.name} is not {size} numbers that the model reads")
        yield f"const {name} = Array.from(features[{script_json(feature.name)}] ?? []);"
        yield f"if ({name}.length !== {size} || !{name}.every((v) => {good})) throw new RangeError({wrong});"
    for name, view in plan.outputs.items():
        yield f"const {arguments[name]} = new Float32Array({view.size});"
    yield "let check = 0; // what is not finite makes it NaN"


def _moves(manifest: Manifest, plan: StepPlan, printer: Printer, arguments: Mapping[str, str]) -> Iterator[str]:
    """Return the lines that check all numbers, move the state, and return the outputs."""

    def check(view: View) -> list[str]:
        return JAVASCRIPT.nest(view.shape, lambda at: [f"check += {printer.element(view, at)} * 0;"])

    def move(after: View, before: View) -> list[str]:
        return JAVASCRIPT.nest(
            before.shape, lambda at: [f"{printer.element(before, at)} = {printer.element(after, at)};"]
        )

    rest = [state.after for state in plan.state if id(state) not in printer.checked]
    for view in [*plan.outputs.values(), *rest]:
        yield from check(*joined_dimensions([view]))
    yield 'if (check !== 0) throw new RangeError("a number is not finite");'
    for each in plan.state:
        yield from move(*joined_dimensions([each.after, each.before]))
    yield "state.steps += 1;"
    first, every = manifest.answers.first, manifest.answers.every
    if manifest.answers != EVERY_STEP:
        yield f"if (state.steps < {first} || (state.steps - {first}) % {every}) return null;"
    yield f"return {{{', '.join(f'{script_json(name)}: {arguments[name]}' for name in plan.outputs)}}};"


def _golden(manifest: Manifest) -> dict[str, Any]:
    golden = manifest.golden
    assert golden is not None, "a file without one is refused"
    runs = [
        {
            "start": run.start,
            "ids": run.ids,
            "right": run.probabilities,
            "features": dict(run.features),
            "others": dict(run.extra_outputs),
        }
        for run in golden.runs
    ]
    return {"outputs": golden.outputs, "runs": runs}


def script_json(value: Any) -> str:
    """Return a value as JSON that may stand in the script of a page: plain ASCII, and nothing that ends the script."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _numbers(content: AnyArray) -> str:
    """Return the expression that makes an array with `content`, little-endian."""
    dtype = content.dtype.name
    plain = content.astype(np.int32) if dtype == "int64" else content
    little = np.ascontiguousarray(plain.astype(plain.dtype.newbyteorder("<")))
    return f'numbers({_ARRAYS[dtype]}, "{b64encode(little.tobytes()).decode()}")'
