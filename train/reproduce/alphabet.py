"""The next letter of the alphabet, by J. Brownlee: from the last letters, with carried state, from padded sequences.

https://machinelearningmastery.com/understanding-stateful-lstm-recurrent-neural-networks-python-keras/
A letter is one feature: its number divided by 26. Answers are measured on the samples that were learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32, Ids
from .recipe import Measured, Progress, PublishedRecipe, answers, compiled, fraction, one_hot, show, stepped

if TYPE_CHECKING:
    import keras

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIZE = len(LETTERS)
LONGEST = 5  # letters in a sample of variable length
SAMPLES = 1_000  # of variable length
_ALL: Ids = np.arange(SIZE, dtype=np.int32)
_CHANCE = 1 / SIZE
_DRAWN = 1_000  # windows of random letters
_MASK = -1.0
_AT_ONCE = 100  # updates
_ROUNDS = 12  # times that the alphabet is streamed


@dataclass(frozen=True)
class AlphabetWindow(PublishedRecipe):
    """LSTM that is shown the last letters and says the next one. No state is carried between samples.

    Attributes:
        epochs: Passes through all samples.
        window: Letters in a sample.
        as_features: Show them side by side in one time step, instead of one after the other.
        units: Of the recurrent layer.
        batch: Samples in a batch; 0: all of them. The tutorial has it that then the order within the batch helps.
        shuffle: Show the samples in random order.
    """

    epochs: int = 500
    window: int = 1
    as_features: bool = False
    units: int = 32
    batch: int = 1
    shuffle: bool = True

    def problems(self) -> dict[str, bool]:
        """See `PublishedRecipe.problems`."""
        return {
            f"a window of {self.window} letters, give 1 to {SIZE - 1}": not 1 <= self.window < SIZE,
            f"{self.units} units, give 1 or more": self.units < 1,
            f"a batch of {self.batch}, give 1 or more, or 0 for all samples": self.batch < 0,
        }

    def inputs(self, windows: AnyArray) -> Float32:
        """Return windows, int of shape (N, W), as float32 of shape (N, 1, W) or (N, W, 1)."""
        return _code(windows)[:, None] if self.as_features else _code(windows)[..., None]

    def train(self, random: np.random.Generator, progress: Progress) -> Any:
        """See `PublishedRecipe.train`."""
        import keras

        windows = _ALL[: SIZE - self.window, None] + np.arange(self.window, dtype=np.int32)
        targets = windows[:, -1] + 1
        x = self.inputs(windows)
        model = compiled(
            [keras.Input(x.shape[1:]), keras.layers.LSTM(self.units), keras.layers.Dense(SIZE, activation="softmax")],
            at_once=_AT_ONCE,
        )
        batch = self.batch or len(x)
        _fit(model, x, targets, progress, batch_size=batch, epochs=self.epochs, shuffle=self.shuffle)
        return model, x, targets

    def measure(self, seed: int, random: np.random.Generator, trained: Any) -> Measured:
        """See `PublishedRecipe.measure`.

        `random letters` are windows of letters drawn at random, each to be followed by the one after its last: right
        if the network has learned the alphabet, and not the windows. `shuffled` are the learned samples in one batch
        but in another order: no change means that nothing is passed on within a batch.
        """
        model, x, targets = trained
        details: dict[str, float | str] = {"chance": _CHANCE}
        if not self.batch:
            order = random.permutation(len(x))
            details["shuffled"] = fraction(answers(model, x[order], len(x)) == targets[order])
        if self.window > 1:
            drawn = random.integers(0, SIZE - 1, (_DRAWN, self.window))  # nothing follows Z
            details["random letters"] = fraction(answers(model, self.inputs(drawn), _DRAWN) == drawn[:, -1] + 1)
        accuracy = fraction(answers(model, x, len(x)) == targets)
        return accuracy, None if self.as_features else _streamed(model), details


@dataclass(frozen=True)
class AlphabetStateful(PublishedRecipe):
    """LSTM of 50 units that is shown A to Y, one letter at a time, and forgets at the end of each pass.

    The tutorial claims that the alphabet is learned, and shows that K from a cold start is followed by B: the network
    counts letters, whatever they are.

    Attributes:
        epochs: Passes through the alphabet.
        shuffle: Show the letters in an order drawn anew for each pass: the default of `fit`, which readers forget to
            switch off. It is drawn here, because Keras 3, once seeded, draws the same order at every call of `fit`,
            and that is an order which a counting network can learn.
    """

    epochs: int = 300
    shuffle: bool = False

    def train(self, random: np.random.Generator, progress: Progress) -> Any:
        """See `PublishedRecipe.train`."""
        import keras

        x, y = _code(_ALL[:-1])[:, None, None], one_hot(_ALL[1:], SIZE)
        recurrent = keras.layers.LSTM(50, stateful=True)
        model = compiled(
            [keras.Input(batch_shape=(1, 1, 1)), recurrent, keras.layers.Dense(SIZE, activation="softmax")]
        )
        for epoch in range(self.epochs):
            order = random.permutation(len(x)) if self.shuffle else np.arange(len(x))
            show(model, x[order], y[order], 1)
            recurrent.reset_state()
            progress((epoch + 1) / self.epochs)
        return model, x

    def measure(self, seed: int, random: np.random.Generator, trained: Any) -> Measured:
        """See `PublishedRecipe.measure`.

        `from A` feeds each answer back as the next letter; `cold starts` shows each letter from A to Y to a network
        that has seen nothing before.
        """
        (model, x), targets = trained, _ALL[1:]
        cold = np.array([answers(model, letter[None], 1)[0] for letter in x])
        model.layers[0].reset_state()
        said = [0]
        for _ in targets:
            said.append(int(model.predict_on_batch(_code(np.array(said[-1:]))[:, None, None]).argmax()))
        details: dict[str, float | str] = {
            "chance": _CHANCE,
            "from A": fraction(np.array(said[1:]) == targets),
            "cold starts": fraction(cold == targets),
            "cold start at K answers": LETTERS[cold[LETTERS.index("K")]],
        }
        return fraction(answers(model, x, 1) == targets), _streamed(model), details


@dataclass(frozen=True)
class AlphabetVariable(PublishedRecipe):
    """LSTM of 32 units that is shown one to five letters in order, from anywhere in the alphabet; batches of 1.

    Short inputs are padded on the left, with zeros: which is the code of A.

    Attributes:
        epochs: Passes through 1,000 samples, drawn once.
        masked: Pad with a number that is no letter and let the network skip it, to see the cost of padding with A.
    """

    epochs: int = 500
    masked: bool = False

    def padded(self, first: AnyArray, last: AnyArray) -> Float32:
        """Return the letters from `first` to `last`, both of shape (N,), as float32 of shape (N, 5, 1)."""
        letters = last[:, None] + np.arange(1 - LONGEST, 1)
        padding = _MASK if self.masked else 0.0
        return np.where(letters < first[:, None], np.float32(padding), _code(letters))[..., None]

    def train(self, random: np.random.Generator, progress: Progress) -> Any:
        """See `PublishedRecipe.train`."""
        import keras

        first, last = draw(random)
        x = self.padded(first, last)
        masking = [keras.layers.Masking(_MASK)] if self.masked else []
        model = compiled(
            [
                keras.Input((LONGEST, 1)),
                *masking,
                keras.layers.LSTM(32),
                keras.layers.Dense(SIZE, activation="softmax"),
            ],
            at_once=_AT_ONCE,
        )
        _fit(model, x, last + 1, progress, batch_size=1, epochs=self.epochs)
        return model, x, first, last

    def measure(self, seed: int, random: np.random.Generator, trained: Any) -> Measured:
        """See `PublishedRecipe.measure`.

        `single letters` are A to Y, each alone and padded. `not padded` are all samples at their own length, as a
        device sees the beginning of a stream.
        """
        model, x, first, last = trained
        single, twin, right = np.arange(SIZE - 1), stepped(model), []
        for length in range(1, LONGEST + 1):
            chosen = last[last - first + 1 == length]
            letters = chosen[:, None] + np.arange(1 - length, 1)
            if len(chosen):
                right.append(answers(twin, _code(letters)[..., None], len(chosen))[:, -1] == chosen + 1)
        details = {
            "chance": _CHANCE,
            "single letters": fraction(answers(model, self.padded(single, single), len(single)) == single + 1),
            "not padded": fraction(np.concatenate(right)),
        }
        return fraction(answers(model, x, len(x)) == last + 1), _streamed(model), details


def draw(random: np.random.Generator) -> tuple[AnyArray, AnyArray]:
    """Return the first and the last letter of each sample, int of shape (1000,): A to X first, one to five letters."""
    first = random.integers(0, SIZE - 2, SAMPLES)
    last = random.integers(first, np.minimum(first + LONGEST, SIZE - 1))
    return first, last


def _code(ids: AnyArray) -> Float32:
    """Return float32 of the shape of `ids`: A is 0, Z is 25/26."""
    return ids.astype(np.float32) / SIZE


def _fit(
    model: keras.Sequential, x: Float32, targets: AnyArray, progress: Progress, **how: Any
) -> None:  # fmt: skip
    """Call `fit` once for all epochs and report its progress."""
    import keras

    report = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: progress((epoch + 1) / how["epochs"]))
    model.fit(x, one_hot(targets, SIZE), verbose=0, callbacks=[report], **how)


def _streamed(model: keras.Sequential) -> float:
    """Return the fraction of right answers on the alphabet written twelve times, the state carried all along.

    The answer after Z does not count: nothing says what follows it.
    """
    stream = np.tile(_ALL, _ROUNDS)
    found = answers(stepped(model), _code(stream)[None, :, None], 1)[0]
    return fraction(found[stream < SIZE - 1] == stream[stream < SIZE - 1] + 1)
