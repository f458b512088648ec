"""Trajectories: everything a model file answers to a sequence, for comparison with another runtime."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .model import load

STATE_PREFIX = "state/"  # of the names of state tensors in .npz archives


@dataclass(frozen=True)
class Trajectory:
    """What came out of stepping T symbols.

    Attributes:
        probabilities: float of shape (T, K).
        states: Name -> the states after each recorded step, float of shape (R, ...) without the batch dimension;
            the last of them is the state after all T steps.
    """

    probabilities: NDArray[np.floating]
    states: Mapping[str, NDArray[np.floating]]

    def final_state(self) -> dict[str, NDArray[np.floating]]:
        """Return the state after the last step."""
        return {name: states[-1] for name, states in self.states.items()}

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


def trace(
    path: Path, ids: NDArray[np.int32], state: Mapping[str, NDArray[np.float32]], backend: str, *, every: bool = False
) -> Trajectory:
    """Step `ids` one at a time through the file at `path` as a device does, from `state`.

    Args:
        path: A model file.
        ids: Symbol ids of shape (T,), T >= 1.
        state: Name -> float32 of shape (1, ...).
        backend: Name of the backend.
        every: Record the state after every step, not only after the last.

    Raises:
        StepcellError: As `load` and `Stream.step` do.
    """
    model = load(path, backend=backend, golden=False)
    stream = model.stream()
    stream.state = state
    symbols = model.vocabulary.symbols
    probabilities = np.empty((len(ids), len(model.output_vocabulary)), np.float32)
    states: dict[str, list[NDArray[np.float32]]] = {name: [] for name in state}
    for step, id in enumerate(ids.tolist()):
        probabilities[step] = stream.step(symbols[id]).probabilities
        if every or step == len(ids) - 1:
            for name, array in stream.state.items():
                states[name].append(array[0])
    return Trajectory(probabilities, {name: np.stack(arrays) for name, arrays in states.items()})
