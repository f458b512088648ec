"""Statements: a step as loops, products, sums and lookups over views of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ...common.arrays import AnyArray
from ..numpy_engine.calls import ELEMENTWISE
from ..numpy_engine.graph import CalculationError
from ..numpy_engine.recorder import Record, is_constant
from .views import Memories, View, joined_dimensions

REDUCTIONS = ("sum", "max", "min")
_FUNCTIONS = frozenset([*ELEMENTWISE, "copy", "erf", "logistic", "select"])
Move: TypeAlias = Callable[[View], View]


@dataclass(frozen=True)
class Assignment:
    """`result = kind(*operands)`, element by element."""

    kind: str
    operands: tuple[View, ...]
    result: View


@dataclass(frozen=True)
class Loop:
    """Assignments that are done one after the other for each element of a shape.

    Attributes:
        shape: The shape.
        body: The assignments; all views in them have the shape.
    """

    shape: tuple[int, ...]
    body: tuple[Assignment, ...]

    @property
    def reads(self) -> tuple[View, ...]:
        """What is read."""
        return tuple(view for each in self.body for view in each.operands)

    @property
    def writes(self) -> tuple[View, ...]:
        """What is written."""
        return tuple(each.result for each in self.body)

    def moved(self, move: Move) -> Loop:
        """Return it with `move` applied to each view."""
        body = (Assignment(a.kind, tuple(map(move, a.operands)), move(a.result)) for a in self.body)
        return replace(self, body=tuple(body))


class ViewFields:
    """A statement whose views are fields: it writes `result`, if it has one, and reads the others."""

    @property
    def reads(self) -> tuple[View, ...]:
        """What is read."""
        return tuple(view for name, view in self._views() if name != "result")

    @property
    def writes(self) -> tuple[View, ...]:
        """What is written."""
        return tuple(view for name, view in self._views() if name == "result")

    def moved(self, move: Move) -> Any:
        """Return it with `move` applied to each view."""
        return replace(self, **{name: move(view) for name, view in self._views()})  # type: ignore[type-var]

    def _views(self) -> list[tuple[str, View]]:
        values = ((each.name, getattr(self, each.name)) for each in fields(self))  # type: ignore[arg-type]
        return [(name, value) for name, value in values if isinstance(value, View)]


@dataclass(frozen=True)
class Product(ViewFields):
    """`result = start + x @ weights`, for one row x.

    Attributes:
        x: M numbers, one after the other.
        weights: float32 of shape (M, N); int8 in an `Int8Product`.
        result: N numbers, one after the other.
        start: N numbers, one after the other; None: zeros.
    """

    x: View
    weights: AnyArray = field(compare=False)
    result: View
    start: View | None = None
    block: ClassVar[int] = 8  # columns of weights that C keeps together; the last block is filled up

    @property
    def stored_bytes(self) -> int:
        """The bytes that the weights take in C."""
        rows, columns = self.weights.shape
        return int(rows * -(-columns // self.block) * self.block * self.weights.itemsize)


@dataclass(frozen=True)
class Matmul(ViewFields):
    """`result = x @ y`, of two matrices, or of many of them."""

    x: View
    y: View
    result: View


@dataclass(frozen=True)
class Reduction(ViewFields):
    """`result = kind of x over axes`, where `kind` is "sum", "max" or "min"; the axes stay in `result`, with size 1."""

    kind: str
    x: View
    axes: tuple[int, ...]
    result: View


@dataclass(frozen=True)
class Softmax(ViewFields):
    """`result = softmax(x)` of N numbers that lie one after the other; it may be done in place."""

    x: View
    result: View


@dataclass(frozen=True)
class Row(ViewFields):
    """`result = table[id]`: N numbers.

    Attributes:
        table: (R, N) numbers, in order.
        id: The number of a row, one element.
        result: N numbers, one after the other.
    """

    table: View
    id: View
    result: View


@dataclass(frozen=True)
class Gather(ViewFields):
    """`result = x` at the places `ids` along an axis; the ids are the same in every step.

    Attributes:
        x: What is read.
        ids: Places along the axis, each in its range.
        axis: The axis of x, which the dimensions of `ids` replace.
        result: Of the shape of x, with that of `ids` in the place of the axis.
    """

    x: View
    ids: View
    axis: int
    result: View


@dataclass(frozen=True)
class After(ViewFields):
    """Nothing is done; `view` is read after the step."""

    view: View


Statement: TypeAlias = "Loop | ViewFields"


def statements_of(
    records: Iterable[Record], memories: Memories, *, functions: frozenset[str] = _FUNCTIONS
) -> list[Statement]:
    """Return the statements that do what `records` say.

    Args:
        records: The records of a program.
        memories: The memory behind their arrays.
        functions: The elementwise functions that there are.

    Raises:
        CalculationError: Records of kinds that have no statement here, all of which are named.
    """
    strange: dict[str, None] = {}
    made = [each for record in records for each in _statements(record, memories, functions, strange)]
    if strange:
        raise CalculationError(f"there is no code for {', '.join(sorted(strange))}")
    return made


def _statements(
    record: Record, memories: Memories, functions: frozenset[str], strange: dict[str, None]
) -> Iterator[Statement]:
    view = memories.view
    operands, result = [view(each) for each in record.operands], view(record.result)
    if record.kind in functions:
        yield loop(record.kind, operands, result)
    elif record.kind == "softmax" and _is_one_row(record):
        yield Softmax(operands[0], result)
    elif record.parts:
        for part in record.parts:
            yield from _statements(part, memories, functions, strange)
    elif record.kind == "concatenate":
        yield from _joined(record, memories)
    elif record.kind in REDUCTIONS:
        yield Reduction(record.kind, operands[0], tuple(record.options["axes"]), result)
    elif record.kind == "take" and is_row_of_table(record) and not operands[0].offset:
        yield Row(operands[0], operands[1], result)
    elif record.kind == "take" and operands[1].memory.content is not None:
        _require_places(record)
        yield Gather(operands[0], operands[1], record.options["axis"], result)
    elif record.kind == "matmul":
        yield _product(record, operands, result)
    else:
        strange[record.kind] = None


def loop(kind: str, operands: Iterable[View], result: View) -> Loop:
    """Return the loop of one assignment, over as few dimensions as possible."""
    views = joined_dimensions([result, *(each.broadcast(result.shape) for each in operands)])
    return Loop(views[0].shape, (Assignment(kind, tuple(views[1:]), views[0]),))


def _joined(record: Record, memories: Memories) -> Iterator[Loop]:
    out, axis, begin = record.result, record.options["axis"], 0
    for array in record.operands:
        end = begin + array.shape[axis]
        part = out[tuple([slice(None)] * axis + [slice(begin, end)])]
        if array.size:
            yield loop("copy", [memories.view(array)], memories.view(part))
        begin = end


def _is_one_row(record: Record) -> bool:
    x, axis = record.operands[0], record.options["axis"]
    return x.shape[axis] == x.size and x.flags.c_contiguous and record.result.flags.c_contiguous


def is_row_of_table(record: Record) -> bool:
    """Tell whether a "take" looks up one row of a table."""
    table, ids = record.operands
    return bool(ids.size == 1 and record.options["axis"] == 0 and table.flags.c_contiguous)


def is_product_of_row(record: Record) -> bool:
    """Tell whether a "matmul" multiplies one row with weights that are the same in every step."""
    x, y = record.operands
    in_order = x.flags.c_contiguous and record.result.flags.c_contiguous
    return bool(x.ndim == y.ndim == 2 and len(x) == 1 and y.dtype.kind == "f" and is_constant(y) and in_order)


def _require_places(record: Record) -> None:
    x, ids = record.operands
    if ids.size and not (ids.min() >= 0 and ids.max() < x.shape[record.options["axis"]]):
        raise CalculationError("it looks up what is beyond the end of a tensor")


def _product(record: Record, operands: list[View], result: View) -> Product | Matmul:
    x, y = operands
    if is_product_of_row(record):
        return Product(x, np.ascontiguousarray(record.operands[1]), result)
    return Matmul(x, y, result)
