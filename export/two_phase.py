"""The step in two phases: what needs the symbol, and what can be done after the answer has been given.

A recurrent layer multiplies its state by a matrix, and that product does not depend on the next symbol. So a step can
be cut: `finish` takes the symbol and the products, and gives the answer and the next state; `prepare` makes the
products of the next step from that state. Together they compute what `step` computes, and the answer comes after the
first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..runtime.ports import FINISH, PREPARE, PREPARED, SYMBOL
from .arithmetic import TensorFlowArithmetic, Value, Weights
from .step_function import StepFunction


class _Cutting:
    """Arithmetic that takes the products of a state and a matrix from `given`, or makes and collects them."""

    def __init__(self, arithmetic: Any, state: Mapping[str, Value], given: Sequence[Value] | None) -> None:
        self._arithmetic = arithmetic
        self._state = state
        self._given = given
        self.products: list[Value] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._arithmetic, name)

    def matmul(self, x: Value, kernel: Weights) -> Value:
        """See `Arithmetic.matmul`."""
        if not any(x is tensor for tensor in self._state.values()):
            return self._arithmetic.matmul(x, kernel)
        product = self._arithmetic.matmul(x, kernel) if self._given is None else self._given[len(self.products)]
        self.products.append(product)
        return product


def two_phase_graphs(step_function: StepFunction, arithmetic: TensorFlowArithmetic) -> dict[str, Any]:
    """Return the TensorFlow functions `finish` and `prepare`, or none where no product can be made beforehand.

    Both are for one stream, B = 1. `finish` reads the symbol and the features, "prepared0", ..., float32 (1, N), and of
    the state what it needs besides; it answers as `step` does. `prepare` reads of the state what it needs and returns
    the products.
    """
    symbol = [tf.TensorSpec([1], tf.int32, name=SYMBOL)] if step_function.symbols else []
    features = [tf.TensorSpec([1, *f.shape], tf.as_dtype(f.dtype), name=f.name) for f in step_function.features]
    read = [*symbol, *features]
    states = [tf.TensorSpec([1, *t.shape], tf.float32, name=t.name) for t in step_function.state]

    def prepare(*state: Any) -> dict[str, Any]:
        named = _named(states, state)
        cutting = _Cutting(arithmetic, named, None)
        anything = {spec.name: tf.zeros(spec.shape, spec.dtype) for spec in read}  # what it leads to is not returned
        step_function.advance(cutting, anything, named)
        return {f"{PREPARED}{number}": product for number, product in enumerate(cutting.products)}

    products = tf.function(prepare, input_signature=states, autograph=False).get_concrete_function().structured_outputs
    if not products:
        return {}
    sizes = [tf.TensorSpec(products[f"{PREPARED}{n}"].shape, tf.float32, name=f"{PREPARED}{n}") for n in
             range(len(products))]  # fmt: skip

    def finish(*given: Any) -> dict[str, Any]:
        named = _named([*read, *sizes, *states], given)
        state = {tensor.name: named[tensor.name] for tensor in step_function.state}
        cutting = _Cutting(arithmetic, state, [named[size.name] for size in sizes])
        answers, following = step_function.advance(cutting, {spec.name: named[spec.name] for spec in read}, state)
        return {**answers, **{t.next: following[t.name] for t in step_function.state}}

    return {
        FINISH: _of_what_it_reads(finish, [*read, *sizes, *states]),
        PREPARE: _of_what_it_reads(prepare, states),
    }


def _of_what_it_reads(function: Any, specs: Sequence[Any]) -> Any:
    """Compile `function` with those of its arguments as inputs that it reads; the others get zeros."""
    all_of_it = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
    pending, seen = [tensor.op for tensor in all_of_it.outputs], set()
    while pending:  # back from what is returned
        operation = pending.pop()
        if operation not in seen:
            seen.add(operation)
            pending += [tensor.op for tensor in operation.inputs]
    used = [tensor.op in seen for tensor in all_of_it.inputs[: len(specs)]]

    def reduced(*given: Any) -> Any:
        remaining = list(given)
        return function(*(remaining.pop(0) if used[n] else tf.zeros(s.shape, s.dtype) for n, s in enumerate(specs)))

    wanted = [spec for spec, is_used in zip(specs, used, strict=True) if is_used]
    return tf.function(reduced, input_signature=wanted, autograph=False)


def _named(specs: Sequence[Any], values: Sequence[Any]) -> dict[str, Any]:
    return {spec.name: value for spec, value in zip(specs, values, strict=True)}
