"""A snapshot of a stream: its state, count and last answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from ..common.arrays import Float32
from ..common.errors import StateMismatchError
from ..format.model_file import ModelFile
from ..format.tensor_specs import EVERY_STEP

State = dict[str, Float32]


@dataclass(frozen=True)
class Snapshot:
    """Where a stream is.

    Attributes:
        state: The state, name -> float32 of shape (1, ...).
        symbols_seen: How many symbols led there from a reset.
        answers: Name of an output -> what it answered to the last of them, float32 of shape (K,), the main output
            first; None where it has not answered.
    """

    state: State
    symbols_seen: int = 0
    answers: dict[str, Float32] | None = None

    def copy(self) -> Snapshot:
        """Return the same in arrays of its own."""
        answers = None if self.answers is None else {name: array.copy() for name, array in self.answers.items()}
        return Snapshot({name: array.copy() for name, array in self.state.items()}, self.symbols_seen, answers)


def checked_count(symbols_seen: int | None, file: ModelFile) -> int:
    """Return the count that belongs to a state; None is 0 where it does not matter.

    Raises:
        StateMismatchError: It is no count, or is missing though it says which steps answer.
    """
    answers = file.manifest.answers
    if symbols_seen is None and answers != EVERY_STEP:
        raise StateMismatchError(
            f"{file.name} answers {answers.describe()}, so a state alone does not say which step comes next: "
            "set_state(state, symbols_seen=...) with the symbols since the reset. The state has not moved."
        )
    if symbols_seen is not None and not (isinstance(symbols_seen, Integral) and symbols_seen >= 0):
        raise StateMismatchError(
            f"symbols_seen is {symbols_seen!r}, and counts symbols: 0 or more. The state has not moved."
        )
    return int(symbols_seen or 0)


def checked_state(state: Mapping[str, Any], file: ModelFile) -> State:
    """Return a copy of `state` as float32 arrays, or refuse it.

    Raises:
        StateMismatchError: Names or shapes are not those of the model, or a number is not finite.
    """
    expected = {tensor.name: (1, *tensor.shape) for tensor in file.manifest.state}
    origin = "Take it from model.initial_state() or from a stream of the same model."
    try:
        arrays = {name: np.array(value, np.float32) for name, value in state.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise StateMismatchError(
            f"{file.name} wants the state {expected} as a mapping of name to numbers ({error}). {origin}"
        ) from error
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != expected:
        raise StateMismatchError(f"{file.name} wants the state {expected}, but was given {shapes}. {origin}")
    wrong = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    wrong_integers = [
        f"{tensor.name} are not all integers that are {tensor.dtype}"
        for tensor in file.manifest.state
        if tensor.dtype != "float32" and not _holds_integers(arrays[tensor.name], tensor.dtype)
    ]
    if wrong_integers and not wrong:
        raise StateMismatchError(
            f"{file.name} was given a state that it cannot hold: {'; '.join(wrong_integers)}. {origin}"
        )
    if wrong:
        raise StateMismatchError(f"{file.name} was given a state whose {', '.join(wrong)} is not finite. {origin}")
    return {name: arrays[name] for name in expected}


def _holds_integers(array: Float32, dtype: str) -> bool:
    """Tell whether all numbers of a state are integers of its type in the graph."""
    least, most = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return bool(((array == np.rint(array)) & (array >= least) & (array <= most)).all())
