"""The networks that stepcell trains: a lookup, recurrent layers, a softmax."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from ..runtime.errors import ProblemError

CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


@dataclass(frozen=True)
class Network:
    """The shape of a network.

    Attributes:
        cell: "lstm", "gru" or "rnn".
        units: Units of each recurrent layer.
        layers: Recurrent layers.
        embedding: Size of the embedding; 0: one-hot, which is an embedding with the identity that is not learned.

    Raises:
        ProblemError: A value that no network can have; all of them are named.
    """

    cell: str = "lstm"
    units: int = 64
    layers: int = 1
    embedding: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        problems = []
        if self.cell not in CELLS:
            problems.append(f"the cell is {self.cell!r}, not one of {', '.join(CELLS)}")
        for name, least in (("units", 1), ("layers", 1), ("embedding", 0)):
            if getattr(self, name) < least:
                problems.append(f"{name} is {getattr(self, name)}, at least {least} is needed")
        if problems:
            raise ProblemError(f"This network cannot be built: {'; '.join(problems)}.")

    def build(self, symbols: int, outputs: int, seed: int) -> keras.Sequential:
        """Return the Keras model: ids (B, T) in, probabilities (B, T, `outputs`) out.

        Every initial weight follows from `seed`; no global random state is read or moved.
        """
        seeds = iter(np.random.SeedSequence([seed, 1]).generate_state(2 * self.layers + 2).tolist())
        glorot, orthogonal = keras.initializers.GlorotUniform, keras.initializers.Orthogonal
        model = keras.Sequential(name=f"{self.cell}_{self.units}")
        model.add(keras.Input((None,), dtype="int32", name="symbols"))
        if self.embedding:
            table = keras.initializers.RandomUniform(seed=next(seeds))
            model.add(keras.layers.Embedding(symbols, self.embedding, embeddings_initializer=table, name="embedding"))
        else:
            # Not CategoryEncoding: given sequences of one symbol, it silently drops the time axis.
            identity = keras.initializers.Identity()
            model.add(keras.layers.Embedding(symbols, symbols, identity, trainable=False, name="one_hot"))
        for number in range(self.layers):
            layer = CELLS[self.cell](
                self.units,
                return_sequences=True,
                kernel_initializer=glorot(seed=next(seeds)),
                recurrent_initializer=orthogonal(seed=next(seeds)),
                name=f"{self.cell}_{number}",
            )
            model.add(layer)
        head = keras.layers.Dense(
            outputs, activation="softmax", kernel_initializer=glorot(seed=next(seeds)), name="probabilities"
        )
        model.add(head)
        return model

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object."""
        return asdict(self)
