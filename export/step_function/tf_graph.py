"""TensorFlow functions of a step: the graphs that files are converted from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from ...runtime.format.tensor_specs import SYMBOL
from ..ops import Value
from ..ops.tensorflow_ops import TensorFlowOps
from .build import StepFunction

Tensors: TypeAlias = Mapping[str, Value]  # by their names in the file


def input_specs(step_function: StepFunction, batch: int | None) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the specs of the symbol, if there is one, of the features, and of the state."""
    symbol = [tf.TensorSpec([batch], tf.int32, name=SYMBOL)] if step_function.symbols else []
    features = [tf.TensorSpec([batch, *f.shape], tf.as_dtype(f.dtype), name=f.name) for f in step_function.features]
    return symbol, features, [tf.TensorSpec([batch, *t.shape], tf.float32, name=t.name) for t in step_function.state]


def advance_named(step_function: StepFunction, ops: TensorFlowOps, given: Tensors) -> dict[str, Value]:
    """Take a step from inputs and state in one mapping; return outputs and next state in one, as files have them."""
    state = {tensor.name: given[tensor.name] for tensor in step_function.state}
    inputs = {name: value for name, value in given.items() if name not in state}
    outputs, following = step_function.advance(ops, inputs, state)
    return {**outputs, **{tensor.next: following[tensor.name] for tensor in step_function.state}}


def compiled(graph: Callable[[Tensors], dict[str, Value]], specs: Sequence[Any]) -> Any:
    """Compile `graph`, which is given tensors of `specs` by name: signatures take their names from the specs."""

    def flat(*given: Any) -> dict[str, Value]:
        return graph(dict(zip((spec.name for spec in specs), given, strict=True)))

    return tf.function(flat, input_signature=specs, autograph=False)


def step_graph(step_function: StepFunction, ops: TensorFlowOps, batch: int | None = None) -> Any:
    """Return the TensorFlow function `step`: inputs (B, ...) and state in, outputs (B, K) and next state out.

    None: it is for any number of streams B.
    """
    symbol, features, states = input_specs(step_function, batch)
    return compiled(lambda given: advance_named(step_function, ops, given), [*symbol, *features, *states])
