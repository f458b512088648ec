"""The shape of a network, checked without TensorFlow, and the Keras model built from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.common.errors import raise_if_any
from ...runtime.data import FeatureStats
from ...runtime.format.tensor_specs import SYMBOL
from .values import ValueScaling

if TYPE_CHECKING:
    import keras

PREFIX = "network."  # of the names of layers where there are features: no feature has such a name
CONCATENATED = f"{PREFIX}inputs"  # the layer that appends the features to the looked-up symbol
HEAD = f"{PREFIX}scaled_values"  # the layer whose answers are scaled to values
CELLS = ("lstm", "gru", "rnn")
MAX_UNITS, _MAX_LAYERS = 8_192, 64  # a layer of 8,192 units takes gigabytes to train


ONE_HOT = 256  # most symbols that are fed as one-hot vectors by default
_WIDEST = 128


def default_embedding(symbols: int) -> int:
    """Return the size of the embedding of a vocabulary if none is named: about the root of its size; 0: one-hot."""
    return 0 if symbols <= ONE_HOT else min(8 * round(math.sqrt(symbols) / 8), _WIDEST)


@dataclass(frozen=True)
class Network:
    """The shape of a network: a lookup, recurrent layers, a softmax; or features, recurrent layers, values.

    Attributes:
        cell: One of `CELLS`.
        units: Units of each recurrent layer.
        layers: Recurrent layers.
        embedding: Size of the embedding; 0: one-hot, an embedding with a fixed identity matrix.
        dropout: Fraction of each recurrent layer's outputs that is dropped while training.
        forget_bias: Initial bias of the forget gate of an LSTM (Gers et al. 2000: 1 lets it remember from the start).
        chrono_init: Initialise the gates for lags of up to this many steps (Tallec and Ollivier 2018); 0: do not; None:
            as the problem needs it.

    Raises:
        ProblemError: A value is out of range; all such values are named.
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
        for name, most in (("units", MAX_UNITS), ("layers", _MAX_LAYERS), ("embedding", MAX_UNITS)):
            if getattr(self, name) > most:
                problems.append(f"{name} is {getattr(self, name)}, {most} is the most")
        if not 0 <= self.dropout < 1:
            problems.append(f"dropout is {self.dropout}, it must be 0 or more and below 1")
        if not math.isfinite(self.forget_bias):
            problems.append(f"the bias of the forget gate is {self.forget_bias}, it must be finite")
        raise_if_any(problems, "This network cannot be built")

    def build(
        self, symbols: int, outputs: int, seed: int, *, max_lag: int = 0, scales: Sequence[FeatureStats] = (),
        values: ValueScaling | None = None,
    ) -> keras.Model:  # fmt: skip
        """Return the Keras model: ids (B, T) in, and a feature (B, T, 1) for each scale; (B, T, `outputs`) out.

        Every initial weight follows from `seed`; no global random state is read or moved.

        Args:
            symbols: Size of the vocabulary; 0: the model reads features alone.
            outputs: Size of the output vocabulary, or number of values.
            seed: Of the initial weights.
            max_lag: The value of `chrono_init` where it is None.
            scales: The features beside the symbol, with the mean and variance that the model normalises them by.
            values: The scale of the values that the model answers with; None: probabilities.
        """
        import keras

        seeds = iter(np.random.SeedSequence([seed, 1]).generate_state(2 * self.layers + 2).tolist())
        glorot, orthogonal = keras.initializers.GlorotUniform, keras.initializers.Orthogonal
        prefix = PREFIX if scales else ""
        lookup = None
        if self.embedding and symbols:
            table = keras.initializers.RandomUniform(seed=next(seeds))
            lookup = keras.layers.Embedding(symbols, self.embedding, table, name=f"{prefix}embedding")
        elif symbols:
            # Not CategoryEncoding: given sequences of one symbol, it silently drops the time axis.
            identity = keras.initializers.Identity()
            lookup = keras.layers.Embedding(symbols, symbols, identity, trainable=False, name=f"{prefix}one_hot")
        kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}[self.cell]
        recurrent, following = [], []
        for index in range(self.layers):
            layer = kind(
                self.units,
                return_sequences=True,
                kernel_initializer=glorot(seed=next(seeds)),
                recurrent_initializer=orthogonal(seed=next(seeds)),
                name=f"{prefix}{self.cell}_{index}",
            )
            recurrent.append(layer)
            following.append(layer)
            if self.dropout:
                following.append(keras.layers.Dropout(self.dropout, name=f"{prefix}dropout_{index}"))
        name, activation = (f"{prefix}probabilities", "softmax") if values is None else (HEAD, None)
        head = keras.layers.Dense(
            outputs, activation=activation, kernel_initializer=glorot(seed=next(seeds)), name=name
        )
        model = _connect(lookup, [*following, head], scales, values, f"{self.cell}_{self.units}")
        for index, layer in enumerate(recurrent):
            self._set_gates(layer, max_lag if self.chrono_init is None else self.chrono_init, [seed, 2, index])
        return model

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object."""
        return asdict(self)

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


def _connect(
    lookup: Any, following: Sequence[Any], scales: Sequence[FeatureStats], values: ValueScaling | None, name: str
) -> keras.Model:
    """Return the model of these layers in sequence; each feature is an input (B, T, 1) that the model normalises.

    Args:
        lookup: The layer that reads symbols; None: there are none.
        following: The layers behind it.
        scales: The features.
        values: The scale of the values at the end; None: the last layer answers.
        name: Name of the model.
    """
    import keras

    if not scales:
        return keras.Sequential([keras.Input((None,), dtype="int32", name="symbols"), lookup, *following], name=name)
    symbols = [] if lookup is None else [keras.Input((None,), dtype="int32", name=SYMBOL)]
    inputs, parts = list(symbols), [lookup(x) for x in symbols]
    for scale in scales:
        inputs.append(keras.Input((None, 1), name=scale.name))
        x = inputs[-1]
        if scale.logarithmic:  # a clock that is put back must not make a logarithm of a negative number
            x = keras.ops.log1p(keras.layers.ReLU(name=f"{scale.name}.not_negative")(x))
        normalization = keras.layers.Normalization(
            axis=-1, mean=[scale.mean], variance=[scale.variance], name=f"{scale.name}.normalization"
        )
        parts.append(normalization(x))
    x = keras.layers.Concatenate(name=CONCATENATED)(parts) if len(parts) > 1 else parts[0]
    for layer in following:
        x = layer(x)
    if values is not None:
        x = _scale(x, inputs[len(symbols) :], values)
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], x, name=name)  # a list of one is warned about at calls


def _scale(x: Any, features: Sequence[Any], values: ValueScaling) -> Any:
    """Return the values of which `x`, (B, T, K), are in standard deviations; their bases, `features`, are added."""
    import keras

    factors, offsets = values.deviations.tolist(), values.offsets.tolist()
    one = len(factors) == 1
    scaling = keras.layers.Rescaling(
        factors[0] if one else factors, offsets[0] if one else offsets, name=f"{PREFIX}values"
    )
    if not values.bases:
        return scaling(x)
    bases = [
        features[index] if index >= 0 else keras.layers.Rescaling(0.0, name=f"{PREFIX}no_base_{number}")(features[0])
        for number, index in enumerate(values.bases)
    ]
    base = bases[0] if len(bases) == 1 else keras.layers.Concatenate(name=f"{PREFIX}bases")(bases)
    return keras.layers.Add(name=f"{PREFIX}with_bases")([base, scaling(x)])
