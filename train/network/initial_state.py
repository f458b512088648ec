"""The state that follows a reset: zeros, or learned with the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import Float32

Tensor: TypeAlias = Any


class InitialState:
    """The state of the recurrent layers of a model before their first symbol.

    Attributes:
        names: "h0", "c0", "h1", ...: as in an exported file.
        variables: What is learned, each (1, U), in the order of `names`; none where the state starts from zeros.
    """

    def __init__(self, model: keras.Model, *, learned: bool) -> None:
        """Begin with zeros, for a `model` of `Network.build`."""
        layers = [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]
        parts = [
            (f"{part}{number}", layer.units)
            for number, layer in enumerate(layers)
            for part in ("hc" if isinstance(layer, keras.layers.LSTM) else "h")
        ]
        self.names = tuple(name for name, _ in parts)
        self._units = tuple(units for _, units in parts)
        self.variables: list[Any] = []
        if learned:
            self.variables = [keras.Variable(np.zeros((1, units), np.float32), name=name) for name, units in parts]

    def of(self, lanes: int) -> list[Tensor]:
        """Return the state of `lanes` sequences that have not begun, each (B, U)."""
        if not self.variables:
            return [tf.zeros((lanes, units)) for units in self._units]
        return [tf.repeat(variable.value, lanes, axis=0) for variable in self.variables]

    def after_reset(self, state: Sequence[Tensor], resets: Tensor) -> list[Tensor]:
        """Return `state`, each (B, U), with the lanes begun anew where `resets`, bool of shape (B,), says so."""
        reset = tf.cast(resets, tf.float32)[:, None]
        kept = [tensor * (1.0 - reset) for tensor in state]
        if not self.variables:
            return kept
        return [tensor + reset * variable.value for tensor, variable in zip(kept, self.variables, strict=True)]

    def arrays(self) -> dict[str, Float32]:
        """Return what was learned, name -> float32 of shape (1, U); nothing where the state starts from zeros."""
        return {n: np.array(v, np.float32) for n, v in zip(self.names, self.variables, strict=False)}

    def set_arrays(self, arrays: Sequence[Float32]) -> None:
        """Put back what was learned, in the order of `names`."""
        for variable, array in zip(self.variables, arrays, strict=True):
            variable.assign(array)
