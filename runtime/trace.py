"""Trajectories: everything a model file answers to a sequence, for comparison with another runtime."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .model import load

State: TypeAlias = Mapping[str, NDArray[np.float32]]
STATE_PREFIX = "state/"  # of the names of state tensors in .npz archives


@dataclass(frozen=True)
class Trajectory:
    """What came out of stepping T symbols.

    Attributes:
        probabilities: float of shape (T, K).
        states: Name -> float of shape (R, ...): the states after the R recorded steps, the last one among them last.
    """

    probabilities: NDArray[np.floating]
    states: Mapping[str, NDArray[np.floating]]

    def to_bytes(self) -> bytes:
        """Return an .npz archive of the trajectory."""
        file = io.BytesIO()
        arrays = {STATE_PREFIX + name: states for name, states in self.states.items()}
        np.savez(file, probabilities=self.probabilities, **arrays)
        return file.getvalue()

    @classmethod
    def from_file(cls, path: Path) -> Trajectory:
        """Read what `to_bytes` returned from the file `path`."""
        with np.load(path) as archive:
            names = [name for name in archive.files if name.startswith(STATE_PREFIX)]
            return cls(archive["probabilities"], {name.removeprefix(STATE_PREFIX): archive[name] for name in names})


def trace(path: Path, ids: NDArray[np.int32], state: State, backend: str) -> Trajectory:
    """Step `ids` one at a time through the file at `path` as a device does, the state carried, from `state`.

    Args:
        path: A model file.
        ids: Symbol ids of shape (T,), T >= 1.
        state: Name -> float32 of shape (1, ...).
        backend: Name of the backend.

    Returns:
        All answers, and the state after the last step.

    Raises:
        StepcellError: As `load` and `Stream.step` do.
    """
    model = load(path, backend=backend, golden=False)
    stream = model.stream()
    stream.state = state
    symbols = model.vocabulary.symbols
    answers = [stream.step(symbols[id]).probabilities for id in ids.tolist()]
    return Trajectory(np.stack(answers), stream.state)


def trace_each(path: Path, ids: NDArray[np.int32], states: State, backend: str) -> Trajectory:
    """Step each of `ids` once, from a state of its own: what one step does, whatever the steps before it did.

    Args:
        path: A model file.
        ids: Symbol ids of shape (T,), T >= 1.
        states: Name -> the state before each step, float32 of shape (T, ...).
        backend: Name of the backend.

    Returns:
        All answers, and the state after each step.

    Raises:
        StepcellError: As `load` and `Model.step` do.
    """
    model = load(path, backend=backend, golden=False)
    symbols = model.vocabulary.symbols
    steps = [
        model.step(symbols[id], {name: array[step : step + 1] for name, array in states.items()})
        for step, id in enumerate(ids.tolist())
    ]
    following = {name: np.concatenate([after[name] for _, after in steps]) for name in states}
    return Trajectory(np.stack([answer for answer, _ in steps]), following)
