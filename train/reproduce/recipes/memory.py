"""Two sequences that agree in the middle: the demonstration of memory by J. Brownlee.

https://machinelearningmastery.com/memory-in-a-long-short-term-memory-network/ claims that both sequences are learned.
The network sees one symbol at a time and no gradient ever crosses a step, so the weights cannot be taught to remember:
what the cell keeps of the first symbol it keeps by chance. `frozen` shows it: the cell stays as it was drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from ....runtime.common.arrays import AnyArray, Ids
from .answering import answers, one_hot, share, stepped
from .outcome import Outcome, refuse_if, silent

SEQUENCES: Ids = np.array([[3, 0, 1, 2, 3], [4, 0, 1, 2, 4]], np.int32)
_SYMBOLS, _UNITS = 5, 20
_STREAMED = 100  # sequences, one after the other
_LOSSES = {"sigmoid": "binary_crossentropy", "softmax": "categorical_crossentropy"}


@dataclass(frozen=True)
class MemoryRecipe:
    """LSTM of 20 units, one symbol at a time, the state carried within a sequence.

    Attributes:
        epochs: Times that both sequences are shown.
        output: "sigmoid" with binary cross-entropy as published, or "softmax" with that of categories.
        frozen: Leave the recurrent layer as it was drawn and train the readout alone; takes about 1,000 epochs.
        stateful: Carry the state from symbol to symbol; else every symbol starts from nothing.

    Raises:
        ProblemError: The values make no recipe.
    """

    epochs: int = 250
    output: str = "sigmoid"
    frozen: bool = False
    stateful: bool = True

    def __post_init__(self) -> None:
        """Check the values."""
        refuse_if(
            {
                f"{self.epochs} epochs, give 1 or more": self.epochs < 1,
                f"output {self.output!r}, give {' or '.join(map(repr, _LOSSES))}": self.output not in _LOSSES,
            }
        )

    def build(self) -> keras.Sequential:
        """Return the untrained network."""
        recurrent = keras.layers.LSTM(_UNITS, stateful=self.stateful, trainable=not self.frozen)
        readout = keras.layers.Dense(_SYMBOLS, activation=self.output)
        model = keras.Sequential([keras.Input(batch_shape=(1, 1, _SYMBOLS)), recurrent, readout])
        model.compile(optimizer="adam", loss=_LOSSES[self.output])
        return model

    def run(self, seed: int, progress: Callable[[float], None] = silent) -> Outcome:
        """See `PublishedRecipe.run`. `recalled` is the share of right answers where the two sequences part."""
        keras.utils.set_random_seed(seed)
        began = time.process_time()
        model = self.build()
        inputs = one_hot(SEQUENCES[:, :-1, None], _SYMBOLS)  # (2, 4, 1, 5)
        targets = one_hot(SEQUENCES[:, 1:], _SYMBOLS)  # (2, 4, 5)
        for epoch in range(self.epochs):
            for x, y in zip(inputs, targets, strict=True):
                model.fit(x, y, batch_size=1, shuffle=False, verbose=0)
                if self.stateful:
                    model.layers[0].reset_state()
            progress((epoch + 1) / self.epochs)
        seconds = time.process_time() - began
        right = np.array([answers(model, x, 1) for x in inputs]) == SEQUENCES[:, 1:]
        streamed = _streamed(model, seed)
        details = {
            "chance": 7 / 8,  # without memory, one of the two endings is always wrong
            "recalled": share(right[:, -1]),
            "recalled, streamed": share(streamed[:, -1]),
        }
        return Outcome(share(right), share(streamed), seconds, details)


def _streamed(model: keras.Sequential, seed: int) -> AnyArray:
    """Return which answers are right, bool of shape (sequences, 4), when the state is never reset.

    After the last symbol of a sequence anything may follow, so that answer does not count.
    """
    order = np.random.default_rng([seed, 1]).integers(0, len(SEQUENCES), _STREAMED)
    stream = SEQUENCES[order].reshape(1, -1)
    found = answers(stepped(model), one_hot(stream, _SYMBOLS), 1).reshape(_STREAMED, -1)
    right: AnyArray = found[:, :-1] == SEQUENCES[order, 1:]
    return right
