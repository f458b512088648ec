"""Inputs and outputs of a model: the names in its graph, features beside the symbol, outputs beside the main one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..common.arrays import AnyArray, Flags, Ids
from ..common.errors import FeatureMismatchError
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class Inputs:
    """The inputs of T steps, T >= 1.

    Attributes:
        ids: Symbol ids of shape (T,); zeros for a model that reads no symbol.
        features: Name -> array of shape (T, ...).
    """

    ids: Ids
    features: Mapping[str, AnyArray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return T."""
        return len(self.ids)

    def __getitem__(self, steps: slice | AnyArray) -> Inputs:
        """Return the inputs of some of the steps."""
        return Inputs(self.ids[steps], {name: array[steps] for name, array in self.features.items()})

    def features_at(self, step: int) -> dict[str, AnyArray] | None:
        """Return the features of one step by name, None if the model has none."""
        return {name: array[step] for name, array in self.features.items()} or None


SYMBOL, PROBABILITIES, VALUES = "symbol", "probabilities", "values"
STEP = "step"  # the signature of a TFLite file; older files have others beside it, which are not used
ACTIVATIONS = ("softmax", "sigmoid", "linear")
# Name -> one array of the feature's shape. A model of one feature may be given the array alone.
Features: TypeAlias = "Mapping[str, ArrayLike] | ArrayLike"


@dataclass(frozen=True)
class Feature:
    """An input beside the symbol.

    Attributes:
        name: Its name in the graph.
        shape: Shape of one step, without the batch; () for an id.
        ids: The number of ids, if it is an id and not numbers.
    """

    name: str
    shape: tuple[int, ...]
    ids: int | None = None

    @property
    def dtype(self) -> type[np.float32] | type[np.int32]:
        """int32 for an id, float32 for numbers."""
        return np.float32 if self.ids is None else np.int32

    def shaped(self, array: AnyArray, steps: tuple[int, ...] = ()) -> AnyArray:
        """Return `array` in shape; for a feature of one number, (1,), `array` may be the number, of shape `steps`."""
        return array[..., np.newaxis] if self.shape == (1,) and array.shape == steps else array

    def problem(self, array: AnyArray, steps: tuple[int, ...] = ()) -> str | None:
        """Return the fault of `array`, expected in the shape `(*steps, *shape)`; None: it has none."""
        wanted = (*steps, *self.shape)
        if array.shape != wanted:
            return f"{self.name} has the shape {array.shape}, wanted is {wanted}"
        if self.ids is None:
            return None if np.isfinite(array).all() else f"{self.name} is not finite"
        return None if ((array >= 0) & (array < self.ids)).all() else f"{self.name} is not one of 0 to {self.ids - 1}"

    def describe(self) -> str:
        """Return it in a few words."""
        return f"{self.name} (id of {self.ids})" if self.ids is not None else f"{self.name} {list(self.shape)}"


WINDOW_METHODS = ("rows", "recompute")


@dataclass(frozen=True)
class AnswerTimes:
    """The steps that answer: `first`, and from there on each `every`-th. Steps are counted from 1 after a reset."""

    first: int = 1
    every: int = 1

    def answers_at(self, step: int) -> bool:
        """Tell whether step number `step` after a reset answers."""
        return step >= self.first and (step - self.first) % self.every == 0

    def which_answer(self, steps: AnyArray) -> Flags:
        """Return the same for many numbers of steps, shape (N,), as bool of that shape."""
        found: Flags = (steps >= self.first) & ((steps - self.first) % self.every == 0)
        return found

    def describe(self) -> str:
        """Return it in words that end a sentence like "it answers ..."."""
        if self.every == 1:
            return "at each step" if self.first == 1 else f"from step {self.first:,} on"
        ending = "th" if 10 <= self.every % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(self.every % 10, "th")
        return f"at every {self.every:,}{ending} step, first at step {self.first:,}"


EVERY_STEP = AnswerTimes()


@dataclass(frozen=True)
class Window:
    """The past that an answer depends on, where it is not all since the reset.

    Attributes:
        length: The number of steps, the last one included, N.
        method: "rows" (the state holds N staggered states), or "recompute" (the last N - 1 inputs, computed anew).
    """

    length: int
    method: str

    def describe(self) -> str:
        """Return it in words."""
        if self.length == 1:
            return "from its own time step alone"
        how = f"in {self.length} staggered rows" if self.method == "rows" else "computed anew at each step"
        return f"from a window of {self.length} time steps, {how}"


@dataclass(frozen=True)
class MicroGraph:
    """A graph for TensorFlow Lite Micro, which knows inputs and outputs by their positions alone.

    Attributes:
        arena: Bytes of the memory that it needs, measured on a 64-bit machine; 0: not measured.
        inputs: The names of the inputs by position.
        outputs: The names of the outputs by position.
    """

    arena: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def describe(self) -> str:
        """Return arena and positions in words."""
        inputs, outputs = (
            ", ".join(f"{position} {name}" for position, name in enumerate(names))
            for names in (self.inputs, self.outputs)
        )
        return f"for TensorFlow Lite Micro in an arena of {self.arena:,} bytes; inputs {inputs}; outputs {outputs}"


@dataclass(frozen=True)
class Output:
    """An output beside the main one.

    Attributes:
        name: Its name in the graph.
        size: The number of its elements, K.
        activation: "softmax" (they sum to 1), "sigmoid" (each is a probability), or "linear" (values as they are).
        labels: The symbols that they belong to; None: their positions.
    """

    name: str
    size: int
    activation: str
    labels: Vocabulary | None = None


def checked_features(
    given: Features | None, features: tuple[Feature, ...], file_name: str, steps: tuple[int, ...] = ()
) -> dict[str, AnyArray]:
    """Return `given` as arrays of the dtypes and shapes of `features`, with `steps` before the shape of each.

    For a feature of one number, shape (1,), the number itself is enough.

    Raises:
        FeatureMismatchError: A name is missing or unknown, a shape is wrong, a number not finite, an id out of range.
    """
    wanted = {feature.name: feature for feature in features}
    if given is None:
        given = {}
    elif not isinstance(given, Mapping):
        if len(wanted) != 1:
            raise FeatureMismatchError(_message(file_name, features, ["they are given without their names"]))
        given = {features[0].name: given}
    problems = [f"{name} is missing" for name in wanted if name not in given]
    problems += [f"there is no {name}" for name in given if name not in wanted]
    arrays: dict[str, AnyArray] = {}
    for name, value in given.items():
        if name not in wanted:
            continue
        try:
            array = wanted[name].shaped(np.asarray(value), steps)
            if wanted[name].ids is not None and not np.issubdtype(array.dtype, np.integer):
                raise TypeError(f"an id is an integer, not {array.dtype}")
            arrays[name] = array.astype(wanted[name].dtype)
        except (TypeError, ValueError, OverflowError) as error:
            problems.append(f"{name} cannot be read ({error})")
            continue
        # Before the conversion: an id beyond int32 must not come back as another one.
        checked = array if wanted[name].ids is not None else arrays[name]
        problem = wanted[name].problem(checked, steps)
        problems += [problem] if problem else []
    if problems:
        raise FeatureMismatchError(_message(file_name, features, problems))
    return arrays


def _message(file_name: str, features: tuple[Feature, ...], problems: list[str]) -> str:
    wanted = ", ".join(feature.describe() for feature in features) or "no features"
    return f"{file_name} reads {wanted} at each step: {'; '.join(problems)}. The state has not moved."
