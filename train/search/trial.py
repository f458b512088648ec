"""The trials of a search, and the best of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One network, trained.

    Attributes:
        trial: Its number, from 1.
        cell: Kind of recurrent layer.
        units: Units of each recurrent layer.
        layers: Recurrent layers.
        learning_rate: Peak learning rate.
        parameters: Number of trained numbers.
        stopped: Why training ended, see `FitResult`; "diverged" also where there is no model.
        updates: Updates made.
        cpu_seconds: Of all threads, compilation and evaluation included; of the last process if it was resumed.
        carried_accuracy: On held-out streams, the state carried; nan where there is no model, and of values.
        nats: On the held-out streams that the problem monitors, of values the loss; infinite where there is no model.
        dropout: Fraction of the outputs that was dropped.
        embedding: Size of the embedding; 0: one-hot.
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
    dropout: float = 0.0
    embedding: int = 0

    @property
    def solved(self) -> bool:
        """Whether there was nothing left to learn."""
        return self.stopped == "solved"

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object, with null for numbers that are not finite."""
        figures = {**asdict(self), "solved": self.solved}
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in figures.items()
        }


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        trials: All of them, in order.
        best: The smallest solved one; where none is solved, that with the lowest nats. Its run is in the folder.
        interrupted: By Ctrl-C, before all trials were made.
        exhausted: No smaller network than the smallest solved one is left in the space.
    """

    trials: tuple[Trial, ...]
    best: Trial | None
    interrupted: bool = False
    exhausted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the trials and the number of the best one as a JSON object."""
        return {
            "best": self.best.trial if self.best else None,
            "solved": self.best is not None and self.best.solved,
            "interrupted": self.interrupted,
            "exhausted": self.exhausted,
            "trials": [trial.to_json() for trial in self.trials],
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
    """Return the trials as CSV."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [*(field.name for field in fields(Trial)), "solved"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**asdict(trial), "solved": trial.solved} for trial in trials)
    return file.getvalue().encode()
