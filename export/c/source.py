"""The C source of a model file: a header and functions, which know nothing but the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.common.errors import NotSteppableError
from ...runtime.format.manifest import GoldenRun, Manifest
from ...runtime.format.model_file import ModelFile
from ...runtime.format.tensor_specs import EVERY_STEP
from ...runtime.interpreters.numpy_engine import CalculationError
from ...runtime.interpreters.step_plan.plan import StepPlan, plan_step
from ...runtime.interpreters.step_plan.views import View, joined_dimensions
from .kernels import kernels_text
from .names import argument_names, array, check_name, number, string
from .printer import Printer, nest

_SCRATCH = {"float32": ("float", "f"), "int32": ("int32_t", "i"), "int64": ("int64_t", "l"), "bool": ("uint8_t", "b")}


@dataclass(frozen=True)
class CSource:
    """A model as C.

    Attributes:
        name: What the names of its functions begin with.
        header: The content of NAME.h.
        body: The content of NAME.c, which includes NAME.h.
        plan: The step that it is made of.
    """

    name: str
    header: str
    body: str
    plan: StepPlan

    @property
    def single_header(self) -> str:
        """Header and functions in one file, for one source file to include."""
        include = f'#include "{self.name}.h"\n'
        assert include in self.body
        guard = f"#ifndef {self.name}_FUNCTIONS\n#define {self.name}_FUNCTIONS\n"
        return f"{self.header}\n{guard}{self.body.replace(include, '')}#endif\n"


def c_source(file: ModelFile, name: str) -> CSource:
    """Return the C source of a step of `file`, whose functions are called `name`_step and so on.

    Raises:
        NotSteppableError: There is no C for something in the file; all of it is named.
        OptionError: `name` is no identifier.
    """
    check_name(name)
    _require_printable(file)
    try:
        plan = plan_step(file)
    except CalculationError as error:
        raise NotSteppableError(f"{file.name} cannot be written as C: {error}. Nothing was written.") from error
    writer = _Writer(file.manifest, plan, name)
    return CSource(name, writer.header(), writer.body(), plan)


def _require_printable(file: ModelFile) -> None:
    manifest, problems = file.manifest, []
    if manifest.sequence:
        problems.append("it is a graph of whole sequences; take the file of a step")
    if manifest.answers != EVERY_STEP:
        problems.append("it does not answer at each step")
    if any(tensor.given for tensor in manifest.state):
        problems.append("it has static inputs")
    if problems:
        raise NotSteppableError(f"{file.name} cannot be written as C: {'; '.join(problems)}. Nothing was written.")


class _Writer:
    """Writes header and functions of one model."""

    def __init__(self, manifest: Manifest, plan: StepPlan, name: str) -> None:
        self.manifest, self.plan, self.name = manifest, plan, name
        self.arguments = argument_names([*plan.features, *plan.outputs])
        self.features = {feature.name: feature for feature in manifest.features}

    def header(self) -> str:
        n, manifest, plan = self.name, self.manifest, self.plan
        main, *others = plan.outputs.items()
        sizes = [f"#define {n}_OUTPUTS {main[1].size} /* numbers in {self.arguments[main[0]]} */"]
        sizes += [f"#define {n}_OUTPUTS_{self.arguments[name]} {view.size}" for name, view in others]
        sizes += [f"#define {n}_FEATURES_{self.arguments[name]} {view.size}" for name, view in plan.features.items()]
        symbols = [
            f"#define {n}_SYMBOLS {len(manifest.vocabulary)}",
            f"extern const char *const {n}_symbols[{n}_SYMBOLS]; /* UTF-8; the position of a symbol is its id */",
        ]
        labels = [f"extern const char *const {n}_labels[{n}_OUTPUTS]; /* of the output */"]
        state = [
            f"    float {each.tensor.name}[{each.before.size}]; /* {' x '.join(map(str, each.tensor.shape))} */"
            for each in plan.state
        ]
        work = [
            f"    {_SCRATCH[dtype][0]} {_SCRATCH[dtype][1]}[{size}];" for dtype, size in sorted(plan.scratch.items())
        ]
        return "\n".join(
            [
                f"/* {_comment(manifest.name)}: one step of a recurrent model with explicit state.",
                f"   Written by {_comment(manifest.producer or 'stepcell')}.",
                "",
                f"       {n}_state state;   the state of one stream: keep it",
                f"       {n}_work work;     scratch memory, shared by all streams of one thread",
                f"       {n}_reset(&state);",
                f"       {n}_step(&state, &work, {self._call_example()});",
                "*/",
                f"#ifndef {n}_HEADER",
                f"#define {n}_HEADER",
                "",
                "#include <stdint.h>",
                "",
                "#ifdef __cplusplus",
                'extern "C" {',
                "#endif",
                "",
                f"#define {n}_FINGERPRINT {string(manifest.fingerprint)} /* sha256 of the graph */",
                *sizes,
                *(symbols if plan.symbol else []),
                *(labels if self._labels() else []),
                "",
                "typedef struct {",
                *state,
                f"}} {n}_state;",
                "",
                "typedef struct {",
                *(work or ["    float unused;"]),
                f"}} {n}_work;",
                "",
                "/* Set the state to that before the first step. */",
                f"void {n}_reset({n}_state *state);",
                "",
                "/* Step once: read the input, move the state, write the output.",
                "   Returns 0; -1 if an id is out of range; -2 if a number is not finite.",
                "   If it is not 0 the state has not moved, and the output means nothing. */",
                f"int {n}_step({self._parameters()});",
                "",
                "/* Replay the golden sequence of the model file. Returns the largest difference of an output. */",
                f"float {n}_selftest(void);",
                "",
                "#ifdef __cplusplus",
                "}",
                "#endif",
                "",
                "#endif",
                "",
            ]
        )

    def body(self) -> str:
        n = self.name
        printer = Printer(self.plan, n, self.arguments)
        lines = printer.lines()
        commits, check = self._commit(printer)
        step = [
            f"int {n}_step({self._parameters()})",
            "{",
            "    float check = 0.0f; /* what is not finite makes it NaN */",
            *_indented([*self._checks(), *lines, *check, *commits, "return 0;"]),
            "}",
        ]
        reset = self._reset()
        constants = [array(name, content) for name, content in printer.constants.items()]
        parts = [
            f'#include "{n}.h"',
            "\n#include <math.h>\n#include <stddef.h>\n#include <string.h>\n",
            kernels_text(printer.kernels, n),
            *constants,
            "",
            *self._names(),
            *reset,
            "",
            *step,
            "",
            *self._selftest(),
            "",
            *self._main(),
        ]
        return "\n".join(parts) + "\n"

    def _parameters(self) -> str:
        n = self.name
        features = [f"const {self._feature_type(name)} *{self.arguments[name]}" for name in self.plan.features]
        outputs = [f"float *{self.arguments[name]}" for name in self.plan.outputs]
        symbol = ["int32_t symbol"] if self.plan.symbol else []
        return ", ".join([f"{n}_state *state", f"{n}_work *work", *symbol, *features, *outputs])

    def _call_example(self) -> str:
        symbol = ["3"] if self.plan.symbol else []
        return ", ".join([*symbol, *(self.arguments[name] for name in (*self.plan.features, *self.plan.outputs))])

    def _feature_type(self, name: str) -> str:
        return "float" if self.features[name].ids is None else "int32_t"

    def _labels(self) -> Sequence[str]:
        labels = self.manifest.labels
        main = next(iter(self.plan.outputs.values()))
        symbols = () if labels is None or self.manifest.output == "linear" else labels.symbols
        return symbols if len(symbols) == main.size else ()

    def _names(self) -> list[str]:
        n, found = self.name, []
        tables = {"symbols": self.manifest.vocabulary.symbols if self.plan.symbol else (), "labels": self._labels()}
        for kind, symbols in tables.items():
            if symbols:
                listed = ",\n    ".join(map(string, symbols))
                found += [f"const char *const {n}_{kind}[{len(symbols)}] = {{\n    {listed}\n}};", ""]
        return found

    def _checks(self) -> list[str]:
        """Return the lines that refuse inputs; nothing has moved then."""
        found = ["(void)work;"] if not self.plan.scratch else []
        if self.plan.symbol:
            found.append(f"if (symbol < 0 || symbol >= {len(self.manifest.vocabulary)}) return -1;")
        for name, view in self.plan.features.items():
            argument, ids = self.arguments[name], self.features[name].ids
            if ids is not None:
                found.append(f"if ({argument}[0] < 0 || {argument}[0] >= {ids}) return -1;")
            else:
                found += [
                    f"for (int i = 0; i < {view.size}; i++) {{",
                    f"    if (!({argument}[i] * 0.0f == 0.0f)) return -2;",
                    "}",
                ]
        return found

    def _commit(self, printer: Printer) -> tuple[list[str], list[str]]:
        """Return the lines that move the state, and before them those that refuse numbers that are not finite."""
        check: list[str] = []
        rest = [state.after for state in self.plan.state if id(state) not in printer.checked]
        checked = [*self.plan.outputs.values(), *rest]
        for view in _neighbours_joined(checked):
            (joined,) = joined_dimensions([view])
            check += nest(joined.shape, lambda at, v=joined: [f"check += {printer.element(v, at)} * 0.0f;"])  # type: ignore[misc]
        check.append("if (!(check == 0.0f)) return -2;")
        commits = []
        for each in self.plan.state:
            after, before = joined_dimensions([each.after, each.before])
            commits += nest(
                before.shape,
                lambda at, a=after, b=before: [f"{printer.element(b, at)} = {printer.element(a, at)};"],  # type: ignore[misc]
            )
        return commits, check

    def _reset(self) -> list[str]:
        n, lines, constants = self.name, [], []
        for each in self.plan.state:
            start = each.tensor.initial_value().reshape(-1)
            value = number(start[0])
            if (start != start[0]).any():
                constants.append(array(f"{n}_start_{each.tensor.name}", start))
                value = f"{n}_start_{each.tensor.name}[i]"
            lines.append(f"for (int i = 0; i < {start.size}; i++) state->{each.tensor.name}[i] = {value};")
        return [*constants, f"void {n}_reset({n}_state *state)", "{", *_indented(lines), "}"]

    def _selftest(self) -> list[str]:
        n, golden = self.name, self.manifest.golden
        if golden is None:
            raise NotSteppableError("A file without a golden sequence cannot be written as C. Nothing was written.")
        constants, lines = [], []
        outputs = list(self.plan.outputs.items())
        for number_of_run, run in enumerate(golden.runs):
            constants += self._golden_arrays(run, number_of_run)
        recorded = np.array(golden.outputs, np.int32)
        constants.append(array(f"{n}_golden_outputs", recorded))
        buffers = [f"static float {self.arguments[name]}[{view.size}];" for name, view in outputs]
        for number_of_run, run in enumerate(golden.runs):
            lines += self._replay(run, number_of_run, len(recorded))
        return [
            *constants,
            "",
            f"float {n}_selftest(void)",
            "{",
            *_indented(
                [
                    f"static {n}_state state;",
                    f"static {n}_work work;",
                    *buffers,
                    "float worst = 0.0f;",
                    *lines,
                    "return worst;",
                ]
            ),
            "}",
        ]

    def _golden_arrays(self, run: GoldenRun, number_of_run: int) -> list[str]:
        n = f"{self.name}_golden{number_of_run}"
        found = [array(f"{n}_ids", np.array(run.ids, np.int32))] if self.plan.symbol else []
        for name, rows in run.features.items():
            dtype = np.float32 if self.features[name].ids is None else np.int32
            found.append(array(f"{n}_{self.arguments[name]}", np.array(rows, dtype).reshape(-1)))
        found.append(array(f"{n}_right", np.array(run.probabilities, np.float32).reshape(-1)))
        for name, rows in run.extra_outputs.items():
            found.append(array(f"{n}_{self.arguments[name]}", np.array(rows, np.float32).reshape(-1)))
        return found

    def _replay(self, run: GoldenRun, number_of_run: int, recorded: int) -> list[str]:
        n = f"{self.name}_golden{number_of_run}"
        given = [f"{n}_ids[t]"] if self.plan.symbol else []
        given += [f"{n}_{self.arguments[name]} + t * {view.size}" for name, view in self.plan.features.items()]
        given += [self.arguments[name] for name in self.plan.outputs]
        main, *_ = self.plan.outputs
        compared = [f"{self.arguments[main]}[{self.name}_golden_outputs[i]] - {n}_right[t * {recorded} + i]"]
        widths = [recorded]
        for name, rows in run.extra_outputs.items():
            widths.append(len(rows[0]))
            compared.append(f"{self.arguments[name]}[i] - {n}_{self.arguments[name]}[t * {len(rows[0])} + i]")
        lines = self._ramp() if run.start == "ramp" else [f"{self.name}_reset(&state);"]
        lines += [
            f"for (int t = 0; t < {len(run.ids)}; t++) {{",
            f"    if ({self.name}_step(&state, &work, {', '.join(given)}) != 0) return INFINITY;",
        ]
        for text, width in zip(compared, widths, strict=True):
            lines += [
                f"    for (int i = 0; i < {width}; i++) {{",
                f"        const float off = fabsf({text});",
                "        worst = worst < off ? off : worst;",
                "    }",
            ]
        return [*lines, "}"]

    def _ramp(self) -> list[str]:
        """Return the lines that set the state to the ramp of the golden sequence."""
        lines, begin = [], 0
        for each in self.plan.state:
            name, size = each.tensor.name, each.before.size
            lines.append(
                f"for (int i = 0; i < {size}; i++) "
                f"state.{name}[i] = (float)((37 * (i + {begin}L) + 11) % 101) / 101.0f - 0.5f;"
            )
            begin += size
        return lines

    def _main(self) -> list[str]:
        n, golden = self.name, self.manifest.golden
        assert golden is not None
        return [
            f"#ifdef {n}_MAIN",
            "#include <stdio.h>",
            "int main(void)",
            "{",
            f"    const float error = {n}_selftest();",
            f"    const int good = error <= {number(golden.tolerance)};",
            f'    printf("{n}: largest error %.2g, allowed {golden.tolerance:.2g}: %s\\n", (double)error, '
            'good ? "ok" : "WRONG");',
            "    return good ? 0 : 1;",
            "}",
            "#endif",
        ]


def _neighbours_joined(views: Sequence[View]) -> list[View]:
    """Return views of the same elements, those that lie one behind the other as one."""
    found: list[View] = []
    for view in sorted(views, key=lambda each: (id(each.memory), each.offset)):
        before = found[-1] if found else None
        plain = before is not None and before.is_plain and view.is_plain and before.memory is view.memory
        if before is not None and plain and before.last + 1 == view.offset:
            found[-1] = View(view.memory, before.offset, (before.size + view.size,), (1,))
        else:
            found.append(view)
    return found


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]


def _comment(text: str) -> str:
    """Return `text` as it may stand in a comment."""
    plain = "".join(char if 32 <= ord(char) < 127 else "?" for char in text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
