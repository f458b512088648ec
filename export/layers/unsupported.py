"""Layers that can never be stepped, because what they answer now depends on what comes later."""

from __future__ import annotations

import keras

from .keras_graph import KerasLayer
from .rule import CannotStepError, LayerStep, step_rule

_LAYERS = keras.layers
_WHOLE_SEQUENCE = "it looks at the whole sequence, so it looks at the future"


@step_rule(_LAYERS.Bidirectional)
def bidirectional(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    raise CannotStepError("it reads the sequence from its end too, so it looks at the future; "
                          "use its forward layer alone and train again")  # fmt: skip


@step_rule(_LAYERS.GlobalAveragePooling1D, _LAYERS.GlobalMaxPooling1D)
def whole_sequence(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    raise CannotStepError(f"{_WHOLE_SEQUENCE}; let a recurrent layer with return_sequences=False sum it up")


@step_rule(_LAYERS.Cropping1D, _LAYERS.UpSampling1D, _LAYERS.Conv1DTranspose)
def other_steps(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    raise CannotStepError("its output has other time steps than its input; leave it out, and let the caller do it")


@step_rule(_LAYERS.Dot, several=True)
def dot(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    raise CannotStepError("it multiplies whole tensors; use Multiply and a Dense layer")


@step_rule(_LAYERS.Attention, _LAYERS.AdditiveAttention, _LAYERS.MultiHeadAttention, _LAYERS.GroupQueryAttention,
           several=True)  # fmt: skip
def attention(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    raise CannotStepError(f"{_WHOLE_SEQUENCE}, and its memory grows with it; use a recurrent layer")


@step_rule(_LAYERS.Lambda)
def lambda_layer(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    raise CannotStepError("it holds arbitrary code, and what that does in a step cannot be known; "
                          "use layers of Keras, Activation for example")  # fmt: skip
