"""The networks that stepcell trains: a lookup, recurrent layers, a softmax.

Features on their way into a network: fed as they are, brought to mean 0 and variance 1 by the model itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.errors import raise_if_any
from ...runtime.data import FeatureStats
from ...runtime.format.tensor_specs import SYMBOL

Tensor: TypeAlias = Any
PREFIX = "network."  # of layers beside features: no feature is called like that
_JOINED = f"{PREFIX}inputs"


def with_scaled(looked_up: Tensor, scales: Sequence[FeatureStats]) -> tuple[list[Tensor], Tensor]:
    """Return the Keras inputs of the features, and `looked_up` (B, T, N) with them behind, (B, T, N + F).

    Each feature is an input (B, T, 1) of its own, with the constants of `scales` behind it.
    """
    inputs, scaled = [], []
    for scale in scales:
        x = given = keras.Input((None, 1), name=scale.name)
        if scale.logarithmic:  # a clock that is put back must not make a logarithm of a negative number
            x = keras.ops.log1p(keras.layers.ReLU(name=f"{scale.name}.not_negative")(x))
        normalization = keras.layers.Normalization(
            axis=-1, mean=[scale.mean], variance=[scale.variance], name=f"{scale.name}.normalization"
        )
        inputs.append(given)
        scaled.append(normalization(x))
    return inputs, keras.layers.Concatenate(name=_JOINED)([looked_up, *scaled])


def scaling_of(model: keras.Model) -> Callable[[Tensor], Tensor] | None:
    """Return what a model of `Network.build` makes of its features, (T, B, F) each; None where it has none."""
    if len(model.inputs) == 1:
        return None
    _, *scaled = model.get_layer(_JOINED).input
    part = keras.Model(model.inputs[1:], scaled)

    def scaling(numbers: Tensor) -> Tensor:
        return tf.concat(tf.nest.flatten(part(tf.split(numbers, len(scaled), -1))), -1)

    return scaling


_MOST_UNITS, _MOST_LAYERS = 8_192, 64  # a layer of so many units takes gigabytes to train
CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


@dataclass(frozen=True)
class Network:
    """The shape of a network.

    Attributes:
        cell: "lstm", "gru" or "rnn".
        units: Units of each recurrent layer.
        layers: Recurrent layers.
        embedding: Size of the embedding; 0: one-hot, which is an embedding with the identity that is not learned.
        dropout: Share of each recurrent layer's outputs that is dropped while training.
        forget_bias: Initial bias of the forget gate of an LSTM (Gers et al. 2000: 1 lets it remember from the start).
        chrono_init: Initialise the gates for lags of up to this many steps (Tallec and Ollivier 2018); 0: do not; None:
            as the problem needs it.

    Raises:
        ProblemError: A value that no network can have; all of them are named.
    """

    cell: str = "lstm"
    units: int = 64
    layers: int = 1
    embedding: int = 0
    dropout: float = 0.0
    forget_bias: float = 1.0
    chrono_init: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        problems = []
        if self.cell not in CELLS:
            problems.append(f"the cell is {self.cell!r}, not one of {', '.join(CELLS)}")
        for name, least in (("units", 1), ("layers", 1), ("embedding", 0), ("chrono_init", 0)):
            if getattr(self, name) is not None and getattr(self, name) < least:
                problems.append(f"{name} is {getattr(self, name)}, at least {least} is needed")
        for name, most in (("units", _MOST_UNITS), ("layers", _MOST_LAYERS), ("embedding", _MOST_UNITS)):
            if getattr(self, name) > most:
                problems.append(f"{name} is {getattr(self, name)}, {most} is the most")
        if not 0 <= self.dropout < 1:
            problems.append(f"dropout is {self.dropout}, it must be 0 or more and below 1")
        if not math.isfinite(self.forget_bias):
            problems.append(f"the bias of the forget gate is {self.forget_bias}, it must be finite")
        raise_if_any(problems, "This network cannot be built")

    def build(
        self, symbols: int, outputs: int, seed: int, *, max_lag: int = 0, scales: Sequence[FeatureStats] = ()
    ) -> keras.Model:
        """Return the Keras model: ids (B, T) in, and a feature (B, T, 1) for each scale; (B, T, `outputs`) out.

        Every initial weight follows from `seed`; no global random state is read or moved.

        Args:
            symbols: Size of the vocabulary.
            outputs: Size of the output vocabulary.
            seed: Of the initial weights.
            max_lag: What `chrono_init` is where it is None.
            scales: The features beside the symbol, and how far they spread, which the model has to know.
        """
        seeds = iter(np.random.SeedSequence([seed, 1]).generate_state(2 * self.layers + 2).tolist())
        glorot, orthogonal = keras.initializers.GlorotUniform, keras.initializers.Orthogonal
        prefix = PREFIX if scales else ""
        if self.embedding:
            table = keras.initializers.RandomUniform(seed=next(seeds))
            lookup = keras.layers.Embedding(
                symbols, self.embedding, embeddings_initializer=table, name=f"{prefix}embedding"
            )
        else:
            # Not CategoryEncoding: given sequences of one symbol, it silently drops the time axis.
            identity = keras.initializers.Identity()
            lookup = keras.layers.Embedding(symbols, symbols, identity, trainable=False, name=f"{prefix}one_hot")
        layers = []
        for number in range(self.layers):
            layer = CELLS[self.cell](
                self.units,
                return_sequences=True,
                kernel_initializer=glorot(seed=next(seeds)),
                recurrent_initializer=orthogonal(seed=next(seeds)),
                name=f"{prefix}{self.cell}_{number}",
            )
            layers.append(layer)
            if self.dropout:
                layers.append(keras.layers.Dropout(self.dropout, name=f"{prefix}dropout_{number}"))
        head = keras.layers.Dense(
            outputs, activation="softmax", kernel_initializer=glorot(seed=next(seeds)), name=f"{prefix}probabilities"
        )
        model = _joined(lookup, [*layers, head], scales, f"{self.cell}_{self.units}")
        recurrent = [layer for layer in layers if isinstance(layer, keras.layers.RNN)]
        for number, layer in enumerate(recurrent):
            self._set_gates(layer, max_lag if self.chrono_init is None else self.chrono_init, [seed, 2, number])
        return model

    def _set_gates(self, layer: keras.Layer, lag: int, seed: list[int]) -> None:
        """Set the initial biases of the gates that decide how long `layer` remembers."""
        if self.cell == "rnn" or (lag < 3 and (self.cell == "gru" or self.forget_bias == 1.0)):
            return
        units = self.units
        bias = np.array(layer.cell.bias)
        # A gate with bias log(t) forgets over about t steps, so biases of log(1 .. lag) cover all time scales.
        scales = np.log(np.random.default_rng(seed).uniform(1, max(lag, 3) - 1, units))
        if self.cell == "gru":
            bias[0, :units] = scales  # the update gate keeps the state where it is open
        elif lag < 3:
            bias[units : 2 * units] = self.forget_bias
        else:
            bias[:units], bias[units : 2 * units] = -scales, scales
        layer.cell.bias.assign(bias)

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object."""
        return asdict(self)


def _joined(
    lookup: keras.layers.Layer, following: Sequence[keras.layers.Layer], scales: Sequence[FeatureStats], name: str
) -> keras.Model:
    """Return the model of these layers, one behind the other, with the features beside what `lookup` answers."""
    if not scales:
        return keras.Sequential([keras.Input((None,), dtype="int32", name="symbols"), lookup, *following], name=name)
    symbol = keras.Input((None,), dtype="int32", name=SYMBOL)
    inputs, x = with_scaled(lookup(symbol), scales)
    for layer in following:
        x = layer(x)
    return keras.Model([symbol, *inputs], x, name=name)
