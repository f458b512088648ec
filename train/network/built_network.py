"""A built Keras model with its layers by their role, and the initial state of its recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import Float32
from .network import CONCATENATED
from .values import ValueScaling

Tensor: TypeAlias = Any


class InitialState:
    """The state of the recurrent layers before their first symbol: zeros, or learned with the weights.

    Attributes:
        names: "h0", "c0", "h1", ...: as in an exported file.
        variables: The learned tensors, each (1, U), in the order of `names`; empty where the state starts from zeros.
    """

    def __init__(self, recurrent: Sequence[keras.layers.RNN], *, learned: bool) -> None:
        """Begin with zeros."""
        units = {
            f"{part}{index}": layer.units
            for index, layer in enumerate(recurrent)
            for part in ("hc" if isinstance(layer, keras.layers.LSTM) else "h")
        }
        self.names = tuple(units)
        self._units = tuple(units.values())
        self.variables: list[Any] = []
        if learned:
            self.variables = [keras.Variable(np.zeros((1, n), np.float32), name=name) for name, n in units.items()]

    def of(self, rows: int) -> list[Tensor]:
        """Return the state of `rows` sequences that have not begun, each (B, U)."""
        if not self.variables:
            return [tf.zeros((rows, units)) for units in self._units]
        return [tf.repeat(variable.value, rows, axis=0) for variable in self.variables]

    def after_reset(self, state: Sequence[Tensor], resets: Tensor) -> list[Tensor]:
        """Return `state`, each (B, U), with the initial state in the rows that `resets`, bool (B,), selects."""
        reset = tf.cast(resets, tf.float32)[:, None]
        kept = [tensor * (1.0 - reset) for tensor in state]
        if not self.variables:
            return kept
        return [tensor + reset * variable.value for tensor, variable in zip(kept, self.variables, strict=True)]

    def arrays(self) -> dict[str, Float32]:
        """Return name -> learned state, float32 of shape (1, U); empty where the state starts from zeros."""
        return {n: np.array(v, np.float32) for n, v in zip(self.names, self.variables, strict=False)}


@dataclass(frozen=True)
class BuiltNetwork:
    """A model of `Network.build` and its parts.

    Attributes:
        model: The Keras model.
        lookup: Its Embedding; None: it reads features alone.
        recurrent: Its recurrent layers, first to last.
        head: Its Dense layer.
        dropout: Fraction that is dropped between layers while training.
        scaling: Features (T, B, F) -> normalised features of the same shape; None where the model has none.
        initial_state: The state that follows a reset.
        values: The scale of its values; None: it answers with probabilities.
    """

    model: keras.Model
    lookup: Any
    recurrent: tuple[Any, ...]
    head: Any
    dropout: float
    scaling: Callable[[Tensor], Tensor] | None
    initial_state: InitialState
    values: ValueScaling | None = None

    @classmethod
    def of(
        cls, model: keras.Model, *, learn_initial_state: bool = False, values: ValueScaling | None = None
    ) -> BuiltNetwork:
        """Take apart a `model` of `Network.build`; `values` is the scale of its values."""
        lookup = next((layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)), None)
        recurrent = [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]
        head = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
        dropout = next((layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)), 0.0)
        initial_state = InitialState(recurrent, learned=learn_initial_state)
        return cls(model, lookup, tuple(recurrent), head, dropout, _scaling_of(model, lookup), initial_state, values)

    @property
    def variables(self) -> list[Any]:
        """The trained variables: the model's, then the initial state's."""
        return [*self.model.trainable_variables, *self.initial_state.variables]

    def weights(self) -> tuple[Float32, ...]:
        """Return a copy of all weights of the model, then of the initial state if it is learned."""
        return (*self.model.get_weights(), *self.initial_state.arrays().values())

    def set_weights(self, weights: Sequence[Float32]) -> None:
        """Restore the weights that `weights` returned."""
        count = len(self.model.weights)
        self.model.set_weights(list(weights[:count]))
        for variable, array in zip(self.initial_state.variables, weights[count:], strict=True):
            variable.assign(array)


def _scaling_of(model: keras.Model, lookup: Any) -> Callable[[Tensor], Tensor] | None:
    """Return the function with which a model of `Network.build` normalises its features; None where it has none."""
    inputs = model.inputs[lookup is not None :]
    if not inputs:
        return None
    if len(model.inputs) == 1:
        scaled = [next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization)).output]
    else:
        scaled = model.get_layer(CONCATENATED).input[lookup is not None :]
    part = keras.Model(inputs, scaled)
    return lambda features: tf.concat(tf.nest.flatten(part(tf.split(features, len(scaled), -1))), -1)
