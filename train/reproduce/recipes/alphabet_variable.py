"""The next letter from one to five letters, by J. Brownlee.

https://machinelearningmastery.com/understanding-stateful-lstm-recurrent-neural-networks-python-keras/
Short inputs are padded on the left, with zeros: which is the code of A.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from ....runtime.common.arrays import AnyArray, Float32
from .answering import answers, one_hot, share, stepped
from .letters import CHANCE, SIZE, build, code, reporter, streamed
from .outcome import Outcome, refuse_if, silent

LONGEST = 5
_SAMPLES = 1_000
_MASK = -1.0


@dataclass(frozen=True)
class AlphabetVariable:
    """LSTM of 32 units that is shown one to five letters in order, from anywhere in the alphabet; batches of 1.

    Attributes:
        epochs: Passes through 1,000 samples, drawn once.
        masked: Pad with what is no letter and let the network skip it, to see what padding with A costs.

    Raises:
        ProblemError: The values make no recipe.
    """

    epochs: int = 500
    masked: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        refuse_if({f"{self.epochs} epochs, give 1 or more": self.epochs < 1})

    def run(self, seed: int, progress: Callable[[float], None] = silent) -> Outcome:
        """See `PublishedRecipe.run`.

        `single letters` are A to Y, each alone and padded. `not padded` are all samples at their own length, as a
        device sees the beginning of a stream.
        """
        keras.utils.set_random_seed(seed)
        began = time.process_time()
        first, last = draw(np.random.default_rng(seed))
        x = self.padded(first, last)
        masking = [keras.layers.Masking(_MASK)] if self.masked else []
        model = build([keras.Input((LONGEST, 1)), *masking, keras.layers.LSTM(32)])
        report = reporter(self.epochs, progress)
        model.fit(x, one_hot(last + 1, SIZE), batch_size=1, epochs=self.epochs, verbose=0, callbacks=[report])
        seconds = time.process_time() - began
        single = np.arange(SIZE - 1)
        details = {
            "chance": CHANCE,
            "single letters": share(answers(model, self.padded(single, single), len(single)) == single + 1),
            "not padded": _not_padded(model, first, last),
        }
        return Outcome(share(answers(model, x, len(x)) == last + 1), streamed(model), seconds, details)

    def padded(self, first: AnyArray, last: AnyArray) -> Float32:
        """Return the letters from `first` to `last`, both of shape (N,), as float32 of shape (N, 5, 1)."""
        letters = last[:, None] + np.arange(1 - LONGEST, 1)
        padding = _MASK if self.masked else 0.0
        return np.where(letters < first[:, None], np.float32(padding), code(letters))[..., None]


def draw(random: np.random.Generator) -> tuple[AnyArray, AnyArray]:
    """Return the first and the last letter of each sample, int of shape (1000,): A to X first, one to five letters."""
    first = random.integers(0, SIZE - 2, _SAMPLES)
    last = random.integers(first, np.minimum(first + LONGEST, SIZE - 1))
    return first, last


def _not_padded(model: keras.Sequential, first: AnyArray, last: AnyArray) -> float:
    twin = stepped(model)
    right = []
    for length in range(1, LONGEST + 1):
        chosen = last[last - first + 1 == length]
        letters = chosen[:, None] + np.arange(1 - length, 1)
        if len(chosen):
            right.append(answers(twin, code(letters)[..., None], len(chosen))[:, -1] == chosen + 1)
    return share(np.concatenate(right))
