"""The trials of a search: what each came to, which is the best, and how they survive the end of the process."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from ...runtime.common.errors import ResumeError


@dataclass(frozen=True)
class Trial:
    """One network, trained.

    Attributes:
        trial: Its number, from 1.
        cell: Kind of recurrent layer.
        units: Units of each.
        layers: Recurrent layers.
        learning_rate: The highest.
        parameters: How many trainable numbers it has.
        stopped: Why training ended, see `FitResult`; "diverged" also where nothing had been learned before.
        updates: Updates made.
        cpu_seconds: Of all threads, compilation and evaluation included; of the last process if it was resumed.
        carried_accuracy: On held-out streams, the state carried; not a number where there is no model.
        nats: On the held-out streams that the problem is judged by; infinite where there is no model.
    """

    trial: int
    cell: str
    units: int
    layers: int
    learning_rate: float
    parameters: int
    stopped: str
    updates: int
    cpu_seconds: float
    carried_accuracy: float
    nats: float

    @property
    def solved(self) -> bool:
        """Whether there was nothing left to learn."""
        return self.stopped == "solved"

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object; what is no finite number is null."""
        figures = {**asdict(self), "solved": self.solved}
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in figures.items()
        }


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the smallest solved trial, or where none is solved the one with the lowest nats.

    Returns:
        One of `trials`; None where none has a model.
    """
    solved = [trial for trial in trials if trial.solved]
    if solved:
        return min(solved, key=lambda trial: (trial.parameters, trial.nats))
    learned = [trial for trial in trials if math.isfinite(trial.nats)]
    return min(learned, key=lambda trial: trial.nats, default=None)


def write_trials(trials: Sequence[Trial]) -> bytes:
    """Return the trials as CSV, from which `read_trials` makes equal ones."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [*(field.name for field in fields(Trial)), "solved"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**asdict(trial), "solved": trial.solved} for trial in trials)
    return file.getvalue().encode()


def read_trials(content: bytes) -> list[Trial]:
    """Read what `write_trials` wrote.

    Raises:
        ResumeError: It is damaged.
    """
    kinds = {"int": int, "float": float, "str": str}
    trials = []
    try:
        for number, row in enumerate(csv.DictReader(io.StringIO(content.decode())), 1):
            trials.append(Trial(**{field.name: kinds[str(field.type)](row[field.name]) for field in fields(Trial)}))
            if trials[-1].trial != number:
                raise ValueError(f"trial {trials[-1].trial} stands in the place of {number}")
    except (KeyError, TypeError, ValueError) as error:
        raise ResumeError(f"The trials of the search are damaged ({error}). Start again without --resume.") from error
    return trials
