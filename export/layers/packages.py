"""Layers that hold another layer which does the same outside of training: that one is stepped in their place."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras

KerasLayer: TypeAlias = Any


def substitute(layer: KerasLayer) -> KerasLayer:
    """Return the layer that is stepped in place of `layer`: mostly itself."""
    if type(layer) is keras.layers.SpectralNormalization:
        return layer.layer  # its kernel is normalised in training, and stays so
    if type(layer).__module__.split(".")[0] == "keras_lmu" and type(layer).__name__ in ("LMU", "LMUFeedforward"):
        return _lmu(layer)
    return layer


def _lmu(layer: KerasLayer) -> KerasLayer:
    """Return the layer of keras_lmu as an RNN over its cell.

    Without feedback the package convolves the whole sequence with the answer of the cell to an impulse.
    """
    inner: KerasLayer = getattr(layer, "layer", layer)
    if isinstance(inner, keras.layers.RNN):
        return inner
    made = getattr(layer, "_stepcell_recurrent", None)
    if made is None:
        import keras_lmu  # type: ignore[import-untyped]

        channels = inner.memory_d if inner.kernel is None else inner.kernel.shape[0]
        cell = keras_lmu.LMUCell(
            inner.memory_d, inner.order, inner.theta, inner.hidden_cell, input_to_hidden=inner.input_to_hidden,
            discretizer=inner.discretizer, kernel_initializer=inner.kernel_initializer, use_bias=inner.use_bias,
            input_d=channels,
        )  # fmt: skip
        made = keras.layers.RNN(cell, return_sequences=inner.return_sequences, name=layer.name)
        cell.build((None, channels))
        for own, other in ((cell.kernel, inner.kernel), (cell.bias, inner.bias)):
            if own is not None:
                own.assign(other)
        made.built = True
        object.__setattr__(layer, "_stepcell_recurrent", made)
    return made
