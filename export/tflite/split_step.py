"""The step split in pieces: one needs the symbol alone, one the state alone, and one both.

Two things in a step can be done before it: the table row of a symbol depends on nothing else, and the product of a
state and a matrix does not depend on the next symbol. So there are, beside `step`:

- `look_up`: the row of a symbol. It is the same each time, so it is made once for each symbol.
- `step_row`: a step from the row, with one operator less and a third less to do for 20 units.
- `prepare` and `finish`: the products of a state, and a step from them. The outputs come after `finish`; `prepare` is
  done between two steps.

All of them compute the same as `step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from ...runtime.format.tensor_specs import FINISH, LOOK_UP, PREPARE, PREPARED, ROW, STEP_ROW, SYMBOL
from ..ops import Value, Weights
from ..ops.tensorflow_ops import TensorFlowOps
from ..step_function.build import StepFunction
from ..step_function.tf_graph import Tensors, advance_named, compiled, input_specs

if TYPE_CHECKING:
    from ..tracing.traced_graph import TracedGraph


class _SplitOps(TensorFlowOps):
    """Operations that take rows and products from given ones, or make and collect them.

    Attributes:
        rows_made: The rows of the symbol, in the order of their use.
        products_made: The products of a state and a matrix, likewise.
    """

    def __init__(
        self,
        ops: TensorFlowOps,
        symbol: Value | None,
        states: Iterable[Value],
        given_rows: Sequence[Value] = (),
        given_products: Sequence[Value] = (),
    ) -> None:
        """Split where a row of `symbol` is looked up or one of `states` is multiplied.

        Args:
            ops: Does all the rest.
            symbol: The symbol of the step, if it reads one.
            states: The state before the step.
            given_rows: Rows to use; empty: make them.
            given_products: Products to use; empty: make them.
        """
        super().__init__()
        self._ops, self._symbol, self._states = ops, symbol, list(states)
        self._given_rows, self._given_products = given_rows, given_products
        self.rows_made: list[Value] = []
        self.products_made: list[Value] = []

    def constant(self, weights: Weights) -> Value:
        """See `Ops.constant`."""
        return self._ops.constant(weights)

    def gather(self, table: Weights, ids: Value) -> Value:
        """See `Ops.gather`."""
        if ids is not self._symbol:
            return self._ops.gather(table, ids)
        given = self._given_rows
        self.rows_made.append(given[len(self.rows_made)] if given else self._ops.gather(table, ids))
        return self.rows_made[-1]

    def matmul(self, x: Value, kernel: Weights) -> Value:
        """See `Ops.matmul`."""
        if not any(x is state for state in self._states):
            return self._ops.matmul(x, kernel)
        given = self._given_products
        self.products_made.append(given[len(self.products_made)] if given else self._ops.matmul(x, kernel))
        return self.products_made[-1]

    def traced(self, graph: TracedGraph, values: Sequence[Value]) -> list[Value]:
        """See `Ops.traced`."""
        return self._ops.traced(graph, values)


def split_step_graphs(step_function: StepFunction, ops: TensorFlowOps) -> dict[str, Any]:
    """Return the TensorFlow functions of the pieces by signature: those that the step can be split into.

    All of them are for one stream, B = 1, and read as much as they need of this: "symbol" or in its place "row",
    float32 (1, N); the features; "prepared0", ..., float32 (1, N); the state. `look_up` returns the row and `prepare`
    the products; the others return the outputs of `step`.
    """
    symbol, features, states = input_specs(step_function, 1)
    products: list[Any] = []  # specs, once the products of a step are known

    def advance(given: Tensors) -> tuple[_SplitOps, dict[str, Value]]:
        """Take a step from tensors by name, with zeros for the missing ones: their results are not returned."""
        read = {
            s.name: given[s.name] if s.name in given else tf.zeros(s.shape, s.dtype)
            for s in (*symbol, *features, *states)
        }
        rows = [given[ROW]] if ROW in given else []
        made = [given[p.name] for p in products if p.name in given]
        splitting = _SplitOps(ops, read.get(SYMBOL), [read[s.name] for s in states], rows, made)
        return splitting, advance_named(step_function, splitting, read)

    def step(given: Tensors) -> dict[str, Value]:
        return advance(given)[1]

    def look_up(given: Tensors) -> dict[str, Value]:
        return {ROW: advance(given)[0].rows_made[0]}

    def prepare(given: Tensors) -> dict[str, Value]:
        return {f"{PREPARED}{n}": product for n, product in enumerate(advance(given)[0].products_made)}

    rows, made = _pieces(advance)
    products += [tf.TensorSpec(p.shape, tf.float32, name=f"{PREPARED}{n}") for n, p in enumerate(made)]
    row = [tf.TensorSpec(r.shape, tf.float32, name=ROW) for r in rows]
    # Several rows, or a symbol that is read for something else too, cannot be replaced by one row.
    if len(row) != 1 or SYMBOL in _read_by(step, [*symbol, *row, *features, *states]):
        row = []
    graphs = {}
    if row:
        graphs[LOOK_UP] = compiled(look_up, symbol)
        graphs[STEP_ROW] = compiled(step, _only_read(step, [*row, *features, *states]))
    if products:
        graphs[FINISH] = compiled(step, _only_read(step, [*(row or symbol), *features, *products, *states]))
        graphs[PREPARE] = compiled(prepare, _only_read(prepare, states))
    return graphs


def _pieces(advance: Callable[[Tensors], tuple[_SplitOps, Any]]) -> tuple[list[Value], list[Value]]:
    """Return rows and products of a step, as symbolic tensors."""
    found: list[_SplitOps] = []
    tf.function(lambda: found.append(advance({})[0]), autograph=False).get_concrete_function()
    return found[0].rows_made, found[0].products_made


def _only_read(graph: Callable[[Tensors], dict[str, Value]], specs: Sequence[Any]) -> list[Any]:
    """Return those of `specs` that `graph` reads."""
    names = _read_by(graph, specs)
    return [spec for spec in specs if spec.name in names]


def _read_by(graph: Callable[[Tensors], dict[str, Value]], specs: Sequence[Any]) -> set[str]:
    """Return the names of those of `specs` that the outputs of `graph` depend on."""
    all_of_it = compiled(graph, specs).get_concrete_function()
    pending, seen = [tensor.op for tensor in all_of_it.outputs], set()
    while pending:  # back from the outputs
        operation = pending.pop()
        if operation not in seen:
            seen.add(operation)
            pending += [tensor.op for tensor in operation.inputs]
    return {spec.name for spec, tensor in zip(specs, all_of_it.inputs, strict=False) if tensor.op in seen}
