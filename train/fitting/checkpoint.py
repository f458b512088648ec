"""Where a training stands, and how that survives the end of its process."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32
from ...runtime.common.atomic_write import atomic_write
from ...runtime.common.errors import ResumeError
from ..problems.score import Score
from .updater import Snapshot


@dataclass(frozen=True)
class HistoryRow:
    """One line of the training history: the state of things after a block of updates.

    Attributes:
        update: Updates made.
        seconds: Since training began, interruptions not counted.
        used: Share of the budget that is used up, 0 to 1.
        learning_rate: During the block.
        loss: Mean loss of the block in nats.
        accuracy: Accuracy on the block, while learning it.
        evaluation: The evaluation on streams that are not learned from, where one was made.
        stage: Which problem was learned: 0 the first of the curriculum, in the end the problem itself.
    """

    update: int
    seconds: float
    used: float
    learning_rate: float
    loss: float
    accuracy: float
    evaluation: Score | None = None
    stage: int = 0


@dataclass
class TrainingState:
    """Everything that the rest of a training depends on, beside its snapshot.

    Attributes:
        history: A row for each block of updates.
        best_nats: The best evaluation so far.
        best_weights: The weights it was made with; empty before the first.
        evaluations_since: How many evaluations have not been better since.
        stopped: Why training ended; empty while it goes on.
    """

    history: list[HistoryRow] = field(default_factory=list)
    best_nats: float = math.inf
    best_weights: tuple[Float32, ...] = ()
    evaluations_since: int = 0
    stopped: str = ""

    @property
    def update(self) -> int:
        """Updates made."""
        return self.history[-1].update if self.history else 0

    @property
    def seconds(self) -> float:
        """Seconds spent up to the last row."""
        return self.history[-1].seconds if self.history else 0.0


def write_checkpoint(path: Path, state: TrainingState, snapshot: Snapshot) -> None:
    """Write everything needed to go on to `path`, whole or not at all.

    Raises:
        OutputError: It cannot be written. An earlier checkpoint still stands there.
    """
    plain = {
        "history": [asdict(row) for row in state.history],
        "best_nats": state.best_nats if math.isfinite(state.best_nats) else None,
        "evaluations_since": state.evaluations_since,
        "stopped": state.stopped,
    }
    groups: dict[str, Sequence[AnyArray]] = {
        "weights": snapshot.weights,
        "optimizer": snapshot.optimizer,
        "carried": snapshot.carried,
        "best": state.best_weights,
    }
    arrays = {f"{group}/{n}": array for group, members in groups.items() for n, array in enumerate(members)}
    file = io.BytesIO()
    np.savez(file, plain=np.frombuffer(json.dumps(plain).encode(), np.uint8), **arrays)
    atomic_write(path, file.getvalue())


def read_checkpoint(path: Path) -> tuple[TrainingState, Snapshot]:
    """Read what `write_checkpoint` wrote.

    Raises:
        ResumeError: There is none, or it is damaged.
    """
    try:
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
        plain = json.loads(arrays.pop("plain").tobytes())
        history = [
            HistoryRow(**{**row, "evaluation": row["evaluation"] and Score(**row["evaluation"])})
            for row in plain["history"]
        ]
        groups: dict[str, list[AnyArray]] = {"weights": [], "optimizer": [], "carried": [], "best": []}
        for name, array in arrays.items():
            groups[name.split("/")[0]].append(array)
        best_nats = math.inf if plain["best_nats"] is None else plain["best_nats"]
        state = TrainingState(history, best_nats, tuple(groups["best"]), plain["evaluations_since"], plain["stopped"])
        return state, Snapshot(tuple(groups["weights"]), tuple(groups["optimizer"]), tuple(groups["carried"]))
    except FileNotFoundError:
        raise ResumeError(f"There is no checkpoint {path} to go on from. Start without --resume.") from None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ResumeError(f"The checkpoint {path} is damaged ({error}). Start again without --resume.") from error
