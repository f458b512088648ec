"""Layers that turn the id of a symbol into a vector."""

from __future__ import annotations

import keras
import numpy as np

from ..graph import KerasLayer
from .rule import CannotStepError, Lookup, step_rule
from .weights import weights_of


@step_rule(keras.layers.Embedding)
def embedding(layer: KerasLayer) -> Lookup:
    """Return the embedding matrix, shape (V, N). With mask_zero Keras writes the mask down as operations."""
    (table,) = weights_of(layer)
    return Lookup(table)


@step_rule(keras.layers.CategoryEncoding)
def one_hot(layer: KerasLayer) -> Lookup:
    """Return the identity, shape (V, V)."""
    if layer.output_mode != "one_hot":
        raise CannotStepError(f"its output_mode is {layer.output_mode!r}; one_hot can be stepped")
    return Lookup(np.eye(layer.num_tokens, dtype=np.float32))
