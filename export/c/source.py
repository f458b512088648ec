"""The C source of a model file: a header and functions, which know nothing but the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...runtime.common.errors import NotSteppableError
from ...runtime.format.manifest import Manifest
from ...runtime.format.model_file import ModelFile
from ...runtime.format.tensor_specs import EVERY_STEP
from ...runtime.interpreters.numpy_engine import CalculationError
from ...runtime.interpreters.step_plan.plan import MemoryUse, StepPlan, plan_step
from ...runtime.interpreters.step_plan.statements import Softmax
from ...runtime.interpreters.step_plan.views import View, joined_dimensions
from ...runtime.streams.raw_state import raw_size
from .arithmetic import EXACT, Arithmetic
from .golden import measured_golden
from .kernels import called_kernels, kernels_text
from .language import C_WITHOUT_FPU, C
from .names import argument_names, array, check_name, comment, number, string
from .printer import Printer, indented
from .saved import save_and_load
from .selftest import SelfTest
from .tables import table_bytes

_SCRATCH = {"float32": ("float", "f"), "int32": ("int32_t", "i"), "int64": ("int64_t", "l"), "bool": ("uint8_t", "b"),
            "int16": ("int16_t", "q")}  # fmt: skip

_NOT_FINITE = "if (!(check == 0)) return -2;"


@dataclass(frozen=True)
class CSource:
    """A model as C.

    Attributes:
        name: What the names of its functions begin with.
        header: The content of NAME.h.
        body: The content of NAME.c, which includes NAME.h.
        plan: The step that it is made of.
        memory_use: The memory that it takes.
        arithmetic: How it computes.
        tolerance: The largest error of its self-test.
    """

    name: str
    header: str
    body: str
    plan: StepPlan
    memory_use: MemoryUse
    arithmetic: Arithmetic
    tolerance: float

    @property
    def single_header(self) -> str:
        """Header and functions in one file, for one source file to include."""
        include = f'#include "{self.name}.h"\n'
        assert include in self.body
        guard = f"#ifndef {self.name}_FUNCTIONS\n#define {self.name}_FUNCTIONS\n"
        return f"{self.header}\n{guard}{self.body.replace(include, '')}#endif\n"


def c_source(file: ModelFile, name: str, arithmetic: Arithmetic = EXACT) -> CSource:
    """Return the C source of a step of `file`, whose functions are called `name`_step and so on.

    Raises:
        NotSteppableError: There is no C for something in the file; all of it is named.
        OptionError: `name` is no identifier.
    """
    check_name(name)
    _require_printable(file)
    try:
        plan = plan_step(file, int8=arithmetic.int8)
    except CalculationError as error:
        raise NotSteppableError(f"{file.name} cannot be written as C: {error}. Nothing was written.") from error
    manifest = file.manifest
    if not arithmetic.is_exact and manifest.golden is not None:
        manifest = replace(manifest, golden=measured_golden(file, arithmetic))
    return print_source(plan, manifest, name, arithmetic)


def print_source(plan: StepPlan, manifest: Manifest, name: str, arithmetic: Arithmetic = EXACT) -> CSource:
    """Return the C source of a planned step of a model with `manifest`."""
    writer = _Writer(manifest, plan, name, arithmetic)
    tolerance = manifest.golden.tolerance if manifest.golden else 0.0
    body = writer.body()
    use = replace(plan.memory_use(), constants=writer.constant_bytes)
    return CSource(name, writer.header(), body, plan, use, arithmetic, tolerance)


def _require_printable(file: ModelFile) -> None:
    manifest, problems = file.manifest, []
    if manifest.sequence:
        problems.append("it is a graph of whole sequences; take the file of a step")
    if problems:
        raise NotSteppableError(f"{file.name} cannot be written as C: {'; '.join(problems)}. Nothing was written.")


class _Writer:
    """Writes header and functions of one model."""

    def __init__(self, manifest: Manifest, plan: StepPlan, name: str, arithmetic: Arithmetic) -> None:
        self.manifest, self.plan, self.name, self.arithmetic = manifest, plan, name, arithmetic
        self.arguments = argument_names([*plan.features, *plan.outputs])
        self.features = {feature.name: feature for feature in manifest.features}
        self.constant_bytes = 0  # of weights and tables, once the body is made
        self.counts = manifest.answers != EVERY_STEP

    def header(self) -> str:
        n, manifest, plan = self.name, self.manifest, self.plan
        main, *others = plan.outputs.items()
        sizes = [f"#define {n}_OUTPUTS {main[1].size} /* numbers in {self.arguments[main[0]]} */"]
        sizes += [f"#define {n}_OUTPUTS_{self.arguments[name]} {view.size}" for name, view in others]
        sizes += [f"#define {n}_STATIC_{each.tensor.name} {each.before.size}" for each in plan.static]
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
        if self.counts:
            state.append("    uint32_t steps; /* since the reset, without full rounds */")
        work = [
            f"    {_SCRATCH[dtype][0]} {_SCRATCH[dtype][1]}[{size}];" for dtype, size in sorted(plan.scratch.items())
        ]
        return "\n".join(
            [
                f"/* {comment(manifest.name)}: one step of a recurrent model with explicit state.",
                f"   Written by {comment(manifest.producer or 'stepcell')}.",
                "",
                f"       {n}_state state;   the state of one stream: keep it",
                f"       {n}_work work;     scratch memory, shared by all streams of one thread",
                f"       {n}_reset({', '.join(['&state', *(each.tensor.name for each in plan.static)])});",
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
                "/* Set the state to that before the first step. */"
                if not plan.static
                else "/* Set the state to that before the first step of a stream with these static inputs. */",
                f"{self._reset_head()};",
                "",
                "/* Step once: read the input, move the state, write the output.",
                "   Returns 0; -1 if an id is out of range; -2 if a number is not finite.",
                "   If it is below 0 the state has not moved, and the output means nothing.",
                *self._about_answers(),
                "*/",
                f"int {n}_step({self._parameters()});",
                "",
                f"#define {n}_SAVED_BYTES {raw_size(manifest)}",
                "/* Write the state as bytes, which other machines read too. */",
                f"void {n}_save(const {n}_state *state, uint8_t *bytes);",
                "/* Read what NAME_save wrote. Returns 0; -3 if it is of another model; -2 if a number is not finite.",
                "   If it is not 0 the state has not moved. */".replace("NAME", n),
                f"int {n}_load({n}_state *state, const uint8_t *bytes);",
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
        tables = self.arithmetic.tables
        printer = Printer(self.plan, n, self.arguments, C_WITHOUT_FPU if tables else C)
        checks, lines = self._checks(printer), printer.lines()
        commits, check = self._commit(printer)
        self.constant_bytes = sum(content.nbytes for content in printer.constants.values())
        self.constant_bytes += table_bytes(called_kernels(printer.kernels, tables=True)) if tables else 0
        declared = "uint32_t check = 0;" if tables else "float check = 0.0f;"
        step = [
            f"int {n}_step({self._parameters()})",
            "{",
            f"    {declared} /* a number that is not finite changes it */",
            *indented([*checks, *lines, *check, *commits, *self._answered()]),
            "}",
        ]
        reset = self._reset()
        test = SelfTest(self.manifest, self.plan, n, self.arguments)
        constants = [array(name, content) for name, content in printer.constants.items()]
        parts = [
            f'#include "{n}.h"',
            "\n#include <math.h>\n#include <stddef.h>\n#include <string.h>\n",
            kernels_text(printer.kernels, n, tables=tables),
            *constants,
            "",
            *self._names(),
            *reset,
            "",
            *save_and_load(self.manifest, self.plan, n),
            "",
            *step,
            "",
            *test.lines(),
            "",
            *test.main(),
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

    def _checks(self, printer: Printer) -> list[str]:
        """Return the lines that refuse inputs; nothing has moved then."""
        found = ["(void)work;"] if not self.plan.scratch else []
        if self.plan.symbol:
            found.append(f"if (symbol < 0 || symbol >= {len(self.manifest.vocabulary)}) return -1;")
        for name, view in self.plan.features.items():
            argument, ids = self.arguments[name], self.features[name].ids
            if ids is not None:
                found.append(f"if ({argument}[0] < 0 || {argument}[0] >= {ids}) return -1;")
            else:
                found += C.nest((view.size,), lambda at, a=argument: [printer.check(f"{a}[{at[0]}]")])  # type: ignore[misc]
        if any(each.ids is None for each in self.features.values()):
            found.append(_NOT_FINITE)
        return found

    def _commit(self, printer: Printer) -> tuple[list[str], list[str]]:
        """Return the lines that move the state, and before them those that refuse numbers that are not finite."""
        check: list[str] = []
        rest = [state.after for state in self.plan.state if id(state) not in printer.checked]
        checked = [*map(self._telling, self.plan.outputs.values()), *rest]
        for view in _neighbours_joined(checked):
            (joined,) = joined_dimensions([view])
            check += C.nest(joined.shape, lambda at, v=joined: [printer.check(printer.element(v, at))])  # type: ignore[misc]
        check.append(_NOT_FINITE)
        commits = []
        for each in self.plan.state:
            after, before = joined_dimensions([each.after, each.before])
            commits += C.nest(
                before.shape,
                lambda at, a=after, b=before: [f"{printer.element(b, at)} = {printer.element(a, at)};"],  # type: ignore[misc]
            )
        return commits, check

    def _telling(self, view: View) -> View:
        """Return the numbers of an output that tell whether all of them are finite: of a softmax the first one."""
        sums_up = any(isinstance(each, Softmax) and each.result.same_elements(view) for each in self.plan.statements)
        return View(view.memory, view.offset, (1,), (1,)) if sums_up else view

    def _reset(self) -> list[str]:
        n, lines, constants = self.name, [], []
        for each in self.plan.state:
            if each.tensor.given:
                name, size = each.tensor.name, each.before.size
                lines.append(f"for (int i = 0; i < {size}; i++) state->{name}[i] = {name}[i];")
                continue
            start = each.tensor.initial_value().reshape(-1)
            value = number(start[0])
            if (start != start[0]).any():
                constants.append(array(f"{n}_start_{each.tensor.name}", start))
                value = f"{n}_start_{each.tensor.name}[i]"
            lines.append(f"for (int i = 0; i < {start.size}; i++) state->{each.tensor.name}[i] = {value};")
        lines += ["state->steps = 0;"] if self.counts else []
        return [*constants, self._reset_head(), "{", *indented(lines), "}"]

    def _reset_head(self) -> str:
        static = [f"const float *{each.tensor.name}" for each in self.plan.static]
        return f"void {self.name}_reset({', '.join([f'{self.name}_state *state', *static])})"

    def _about_answers(self) -> list[str]:
        times = self.manifest.answers
        if not self.counts:
            return []
        every = "each step" if times.every == 1 else f"step {times.first + times.every} and so on, every {times.every}"
        return [f"   Returns 1 at a step that has no answer: there is one at step {times.first}, then at {every}."]

    def _answered(self) -> list[str]:
        """Return the lines that count the step and return."""
        first, every = self.manifest.answers.first, self.manifest.answers.every
        if not self.counts:
            return ["return 0;"]
        return [
            "state->steps += 1;",
            f"if (state->steps == {first + every}u) state->steps = {first}u;",
            f"return state->steps == {first}u ? 0 : 1;",
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
