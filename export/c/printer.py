"""Print the statements of a step as C."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.format.tensor_specs import SYMBOL
from ...runtime.interpreters.step_plan.int8 import Int8Product, Int8Row
from ...runtime.interpreters.step_plan.plan import StepPlan
from ...runtime.interpreters.step_plan.statements import (
    Assignment,
    Gather,
    Loop,
    Matmul,
    Product,
    Reduction,
    Row,
    Softmax,
    Statement,
)
from ...runtime.interpreters.step_plan.views import Memory, View
from .language import TRUTHS, C, Language
from .names import TYPES

_SCRATCH = {"float32": "f", "int32": "i", "int64": "l", "bool": "b", "int16": "q"}
_FOLDS = {
    "sum": "sum += {};",
    "max": "sum = sum < {0} ? {0} : sum;",
    "min": "sum = sum > {0} ? {0} : sum;",
}


class Printer:
    """Prints statements of one plan; collects the constants and kernels that they need.

    Attributes:
        constants: Name of a constant array -> its content.
        kernels: The kernels that are called.
        checked: States after the step whose elements a printed loop has checked, by the id of their tensors.
    """

    def __init__(self, plan: StepPlan, name: str, arguments: Mapping[str, str], language: Language = C) -> None:
        """Print the step of `plan` for a model called `name`; `arguments` are those of features and outputs."""
        self.plan, self.name, self.arguments, self.language = plan, name, arguments, language
        self.constants: dict[str, AnyArray] = {}
        self.kernels: set[str] = set()
        self.checked: set[int] = set()
        self._names: dict[int, str] = {}
        self._state = {each.before.memory: language.state.format(each.tensor.name) for each in plan.state}

    @property
    def zero(self) -> str:
        """The number 0."""
        return self.language.literal(0.0, "float32")

    def lines(self) -> list[str]:
        """Return the lines of all statements."""
        return [line for statement in self.plan.statements for line in self.statement(statement)]

    def statement(self, statement: Statement) -> list[str]:
        """Return the lines of one statement."""
        return self._PRINTERS[type(statement)](self, statement)

    def element(self, view: View, at: Sequence[str]) -> str:
        """Return the element of `view` at the values of the variables `at`, one for each dimension."""
        numbers = view.numbers()
        if numbers is not None and numbers.size and (numbers == numbers.reshape(-1)[0]).all():
            return self.language.literal(numbers.reshape(-1)[0], numbers.dtype.name)
        if view.memory.port == SYMBOL:
            return "symbol"
        terms = [v if s == 1 else f"{v} * {s}" for v, s in zip(at, view.strides, strict=True) if s]
        terms = [str(self._begin(view)), *terms] if self._begin(view) or not terms else terms
        return f"{self._base(view.memory)}[{' + '.join(terms)}]"

    def pointer(self, view: View) -> str:
        """Return the address of the first element of `view`."""
        return self.language.address(self._base(view.memory), self._begin(view))

    def _begin(self, view: View) -> int:
        scratch = id(view.memory) in self.plan.offsets
        return view.offset + (self.plan.offset_of(view.memory) if scratch else 0)

    def _base(self, memory: Memory) -> str:
        if memory in self._state:
            return self._state[memory]
        if memory.port:
            return self.arguments[memory.port]
        if id(memory) in self.plan.offsets:
            return self.language.work.format(_SCRATCH[memory.dtype])
        if memory.content is not None:
            return self.constant("k", memory.content, id(memory))
        return self._names.setdefault(id(memory), f"row{len(self._names)}")

    def check(self, number: str) -> str:
        """Return the statement that notes if `number` is not finite."""
        self.kernels.update(filter(None, [self.language.checks]))
        return self.language.check.format(number).replace("NAME_", f"{self.name}_")

    def constant(self, kind: str, content: AnyArray, key: int | None = None) -> str:
        """Return the name of a constant array with `content`; the same for the same `key`."""
        key = id(content) if key is None else key
        if key not in self._names:
            self._names[key] = f"{self.name}_{kind}{len(self.constants)}"
            self.constants[self._names[key]] = content
        return self._names[key]

    def _loop(self, loop: Loop) -> list[str]:
        values: dict[Any, str] = {}  # elements that are in a variable
        again = {_key(view) for view in loop.reads}

        def body(at: list[str]) -> list[str]:
            numbered = enumerate(loop.body)
            return [line for n, each in numbered for line in self._assignment(each, f"v{n}", at, values, again)]

        return self.language.nest(loop.shape, body)

    def _assignment(
        self, each: Assignment, name: str, at: list[str], values: dict[Any, str], again: set[Any]
    ) -> list[str]:
        operands = [values.get(_key(view)) or self.element(view, at) for view in each.operands]
        dtype = each.result.memory.dtype
        value = self._value(each, operands)
        variable = self.plan.is_variable(each.result.memory)
        states = [state for state in self.plan.state if state.after.same_elements(each.result)]
        if not (variable or states) and _key(each.result) not in again:
            return [f"{self.element(each.result, at)} = {value};"]
        values[_key(each.result)] = name
        self.checked.update(map(id, states))
        stored = [] if variable else [f"{self.element(each.result, at)} = {name};"]
        checks = [self.check(name)] if states else []
        return [f"{self.language.constant(dtype)} {name} = {value};", *stored, *checks]

    def _value(self, each: Assignment, operands: list[str]) -> str:
        result, given = each.result.memory.dtype, [view.memory.dtype for view in each.operands]
        if each.kind == "copy":
            if result == given[0]:
                return operands[0]
            return self.language.cast(result, f"{operands[0]} != 0" if result == "bool" else operands[0])
        if each.kind in TRUTHS:
            return self.language.cast("bool", TRUTHS[each.kind].format(*operands))
        if each.kind in ("logistic", "tanh"):
            self.kernels.add(each.kind)
        if each.kind == "abs" and result != "float32":
            return "({0} < 0 ? -{0} : {0})".format(*operands)
        return self.language.functions[each.kind].format(*operands).replace("NAME_", f"{self.name}_")

    def _product(self, product: Product) -> list[str]:
        self.kernels.add("product")
        m, n = product.weights.shape
        blocks = in_blocks(product.weights, self.language.columns)
        weights = self.language.address(self.constant("w", blocks, id(product.weights)), 0)
        start = self.language.nowhere if product.start is None else self.pointer(product.start)
        x, y = self.pointer(product.x), self.pointer(product.result)
        return [f"{self.name}_product({x}, {m}, {weights}, {start}, {y}, {n});"]

    def _int8_product(self, product: Int8Product) -> list[str]:
        self.kernels.add("product8")
        m, n = product.weights.shape
        weights = self.constant("w", in_blocks(product.weights, product.block), id(product.weights))
        scales = self.constant("s", product.scales)
        start = self.language.nowhere if product.start is None else self.pointer(product.start)
        x, y, rounded = self.pointer(product.x), self.pointer(product.result), self.pointer(product.rounded)
        levels = self.language.literal(product.levels, "float32")
        return [f"{self.name}_product8({x}, {m}, {levels}, {rounded}, {weights}, {scales}, {start}, {y}, {n});"]

    def _int8_row(self, row: Int8Row) -> list[str]:
        self.kernels.add("row8")
        table, scales = self.constant("t", row.numbers), self.constant("s", row.scales)
        id, y = self.element(row.id, ["0"] * len(row.id.shape)), self.pointer(row.result)
        n = row.scales.size
        return [f"{self.name}_row8({table} + (size_t){id} * {n}, {scales}, {y}, {n});"]

    def _matmul(self, product: Matmul) -> list[str]:
        lead = product.result.shape[:-2]
        x = product.x.broadcast((*lead, *product.x.shape[-2:]))
        y = product.y.broadcast((*lead, *product.y.shape[-2:]))
        inner = x.shape[-1]

        def body(at: list[str]) -> list[str]:
            *before, row, column = at
            factors = self.element(x, [*before, row, "q"]), self.element(y, [*before, "q", column])
            return [
                f"{self.language.number} sum = {self.zero};",
                f"{self.language.count('q', inner)} sum += {factors[0]} * {factors[1]};",
                f"{self.element(product.result, at)} = sum;",
            ]

        return self.language.nest(product.result.shape, body)

    def _reduction(self, reduction: Reduction) -> list[str]:
        x, axes = reduction.x, reduction.axes

        def body(at: list[str]) -> list[str]:
            inside = {axis: f"q{axis}" for axis in axes if x.shape[axis] != 1}
            place = [inside.get(axis, variable) for axis, variable in enumerate(at)]
            loops = " ".join(self.language.count(v, x.shape[axis]) for axis, v in inside.items())
            fold = _FOLDS[reduction.kind].format(self.element(x, place))
            start = {"sum": self.zero, "max": f"-{self.language.infinity}", "min": self.language.infinity}
            return [
                f"{self.language.number} sum = {start[reduction.kind]};",
                f"{loops} {fold}".strip(),
                f"{self.element(reduction.result, at)} = sum;",
            ]

        return self.language.nest(reduction.result.shape, body)

    def _softmax(self, softmax: Softmax) -> list[str]:
        self.kernels.add("softmax")
        x, y = self.pointer(softmax.x), self.pointer(softmax.result)
        return [f"{self.name}_softmax({x}, {y}, {softmax.x.size});"]

    def _gather(self, gather: Gather) -> list[str]:
        axis, dimensions = gather.axis, len(gather.ids.shape)

        def body(at: list[str]) -> list[str]:
            place = self.element(gather.ids, at[axis : axis + dimensions])
            source = self.element(gather.x, [*at[:axis], place, *at[axis + dimensions :]])
            return [f"{self.element(gather.result, at)} = {source};"]

        return self.language.nest(gather.result.shape, body)

    def _row(self, row: Row) -> list[str]:
        id, name = self.element(row.id, ["0"] * len(row.id.shape)), self._base(row.result.memory)
        line = self.language.row.format(
            type=TYPES[row.table.memory.dtype], name=name, base=self._base(row.table.memory), id=id,
            width=prod(row.table.shape[1:]),
        )  # fmt: skip
        return [line]

    _PRINTERS: ClassVar[dict[type, Callable[[Any, Any], list[str]]]] = {
        Gather: _gather,
        Int8Product: _int8_product,
        Int8Row: _int8_row,
        Loop: _loop,
        Matmul: _matmul,
        Product: _product,
        Reduction: _reduction,
        Row: _row,
        Softmax: _softmax,
    }


def _key(view: View) -> Any:
    return id(view.memory), view.offset, tuple((n, s) for n, s in zip(view.shape, view.strides, strict=True) if n > 1)


def in_blocks(weights: AnyArray, width: int) -> AnyArray:
    """Return weights (M, N) in blocks of B columns, (N / B, M, B), the last one filled up with zeros."""
    rows, columns = weights.shape
    filled = np.zeros((rows, -(-columns // width) * width), weights.dtype)
    filled[:, :columns] = weights
    return np.ascontiguousarray(filled.reshape(rows, -1, width).transpose(1, 0, 2))


def indented(lines: Iterable[str]) -> list[str]:
    """Return lines four columns further in."""
    return [f"    {line}" if line else line for line in lines]
