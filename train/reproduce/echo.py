"""Random numbers to be echoed, by J. Brownlee.

https://machinelearningmastery.com/learn-echo-random-integers-long-short-term-memory-recurrent-neural-networks/
Every epoch is one sequence of 25 numbers out of 100, drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.common.arrays import Ids
from .recipe import Measured, Progress, PublishedRecipe, answers, compiled, fraction, one_hot, show, stepped

if TYPE_CHECKING:
    import keras

SYMBOLS, LENGTH = 100, 25
_TESTED = 40  # sequences drawn anew; the tutorial looks at one
_STREAM = 1_000  # symbols


@dataclass(frozen=True)
class EchoCurrent(PublishedRecipe):
    """LSTM of 15 units that says the number it is shown. Needs no memory; batches of 1, no state is carried.

    Attributes:
        epochs: Sequences that are shown.
    """

    epochs: int = 500

    def train(self, random: np.random.Generator, progress: Progress) -> Any:
        """See `PublishedRecipe.train`."""
        import keras

        readout = keras.layers.Dense(SYMBOLS, activation="softmax")  # before the LSTM: its seed follows from the order
        model = compiled([keras.Input((1, SYMBOLS)), keras.layers.LSTM(15), readout])
        for epoch in range(self.epochs):
            shown = one_hot(_numbers(random, LENGTH), SYMBOLS)
            show(model, shown[:, None], shown, 1)  # `fit` would shuffle what is drawn at random anyway
            progress((epoch + 1) / self.epochs)
        return model

    def measure(self, seed: int, random: np.random.Generator, trained: Any) -> Measured:
        """See `PublishedRecipe.measure`."""
        tested, stream = _numbers(random, _TESTED * LENGTH), _numbers(random, _STREAM)
        accuracy = fraction(answers(trained, one_hot(tested[:, None], SYMBOLS), LENGTH) == tested)
        streamed = fraction(answers(stepped(trained), one_hot(stream[None], SYMBOLS), 1)[0] == stream)
        return accuracy, streamed, {"chance": 1 / SYMBOLS}


@dataclass(frozen=True)
class EchoPrevious(PublishedRecipe):
    """LSTM of 50 units that says the number before the one it is shown last.

    With a context of 1 this is the beginner's mistake of the tutorial. The wanted number has to come from the carried
    state, but Keras carries it from row i of a batch to row i of the next: with batches of 6 it holds the numbers 6,
    12, ... steps back and never the one before. With batches of 1 it does hold that one, and yet gradients that end
    after one step hardly teach the cell to keep it. `whole_sequence` lets them flow through the very same data.

    The cure of the tutorial, a context of 5 in batches of 5, can be stepped because the two are equal: the window in
    row i of a batch is followed by the window in row i of the next without gap or overlap, so every row is one
    unbroken stream of 20 numbers, learned in chunks of 5 with the state carried. The same windows without `stateful`
    are answered as well, and fail when they are streamed.

    Attributes:
        epochs: Sequences that are shown.
        context: Numbers in each sample, the last one being the current: 1, or 5 as the cure of the tutorial.
        batch: Samples in each batch; 6 is published for a context of 1, and 5 for one of 5.
        whole_sequence: Show each sequence as one sample of 24 time steps, with an answer after each. That is one
            update for each sequence and not 4 or 24, so it takes about 4,000 of them.
        stateful: Carry the state from batch to batch, as published; else every sample starts from nothing.
    """

    epochs: int = 2_000
    context: int = 1
    batch: int = 6
    whole_sequence: bool = False
    stateful: bool = True

    def problems(self) -> dict[str, bool]:
        """See `PublishedRecipe.problems`."""
        samples = LENGTH - self.context
        return {
            f"a context of {self.context}, give 1 to {LENGTH - 1}": not 1 <= self.context < LENGTH,
            f"a batch of {self.batch}, give a divisor of the {samples} samples in a sequence": self.batch < 1
            or samples % self.batch != 0,
            f"a whole sequence has a context of 1 and a batch of 1, not {self.context} and {self.batch}": (
                self.whole_sequence and (self.context, self.batch) != (1, 1)
            ),
        }

    def samples(self, sequence: Ids) -> tuple[Ids, Ids]:
        """Cut a sequence into samples.

        Args:
            sequence: int32 of shape (25,).

        Returns:
            Inputs, int32 of shape (N, T), and targets of shape (N,) or, for a whole sequence, (N, T). The first
            `context` numbers have no sample of their own, which is one more than need be, as published.
        """
        if self.whole_sequence:
            return sequence[None, 1:], sequence[None, :-1]
        last = np.arange(self.context, len(sequence))
        return sequence[last[:, None] + np.arange(1 - self.context, 1)], sequence[last - 1]

    def build(self) -> keras.Sequential:
        """Return the untrained network."""
        import keras

        steps = LENGTH - 1 if self.whole_sequence else self.context
        recurrent = keras.layers.LSTM(50, stateful=self.stateful, return_sequences=self.whole_sequence)
        return compiled(
            [
                keras.Input(batch_shape=(self.batch, steps, SYMBOLS)),
                recurrent,
                keras.layers.Dense(SYMBOLS, activation="softmax"),
            ]
        )

    def train(self, random: np.random.Generator, progress: Progress) -> Any:
        """See `PublishedRecipe.train`. The state is reset between sequences, here and when measuring."""
        model = self.build()
        for epoch in range(self.epochs):
            x, y = (one_hot(ids, SYMBOLS) for ids in self.samples(_numbers(random, LENGTH)))
            show(model, x, y, self.batch)
            if self.stateful:
                model.layers[0].reset_state()
            progress((epoch + 1) / self.epochs)
        return model

    def measure(self, seed: int, random: np.random.Generator, trained: Any) -> Measured:
        """See `PublishedRecipe.measure`."""
        right = []
        for _ in range(_TESTED):
            inputs, targets = self.samples(_numbers(random, LENGTH))
            right.append((answers(trained, one_hot(inputs, SYMBOLS), self.batch) == targets).ravel())
        stream = _numbers(random, _STREAM)
        said = answers(stepped(trained), one_hot(stream[None], SYMBOLS), 1)[0]
        details = {"chance": 1 / SYMBOLS}
        if self.context == 1:  # the answer to the first sample has never been shown
            details["after the first"] = fraction(np.array(right)[:, 1:])
        return fraction(np.array(right)), fraction(said[1:] == stream[:-1]), details


def _numbers(random: np.random.Generator, count: int) -> Ids:
    return random.integers(0, SYMBOLS, count, dtype=np.int32)
