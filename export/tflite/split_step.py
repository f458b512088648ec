"""The step cut in pieces: what needs the symbol alone, what needs the state alone, and what needs both.

Two things in a step can be done before it: the row of a table that a symbol stands for depends on nothing else, and the
product of a state and a matrix does not depend on the next symbol. So there are, beside `step`:

- `look_up`: the row of a symbol. It is the same each time, so it is made once for each symbol.
- `step_row`: a step from the row, which has one operator less and a third less to do for 20 units.
- `prepare` and `finish`: the products of a state, and a step from them. The answer comes after `finish`; `prepare` is
  done when nobody waits.

All of them compute what `step` computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ...runtime.format.tensor_specs import FINISH, LOOK_UP, PREPARE, PREPARED, ROW, STEP_ROW, SYMBOL
from ..ops import Value, Weights
from ..ops.tensorflow_ops import TensorFlowOps
from ..step_function.build import StepFunction


class _SplitOps:
    """Arithmetic that takes rows and products from what is given, or makes and collects them.

    Attributes:
        found_rows: The rows of the symbol.
        found_products: The products of a state and a matrix.
    """

    def __init__(
        self,
        arithmetic: TensorFlowOps,
        inputs: Mapping[str, Value],
        state: Mapping[str, Value],
        *,
        given_rows: Sequence[Value] | None = None,
        given_products: Sequence[Value] | None = None,
    ) -> None:
        """Cut where something is looked up by the symbol of `inputs` or multiplied with a tensor of `state`.

        Args:
            arithmetic: Does all the rest.
            inputs: What a step reads.
            state: The state before it.
            given_rows: What to take for the rows; None: make them.
            given_products: What to take for the products; None: make them.
        """
        self._arithmetic: Any = arithmetic
        self._symbol, self._states = inputs.get(SYMBOL), list(state.values())
        self._given_rows, self._given_products = given_rows, given_products
        self.found_rows: list[Value] = []
        self.found_products: list[Value] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._arithmetic, name)

    def gather(self, table: Weights, ids: Value) -> Value:
        """See `Ops.gather`."""
        if ids is not self._symbol:
            return self._arithmetic.gather(table, ids)
        given = self._given_rows
        row = self._arithmetic.gather(table, ids) if given is None else given[len(self.found_rows)]
        self.found_rows.append(row)
        return row

    def matmul(self, x: Value, kernel: Weights) -> Value:
        """See `Ops.matmul`."""
        if not any(x is tensor for tensor in self._states):
            return self._arithmetic.matmul(x, kernel)
        given = self._given_products
        product = self._arithmetic.matmul(x, kernel) if given is None else given[len(self.found_products)]
        self.found_products.append(product)
        return product


def split_step_graphs(step_function: StepFunction, arithmetic: TensorFlowOps) -> dict[str, Any]:
    """Return the TensorFlow functions of the pieces by signature: those that the step can be cut into.

    All of them are for one stream, B = 1, and read what they need of this: "symbol" or in its place "row", float32
    (1, N); the features; "prepared0", ..., float32 (1, N); the state. `look_up` returns the row and `prepare` the
    products; the others answer as `step` does.
    """
    cut = _Splitter(step_function, arithmetic)
    graphs: dict[str, Any] = {}
    if cut.row is not None:
        graphs[LOOK_UP] = cut.look_up()
        graphs[STEP_ROW] = cut.step([cut.row], [])
    if cut.products:
        graphs[FINISH] = cut.step([cut.row or cut.symbol] if cut.symbol else [], cut.products)
        graphs[PREPARE] = cut.prepare()
    return graphs


class _Splitter:
    """A step function and where it can be cut.

    Attributes:
        symbol: The symbol; None: the model reads none.
        row: The row of the symbol; None: it has none, or several, or is read for something else too.
        products: The products of the state.
    """

    def __init__(self, step_function: StepFunction, arithmetic: TensorFlowOps) -> None:
        self._step_function, self._arithmetic = step_function, arithmetic
        self.symbol = tf.TensorSpec([1], tf.int32, name=SYMBOL) if step_function.symbols else None
        self._features = [tf.TensorSpec([1, *f.shape], tf.as_dtype(f.dtype), name=f.name)
                          for f in step_function.features]  # fmt: skip
        self._states = [tf.TensorSpec([1, *t.shape], tf.float32, name=t.name) for t in step_function.state]
        self.row: Any = None
        self.products: list[Any] = []
        rows, products = self._pieces()
        self.products = [tf.TensorSpec(p.shape, tf.float32, name=f"{PREPARED}{n}") for n, p in enumerate(products)]
        if len(rows) == 1:
            row = tf.TensorSpec(rows[0].shape, tf.float32, name=ROW)
            if SYMBOL not in _read_by(self._step, [self.symbol, row, *self._features, *self._states]):
                self.row = row

    def look_up(self) -> Any:
        """Return the graph of the row of a symbol."""

        def graph(given: Mapping[str, Value]) -> dict[str, Value]:
            return {ROW: self._cutting(given).found_rows[0]}

        return _compiled(graph, [self.symbol])

    def prepare(self) -> Any:
        """Return the graph of the products of a state."""

        def graph(given: Mapping[str, Value]) -> dict[str, Value]:
            return {f"{PREPARED}{n}": product for n, product in enumerate(self._cutting(given).found_products)}

        return _compiled(graph, _only_read(graph, self._states))

    def step(self, symbol: Sequence[Any], products: Sequence[Any]) -> Any:
        """Return the graph of a step that reads the symbol as `symbol` says, and the `products` given."""
        specs = [*symbol, *self._features, *products, *self._states]
        return _compiled(self._step, _only_read(self._step, specs))

    def _step(self, given: Mapping[str, Value]) -> dict[str, Value]:
        answers, following = self._advance(given)[1]
        return {**answers, **{t.next: following[t.name] for t in self._step_function.state}}

    def _pieces(self) -> tuple[list[Value], list[Value]]:
        """Return rows and products of a step, as symbolic tensors."""
        found: list[tuple[list[Value], list[Value]]] = []

        def trace() -> None:
            cutting = self._cutting({})
            found.append((cutting.found_rows, cutting.found_products))

        tf.function(trace, autograph=False).get_concrete_function()
        return found[0]

    def _cutting(self, given: Mapping[str, Value]) -> _SplitOps:
        return self._advance(given)[0]

    def _advance(self, given: Mapping[str, Value]) -> tuple[_SplitOps, tuple[dict[str, Value], dict[str, Value]]]:
        """Take a step from what is `given` by name, with zeros for what is not: what they lead to is not returned."""
        read = [*([self.symbol] if self.symbol else []), *self._features]
        inputs, state = (
            {s.name: given[s.name] if s.name in given else tf.zeros(s.shape, s.dtype) for s in specs}
            for specs in (read, self._states)
        )
        products = [given[spec.name] for spec in self.products if spec.name in given]
        cutting = _SplitOps(
            self._arithmetic,
            inputs,
            state,
            given_rows=[given[ROW]] if ROW in given else None,
            given_products=products or None,
        )
        return cutting, self._step_function.advance(cutting, inputs, state)


_Graph = Callable[[Mapping[str, Value]], dict[str, Value]]


def _compiled(graph: _Graph, specs: Sequence[Any]) -> Any:
    """Compile `graph`, which is given tensors of `specs` by name."""

    def flat(*given: Any) -> dict[str, Value]:
        return graph(dict(zip((spec.name for spec in specs), given, strict=True)))

    return tf.function(flat, input_signature=specs, autograph=False)


def _only_read(graph: _Graph, specs: Sequence[Any]) -> list[Any]:
    """Return those of `specs` that `graph` reads."""
    names = _read_by(graph, specs)
    return [spec for spec in specs if spec.name in names]


def _read_by(graph: _Graph, specs: Sequence[Any]) -> set[str]:
    """Return the names of those of `specs` that the outputs of `graph` depend on."""
    all_of_it = _compiled(graph, specs).get_concrete_function()
    pending, seen = [tensor.op for tensor in all_of_it.outputs], set()
    while pending:  # back from what is returned
        operation = pending.pop()
        if operation not in seen:
            seen.add(operation)
            pending += [tensor.op for tensor in operation.inputs]
    return {spec.name for spec, tensor in zip(specs, all_of_it.inputs, strict=False) if tensor.op in seen}
