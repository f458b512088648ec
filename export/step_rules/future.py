"""Layers that can never be stepped, because what they answer now depends on what comes later."""

from __future__ import annotations

import keras

from ..graph import KerasLayer
from .rule import CannotStepError, LayerStep, step_rule

_LAYERS = keras.layers
_WHOLE_SEQUENCE = "it looks at the whole sequence, so it looks at the future"


@step_rule(_LAYERS.Bidirectional)
def bidirectional(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    raise CannotStepError("it reads the sequence from its end too, so it looks at the future; "
                          "use its forward layer alone and train again")  # fmt: skip


@step_rule(
    _LAYERS.GlobalAveragePooling1D, _LAYERS.GlobalMaxPooling1D, _LAYERS.Flatten,
)  # fmt: skip
def whole_sequence(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    raise CannotStepError(f"{_WHOLE_SEQUENCE}; let a recurrent layer with return_sequences=False sum it up")


@step_rule(_LAYERS.Attention, _LAYERS.AdditiveAttention, _LAYERS.MultiHeadAttention, _LAYERS.GroupQueryAttention)
def attention(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    raise CannotStepError(f"{_WHOLE_SEQUENCE}, and its memory grows with it; use a recurrent layer")


@step_rule(_LAYERS.Lambda)
def lambda_layer(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    raise CannotStepError("it holds arbitrary code, and what that does in a step cannot be known; "
                          "use layers of Keras, Activation for example")  # fmt: skip


@step_rule(_LAYERS.Conv1D, _LAYERS.SeparableConv1D, _LAYERS.DepthwiseConv1D)
def convolution(layer: KerasLayer) -> LayerStep:
    """Refuse."""
    if layer.padding == "causal":
        raise CannotStepError("causal convolutions have no step rule in this version; use a recurrent layer")
    raise CannotStepError(
        f"its padding is {layer.padding!r}, not 'causal', so it looks at the future; use a recurrent layer"
    )
