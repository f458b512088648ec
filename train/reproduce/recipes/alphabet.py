"""The next letter of the alphabet from the last one or three, by J. Brownlee.

https://machinelearningmastery.com/understanding-stateful-lstm-recurrent-neural-networks-python-keras/
No state is carried between samples here; the answers are judged on the samples that were learned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from ....runtime.common.arrays import AnyArray, Float32, Ids
from .answering import answers, one_hot, share
from .letters import ALL, CHANCE, SIZE, build, code, reporter, streamed
from .outcome import Outcome, refuse_if, silent

_DRAWN = 1_000  # windows of random letters


@dataclass(frozen=True)
class AlphabetWindow:
    """LSTM that is shown the last letters and says the next one.

    Attributes:
        epochs: Passes through all samples.
        window: Letters in a sample.
        as_features: Show them side by side in one time step, instead of one after the other.
        units: Of the recurrent layer.
        batch: Samples in a batch; 0: all of them. The tutorial has it that then the order within the batch helps.
        shuffle: Show the samples in random order.

    Raises:
        ProblemError: The values make no recipe.
    """

    epochs: int = 500
    window: int = 1
    as_features: bool = False
    units: int = 32
    batch: int = 1
    shuffle: bool = True

    def __post_init__(self) -> None:
        """Check the values."""
        refuse_if(
            {
                f"{self.epochs} epochs, give 1 or more": self.epochs < 1,
                f"a window of {self.window} letters, give 1 to {SIZE - 1}": not 1 <= self.window < SIZE,
                f"{self.units} units, give 1 or more": self.units < 1,
                f"a batch of {self.batch}, give 1 or more, or 0 for all samples": self.batch < 0,
            }
        )

    def run(self, seed: int, progress: Callable[[float], None] = silent) -> Outcome:
        """See `PublishedRecipe.run`.

        `random letters` are windows of letters drawn at random, each to be followed by the one after its last: what
        is right if the network has learned the alphabet, and not the windows. `shuffled` are the learned samples in one
        batch but in another order: no change means that nothing is passed on within a batch.
        """
        keras.utils.set_random_seed(seed)
        began = time.process_time()
        windows = ALL[: SIZE - self.window, None] + np.arange(self.window, dtype=np.int32)
        targets = windows[:, -1] + 1
        x = self.inputs(windows)
        model = build([keras.Input(x.shape[1:]), keras.layers.LSTM(self.units)])
        model.fit(
            x,
            one_hot(targets, SIZE),
            batch_size=self.batch or len(x),
            epochs=self.epochs,
            shuffle=self.shuffle,
            verbose=0,
            callbacks=[reporter(self.epochs, progress)],
        )
        seconds = time.process_time() - began
        details: dict[str, float | str] = {"chance": CHANCE}
        random = np.random.default_rng(seed)
        if not self.batch:
            order = random.permutation(len(x))
            details["shuffled"] = share(answers(model, x[order], len(x)) == targets[order])
        if self.window > 1:
            drawn = random.integers(0, SIZE - 1, (_DRAWN, self.window))  # nothing follows Z
            details["random letters"] = share(answers(model, self.inputs(drawn), _DRAWN) == drawn[:, -1] + 1)
        right: AnyArray = answers(model, x, len(x)) == targets
        return Outcome(share(right), None if self.as_features else streamed(model), seconds, details)

    def inputs(self, windows: Ids | AnyArray) -> Float32:
        """Return windows, int of shape (N, W), as float32 of shape (N, 1, W) or (N, W, 1)."""
        return code(windows)[:, None] if self.as_features else code(windows)[..., None]
