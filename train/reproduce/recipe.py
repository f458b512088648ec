"""Published recipes, their outcomes, and the ways to query their trained networks."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32, Ids
from ...runtime.common.errors import raise_if_any

if TYPE_CHECKING:
    import keras

Progress: TypeAlias = Callable[[float], None]  # receives the fraction that is done
Details: TypeAlias = Mapping[str, float | str]
Measured: TypeAlias = tuple[float, float | None, Details]  # accuracy, streamed accuracy, details of an `Outcome`


@dataclass(frozen=True)
class Outcome:
    """The measurements of one trained recipe.

    Attributes:
        accuracy: Fraction of right answers by the measure of the claim, 0 to 1.
        streamed: Fraction of right answers when the trained weights are stepped one symbol at a time, with the state
            carried over a stream at least ten times as long as the training sequence. None: the inputs of the recipe
            cannot be streamed.
        cpu_seconds: Of building and fitting, all threads together.
        details: Further measurements by name; numbers are fractions of 0 to 1, texts are answers.
    """

    accuracy: float
    streamed: float | None
    cpu_seconds: float
    details: Details = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedRecipe(ABC):
    """A network, its data and its training, as published. The same seed gives the same outcome.

    Raises:
        ProblemError: A value is out of range; all such values are named.
    """

    epochs: int

    def __post_init__(self) -> None:
        """Check the values."""
        problems = {f"{self.epochs} epochs, give 1 or more": self.epochs < 1, **self.problems()}
        raise_if_any([text for text, wrong in problems.items() if wrong], "This recipe cannot be run")

    def run(self, seed: int, progress: Progress = lambda fraction: None) -> Outcome:
        """Make the updates of the recipe's calls of `fit`, and measure.

        Args:
            seed: Of Keras, numpy and the data; the global random state is set from it.
            progress: Receives the fraction of epochs that is done, after every epoch.

        Returns:
            The measurements. Ctrl-C ends the run without an outcome: `KeyboardInterrupt` is passed on.
        """
        import keras

        keras.utils.set_random_seed(seed)
        random = np.random.default_rng(seed)
        began = time.process_time()
        trained = self.train(random, progress)
        seconds = time.process_time() - began
        accuracy, streamed, details = self.measure(seed, random, trained)
        return Outcome(accuracy, streamed, seconds, details)

    def problems(self) -> dict[str, bool]:
        """Return each thing that may be wrong with the values, in words, and whether it is."""
        return {}

    @abstractmethod
    def train(self, random: np.random.Generator, progress: Progress) -> Any:
        """Return the trained network, with the data that `measure` needs beside it."""

    @abstractmethod
    def measure(self, seed: int, random: np.random.Generator, trained: Any) -> Measured:
        """Return the measurements of the result of `train`."""


def compiled(layers: list[Any], loss: str = "categorical_crossentropy", at_once: int = 1) -> keras.Sequential:
    """Return a compiled network of these layers, trained with Adam.

    Args:
        layers: The last of them gives a probability for each class.
        loss: The name of the loss.
        at_once: Updates of `fit` in one call of the compiled step. More cost less; the weights are the same.
    """
    import keras

    model = keras.Sequential(layers)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"], steps_per_execution=at_once)
    return model


def show(model: keras.Sequential, x: Float32, y: Float32, batch: int) -> None:
    """Make the updates of `model.fit(x, y, batch_size=batch, shuffle=False)`, to the bit.

    Each call of `fit` costs 50 to 65 CPU-ms beside its updates of 1 ms: recipes that call it for every sequence would
    take 5 to 15 times as long.
    """
    for first in range(0, len(x), batch):
        model.train_on_batch(x[first : first + batch], y[first : first + batch])


def answers(model: keras.Sequential, inputs: Float32, batch: int) -> AnyArray:
    """Return the most likely outputs to inputs that are shown batch by batch.

    A stateful layer starts from zeros and keeps its state from one batch to the next, row by row.

    Args:
        model: A network of `Sequential`.
        inputs: float32 of shape (N, T, F).
        batch: Rows of a batch.

    Returns:
        int of shape (N,), or (N, T) where the network answers after every time step.
    """
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_state()
    shown = [model.predict_on_batch(inputs[first : first + batch]) for first in range(0, len(inputs), batch)]
    chosen: AnyArray = np.concatenate(shown).argmax(-1)
    return chosen


def stepped(model: keras.Sequential) -> keras.Sequential:
    """Return a network with the weights of `model` that answers after every step and carries the state through.

    Its answers to a sequence of T steps are those of the cell stepped T times.

    Args:
        model: A network whose last two layers are an LSTM and a Dense.

    Returns:
        A network from (B, T, F) to (B, T, K), for any B and T.
    """
    import keras

    *_, recurrent, readout = model.layers
    settings = {**recurrent.get_config(), "return_sequences": True, "stateful": False}
    layers = (keras.layers.LSTM.from_config(settings), type(readout).from_config(readout.get_config()))
    twin = keras.Sequential([keras.Input((None, recurrent.cell.kernel.shape[0])), *layers])
    for layer, original in zip(layers, (recurrent, readout), strict=True):
        layer.set_weights(original.get_weights())
    return twin


def one_hot(ids: Ids, size: int) -> Float32:
    """Return float32 of shape (..., size): one where the id is, else zero."""
    vectors: Float32 = np.eye(size, dtype=np.float32)[ids]
    return vectors


def fraction(right: AnyArray) -> float:
    """Return the fraction of true values."""
    return float(np.mean(right))
