"""From the statements of a plan to operations of the engine (program.h)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from ...common.arrays import AnyArray
from ..numpy_engine import CalculationError
from ..step_plan.plan import StepPlan
from ..step_plan.statements import Gather, Loop, Matmul, Product, Reduction, Row, Softmax, Statement
from ..step_plan.views import View, joined_dimensions
from .layout import NOWHERE, TYPES, Address, Layout, itemsize
from .weights import Packed, packed

# The codes of program.h. Those of typed operations follow.
_UNARY = ("copy", "abs", "negative", "square", "reciprocal", "sqrt", "exp", "logistic", "tanh", "log", "erf")
_BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power")
_OTHERS = ("product", "matmul", "sum", "max", "min", "softmax", "row", "check")
_TYPED = ("select", "equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "and", "or", "not")
CODES = {name: code for code, name in enumerate((*_UNARY, *_BINARY, *_OTHERS))}
_TYPED_FROM = len(CODES)
_KINDS = {**CODES, **{name: _TYPED_FROM + place for place, name in enumerate(_TYPED)}}
_MOST_DIMENSIONS = 6
OPERATION = np.dtype(
    [("code", "i4"), ("type", "i4"), ("n", "i4"), ("m", "i4"), ("stride", "i4", 4),
     ("out", "u8"), ("a", "u8"), ("b", "u8"), ("c", "u8"), ("repeated", "u8")]
)  # fmt: skip
REPEATED = np.dtype([("dimensions", "i8"), ("shape", "i8", _MOST_DIMENSIONS), ("strides", "i8", (4, _MOST_DIMENSIONS))])
PIECE = np.dtype([("place", "u8"), ("rows", "u8"), ("bytes", "i8")])  # as in engine.c
MOVE = np.dtype([("target", "u8"), ("source", "u8"), ("bytes", "i8")])


class Assembler:
    """Makes operations of statements.

    Attributes:
        layout: The memory.
        prepared: How many of the operations depend on the state alone.
    """

    def __init__(self, plan: StepPlan, *, halves: bool, bytes: bool) -> None:
        """Assemble `plan`; `halves` and `bytes` as for `weights.packed`.

        Raises:
            CalculationError: It has what the engine does not do; all of it is named.
        """
        self.layout = Layout(plan)
        self._storage = {"halves": halves, "bytes": bytes}
        self._rows: list[tuple[Any, ...]] = []
        self._addresses: list[tuple[Address, ...]] = []
        self._packed: dict[int, tuple[Packed, Address]] = {}
        self._repeated: list[AnyArray] = []
        self.prepared = 0
        problems: dict[str, None] = {}
        for number, statement in enumerate(plan.statements):
            if number == plan.prepared:
                self.prepared = len(self._rows)
            try:
                self._MAKERS[type(statement)](self, statement)
            except CalculationError as error:
                problems[str(error)] = None
        if plan.prepared == len(plan.statements):
            self.prepared = len(self._rows)
        if problems:
            raise CalculationError("; ".join(problems))

    def check(self, view: View) -> None:
        """Let a step fail if an element of `view` is not finite."""
        self._add("check", view.size, (NOWHERE, self.layout.address(view)))

    def operations(self) -> tuple[AnyArray, AnyArray]:
        """Return the operations, and which of their addresses (out, a, b, c) are in the memory of a stream: (N, 4)."""
        made = np.array(self._rows, OPERATION)
        for place, name in enumerate(("out", "a", "b", "c")):
            made[name] = [each[place].number for each in self._addresses]
        moving = np.array([[not each.fixed for each in four] for four in self._addresses], bool).reshape(-1, 4)
        return made, moving

    def kept(self) -> list[AnyArray]:
        """Return the arrays at fixed addresses."""
        return [*self.layout.constants, *self._repeated]

    def _add(
        self, name: str | int, n: int, addresses: Sequence[Address], *, type: int = 0, m: int = 0,
        strides: Sequence[int] = (), outer: Sequence[tuple[int, tuple[int, ...]]] = (),
    ) -> None:  # fmt: skip
        """Add an operation.

        Args:
            name: Its name, or its code.
            n: See program.h.
            addresses: Of its result and its operands.
            type: See program.h.
            m: Likewise.
            strides: In elements, of its result and its operands.
            outer: How often it is repeated, and the bytes to move on each time: for one dimension after the other.
        """
        code = CODES[name] if isinstance(name, str) else name
        repeated = 0
        dimensions = [each for each in outer if each[0] != 1]
        if len(dimensions) > _MOST_DIMENSIONS:
            raise CalculationError(f"it works along {len(dimensions) + 1} dimensions at once")
        if dimensions:
            one = np.zeros(1, REPEATED)
            one["dimensions"] = len(dimensions)
            for axis, (size, moves) in enumerate(dimensions):
                one["shape"][0, axis] = size
                one["strides"][0, : len(moves), axis] = moves
            self._repeated.append(one)
            repeated = one.ctypes.data
        if n == 0 or any(size == 0 for size, _ in dimensions):
            return
        self._rows.append((code, type, n, m, (*strides, *[0] * (4 - len(strides))), 0, 0, 0, 0, repeated))
        self._addresses.append((*addresses, *[NOWHERE] * (4 - len(addresses))))

    def _loop(self, loop: Loop) -> None:
        # Whatever one of its assignments reads and another one writes is at the same place of the loop, so they may be
        # done one after the other for all elements.
        for each in loop.body:
            self._assign(each.kind, each.operands, each.result)

    def _assign(self, kind: str, operands: Sequence[View], result: View) -> None:
        views = joined_dimensions([result, *(each.broadcast(result.shape) for each in operands)])
        types = [TYPES[view.memory.dtype] for view in views if itemsize(view.memory)]
        shape, addresses = views[0].shape, [self.layout.address(view) for view in views]
        code = _KINDS[kind]
        packed_types = 0
        if any(types) or code >= _TYPED_FROM:
            packed_types = sum(type << 4 * place for place, type in enumerate(types))
            code += _TYPED_FROM
        outer = [
            (size, tuple(view.strides[axis] * itemsize(view.memory) for view in views))
            for axis, size in enumerate(shape[:-1])
        ]
        strides = [view.strides[-1] if shape else 0 for view in views]
        self._add(
            code, shape[-1] if shape else 1, addresses, type=packed_types,
            strides=strides if shape else [1] * len(views), outer=outer,
        )  # fmt: skip

    def _product(self, product: Product) -> None:
        self._multiply(product.result, product.x, product.weights, product.start)

    def _multiply(
        self, result: View, x: View, weights: AnyArray, start: View | None = None,
        outer: Sequence[tuple[int, tuple[int, ...]]] = (),
    ) -> None:  # fmt: skip
        """Add a product with weights (M, N) that are the same in every step."""
        if id(weights) not in self._packed:
            stored = packed(weights, **self._storage)
            self._packed[id(weights)] = stored, self.layout.keep(stored.content)
        stored, place = self._packed[id(weights)]
        m, n = weights.shape
        at = self.layout.address
        addresses = at(result), at(x), NOWHERE if start is None else at(start), place
        self._add("product", n, addresses, type=stored.kind, m=m, strides=(0, stored.levels), outer=outer)

    def _matmul(self, product: Matmul) -> None:
        lead = product.result.shape[:-2]
        result, x = product.result, product.x.broadcast((*lead, *product.x.shape[-2:]))
        y = product.y.broadcast((*lead, *product.y.shape[-2:]))
        require_floats("a product", result, x, y)
        at = self.layout.address
        below = (*y.strides[:-2], 0)  # each row of x is multiplied with the same y
        outer: list[tuple[int, tuple[int, ...]]] = [
            (size, (4 * result.strides[axis], 4 * x.strides[axis], 4 * below[axis]))
            for axis, size in enumerate(result.shape[:-1])
        ]
        m, n = y.shape[-2:]
        strides = (result.strides[-1], x.strides[-1], y.strides[-1], y.strides[-2])
        constant = y.numbers()
        if constant is not None and not any(y.strides[:-2]) and (m == 1 or x.strides[-1] == 1) and (
            n == 1 or result.strides[-1] == 1
        ):  # fmt: skip
            weights = np.ascontiguousarray(constant[(0,) * len(lead)])
            self.layout.constants.append(weights)  # its id stays its own
            self._multiply(result, x, weights, outer=[(size, moves[:2]) for size, moves in outer])
            return
        self._add("matmul", n, (at(result), at(x), at(y)), m=m, strides=strides, outer=outer)

    def _reduction(self, reduction: Reduction) -> None:
        x, result = reduction.x, reduction.result
        require_floats(f"{reduction.kind} over dimensions", result, x)
        axes = [axis for axis in reduction.axes if x.shape[axis] != 1] or list(reduction.axes[:1])
        while len(axes) > 1:  # one axis after the other, the last one first
            axis = axes.pop()
            shape = tuple(1 if each == axis else size for each, size in enumerate(x.shape))
            between = plain(self.layout.new(prod(shape)), shape)
            self._fold(reduction.kind, x, axis, between)
            x = between
        self._fold(reduction.kind, x, axes[0], result)

    def _fold(self, kind: str, x: View, axis: int, result: View) -> None:
        outer = [
            (size, (4 * result.strides[each], 4 * x.strides[each]))
            for each, size in enumerate(x.shape) if each != axis
        ]  # fmt: skip
        at = self.layout.address
        self._add(kind, x.shape[axis], (at(result), at(x)), strides=(0, x.strides[axis]), outer=outer)

    def _softmax(self, softmax: Softmax) -> None:
        at = self.layout.address
        self._add("softmax", softmax.x.size, (at(softmax.result), at(softmax.x)))

    def _row(self, row: Row) -> None:
        at = self.layout.address
        width = prod(row.table.shape[1:]) * itemsize(row.table.memory)
        addresses = (at(row.result), at(row.table), at(row.id))
        self._add("row", width, addresses, type=TYPES[row.id.memory.dtype], m=row.table.shape[0])

    def _gather(self, gather: Gather) -> None:
        ids = gather.ids.numbers()
        assert ids is not None, "the places of a Gather are the same in every step"
        axis, dimensions = gather.axis, ids.ndim
        x, result = gather.x, gather.result
        for place in np.ndindex(*ids.shape):
            step = sum(k * s for k, s in zip(place, result.strides[axis : axis + dimensions], strict=True))
            target = without(result, range(axis, axis + dimensions), result.offset + step)
            source = without(x, range(axis, axis + 1), x.offset + int(ids[place]) * x.strides[axis])
            self._assign("copy", [source], target)

    _MAKERS: ClassVar[dict[type[Statement], Callable[[Any, Any], None]]] = {
        Gather: _gather,
        Loop: _loop,
        Matmul: _matmul,
        Product: _product,
        Reduction: _reduction,
        Row: _row,
        Softmax: _softmax,
    }


def plain(view: View, shape: tuple[int, ...]) -> View:
    """Return a plain view with another shape."""
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return replace(view, shape=shape, strides=tuple(strides))


def without(view: View, axes: range, offset: int) -> View:
    """Return the view without some of its dimensions, from `offset` on."""
    kept = [axis for axis in range(len(view.shape)) if axis not in axes]
    return View(
        view.memory, offset, tuple(view.shape[axis] for axis in kept), tuple(view.strides[axis] for axis in kept)
    )


def require_floats(what: str, *views: View) -> None:
    """Raise unless all `views` are of float32.

    Raises:
        CalculationError: One of them is not.
    """
    for view in views:
        if view.memory.dtype != "float32":
            raise CalculationError(f"the compiled engine has no {what} of {view.memory.dtype}")
