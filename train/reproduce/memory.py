"""Two sequences that agree in the middle: the demonstration of memory by J. Brownlee.

https://machinelearningmastery.com/memory-in-a-long-short-term-memory-network/ claims that both sequences are learned.
The network sees one symbol at a time and no gradient ever crosses a step, so the weights cannot be taught to remember:
what the cell keeps of the first symbol it keeps by chance. `frozen` shows it: the cell stays as it was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.common.arrays import Ids
from .recipe import Measured, Progress, PublishedRecipe, answers, compiled, fraction, one_hot, show, stepped

if TYPE_CHECKING:
    import keras

SEQUENCES: Ids = np.array([[3, 0, 1, 2, 3], [4, 0, 1, 2, 4]], np.int32)
_SYMBOLS, _UNITS = 5, 20
_STREAMED = 100  # sequences, one after the other
_LOSSES = {"sigmoid": "binary_crossentropy", "softmax": "categorical_crossentropy"}


@dataclass(frozen=True)
class MemoryRecipe(PublishedRecipe):
    """LSTM of 20 units, one symbol at a time, the state carried within a sequence.

    Attributes:
        epochs: Times that both sequences are shown.
        output: "sigmoid" with binary cross-entropy as published, or "softmax" with categorical cross-entropy.
        frozen: Leave the recurrent layer as it was drawn and train the readout alone; takes about 1,000 epochs.
        stateful: Carry the state from symbol to symbol; else every symbol starts from nothing.
    """

    epochs: int = 250
    output: str = "sigmoid"
    frozen: bool = False
    stateful: bool = True

    def problems(self) -> dict[str, bool]:
        """See `PublishedRecipe.problems`."""
        text = f"output {self.output!r}, give {' or '.join(map(repr, _LOSSES))}"
        return {text: self.output not in _LOSSES}

    def build(self) -> keras.Sequential:
        """Return the untrained network."""
        import keras

        recurrent = keras.layers.LSTM(_UNITS, stateful=self.stateful, trainable=not self.frozen)
        readout = keras.layers.Dense(_SYMBOLS, activation=self.output)
        return compiled([keras.Input(batch_shape=(1, 1, _SYMBOLS)), recurrent, readout], _LOSSES[self.output])

    def train(self, random: np.random.Generator, progress: Progress) -> Any:
        """See `PublishedRecipe.train`."""
        model = self.build()
        inputs = one_hot(SEQUENCES[:, :-1, None], _SYMBOLS)  # (2, 4, 1, 5)
        targets = one_hot(SEQUENCES[:, 1:], _SYMBOLS)  # (2, 4, 5)
        for epoch in range(self.epochs):
            for x, y in zip(inputs, targets, strict=True):
                show(model, x, y, 1)
                if self.stateful:
                    model.layers[0].reset_state()
            progress((epoch + 1) / self.epochs)
        return model, inputs

    def measure(self, seed: int, random: np.random.Generator, trained: Any) -> Measured:
        """See `PublishedRecipe.measure`. `recalled` is the fraction of right answers where the two sequences part.

        The stream is never reset; after the last symbol of a sequence anything may follow, so that answer does not
        count.
        """
        model, inputs = trained
        right = np.array([answers(model, x, 1) for x in inputs]) == SEQUENCES[:, 1:]
        order = np.random.default_rng([seed, 1]).integers(0, len(SEQUENCES), _STREAMED)
        stream = one_hot(SEQUENCES[order].reshape(1, -1), _SYMBOLS)
        streamed = answers(stepped(model), stream, 1).reshape(_STREAMED, -1)[:, :-1] == SEQUENCES[order, 1:]
        details = {
            "chance": 7 / 8,  # without memory, one of the two endings is always wrong
            "recalled": fraction(right[:, -1]),
            "recalled, streamed": fraction(streamed[:, -1]),
        }
        return fraction(right), fraction(streamed), details
