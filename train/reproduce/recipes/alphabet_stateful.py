"""The whole alphabet in order, one letter at a time with the state carried, by J. Brownlee.

https://machinelearningmastery.com/understanding-stateful-lstm-recurrent-neural-networks-python-keras/ claims that the
alphabet is learned, and shows that K from a cold start is followed by B: the network counts letters, whatever they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from .answering import answers, one_hot, share
from .letters import ALL, CHANCE, LETTERS, SIZE, build, code, streamed
from .outcome import Outcome, refuse_if, silent


@dataclass(frozen=True)
class AlphabetStateful:
    """LSTM of 50 units that is shown A to Y, and forgets at the end of each pass.

    Attributes:
        epochs: Passes through the alphabet.
        shuffle: Show the letters in an order drawn anew for each pass: the default of `fit`, which readers forget to
            switch off. It is drawn here, because Keras 3, once seeded, draws the same order at every call of `fit`,
            and that is an order which a counting network can learn.

    Raises:
        ProblemError: The values make no recipe.
    """

    epochs: int = 300
    shuffle: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        refuse_if({f"{self.epochs} epochs, give 1 or more": self.epochs < 1})

    def run(self, seed: int, progress: Callable[[float], None] = silent) -> Outcome:
        """See `PublishedRecipe.run`.

        `from A` is judged with each answer fed back as the next letter; `cold starts` with each letter from A to Y
        shown to a network that has seen nothing before.
        """
        keras.utils.set_random_seed(seed)
        random = np.random.default_rng(seed)
        began = time.process_time()
        x, targets = code(ALL[:-1])[:, None, None], ALL[1:]
        recurrent = keras.layers.LSTM(50, stateful=True)
        model = build([keras.Input(batch_shape=(1, 1, 1)), recurrent])
        y = one_hot(targets, SIZE)
        for epoch in range(self.epochs):
            order = random.permutation(len(x)) if self.shuffle else np.arange(len(x))
            model.fit(x[order], y[order], batch_size=1, shuffle=False, verbose=0)
            recurrent.reset_state()
            progress((epoch + 1) / self.epochs)
        seconds = time.process_time() - began
        cold = np.array([answers(model, letter[None], 1)[0] for letter in x])
        details: dict[str, float | str] = {
            "chance": CHANCE,
            "from A": share(np.array(_recited(model, len(targets))) == targets),
            "cold starts": share(cold == targets),
            "cold start at K answers": LETTERS[cold[LETTERS.index("K")]],
        }
        return Outcome(share(answers(model, x, 1) == targets), streamed(model), seconds, details)


def _recited(model: keras.Sequential, count: int) -> list[int]:
    """Return `count` answers from A on, each of them fed back."""
    model.layers[0].reset_state()
    said = [0]
    for _ in range(count):
        shown = code(np.array(said[-1:]))[:, None, None]
        said.append(int(model.predict_on_batch(shown).argmax()))
    return said[1:]
