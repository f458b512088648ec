"""Layers that cannot be stepped, with the reason and the remedy: most look at the future."""

from __future__ import annotations

from keras import layers

from .keras_graph import KerasLayer
from .rule import CannotStepError, LayerStep, step_rule

_WHOLE_SEQUENCE = "it looks at the whole sequence, so it looks at the future"
_REASONS: dict[tuple[type, ...], str] = {
    (layers.Bidirectional,): (
        "it reads the sequence from its end too, so it looks at the future; use its forward layer alone and train again"
    ),
    (layers.UpSampling1D, layers.Conv1DTranspose): (
        "it makes several time steps of one, and a step answers once; leave it out, and let the caller do it"
    ),
    (layers.UpSampling2D, layers.Conv2DTranspose): (
        "it makes several time steps of one, and a step answers once; give it sizes or strides of 1 along the time, "
        "or leave it out"
    ),
    (layers.Dot,): "it multiplies whole tensors; use Multiply and a Dense layer",
    (layers.Attention, layers.AdditiveAttention, layers.MultiHeadAttention, layers.GroupQueryAttention): (
        f"{_WHOLE_SEQUENCE}, and its memory grows with it; use a recurrent layer"
    ),
    (layers.GroupNormalization,): (
        "it takes mean and variance over all time steps, so it looks at the future; use LayerNormalization"
    ),
    # Around the sequence that is stepped it has been replaced by the layer inside it.
    (layers.TimeDistributed,): (
        "it works along a sequence that is made within one step and not the one that is stepped; use the layer inside "
        "it alone, or set return_sequences=True before it"
    ),
}


def _refuse(reason: str, *types: type) -> None:
    @step_rule(*types, several=True)
    def rule(layer: KerasLayer) -> LayerStep:
        raise CannotStepError(reason)


for _types, _reason in _REASONS.items():
    _refuse(_reason, *_types)
