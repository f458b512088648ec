"""The state of a training, and the checkpoint file that holds it. Imports no TensorFlow."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32
from ...runtime.common.atomic_write import atomic_write
from ...runtime.common.errors import ResumeError, StepcellError
from ..problems.problem import Score
from ..problems.value_score import ValueScore

_CHECKSUM_SIZE = 32  # sha256 of all before; it ends the file
CHECKPOINT_SECONDS = 20.0  # least time between checkpoints, unless told otherwise


class DivergedError(StepcellError, ArithmeticError):
    """The loss became infinite or not a number before the first evaluation."""


@dataclass(frozen=True)
class HistoryRow:
    """One line of the training history, written after each call of the compiled loop.

    Attributes:
        update: Updates made.
        seconds: Since training began, interruptions not counted.
        used: Fraction of the budget that is used up, 0 to 1.
        learning_rate: During these updates.
        loss: Mean training loss of these updates in nats; of values in standard deviations.
        accuracy: Mean training accuracy of these updates; 0 of values.
        evaluation: The evaluation on held-out streams, where one was made.
        stage: Index of the problem in the curriculum; the last is the problem itself.
        cpu_seconds: Processor time of all threads since training began, like `seconds`.
    """

    update: int
    seconds: float
    used: float
    learning_rate: float
    loss: float
    accuracy: float
    evaluation: Score | ValueScore | None = None
    stage: int = 0
    cpu_seconds: float = 0.0


@dataclass
class TrainingState:
    """Everything that the rest of a training depends on, beside its snapshot.

    Attributes:
        history: Rows in order.
        best_loss: The best evaluation so far.
        best_weights: Its weights; empty before the first.
        evaluations_since: Evaluations since then.
        stopped: Why training ended; empty while it goes on.
    """

    history: list[HistoryRow] = field(default_factory=list)
    best_loss: float = math.inf
    best_weights: tuple[Float32, ...] = ()
    evaluations_since: int = 0
    stopped: str = ""

    @property
    def update(self) -> int:
        """Updates made."""
        return self.history[-1].update if self.history else 0

    @property
    def best_update(self) -> int:
        """The update of the best evaluation; 0 before the first."""
        judged = [(row.evaluation.loss, row.update) for row in self.history if row.evaluation is not None]
        if self.stopped == "solved":
            return judged[-1][1]
        return min(judged, key=lambda each: each[0], default=(math.inf, 0))[1]

    @property
    def seconds(self) -> float:
        """Seconds spent up to the last row."""
        return self.history[-1].seconds if self.history else 0.0

    @property
    def cpu_seconds(self) -> float:
        """Processor time spent up to the last row."""
        return self.history[-1].cpu_seconds if self.history else 0.0


@dataclass(frozen=True)
class Snapshot:
    """Everything that an update changes.

    Attributes:
        weights: See `BuiltNetwork.weights`.
        optimizer: Variables of the optimizer, its count of updates among them.
        carried: State of the batch rows; empty before the first update.
    """

    weights: tuple[Float32, ...]
    optimizer: tuple[AnyArray, ...]
    carried: tuple[Float32, ...]


def write_checkpoint(path: Path, state: TrainingState, snapshot: Snapshot) -> None:
    """Write the checkpoint to `path` atomically.

    Raises:
        OutputError: It cannot be written. An earlier checkpoint is unchanged.
    """
    plain = {
        "history": [asdict(row) for row in state.history],
        "best_nats": state.best_loss if math.isfinite(state.best_loss) else None,
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
    content = file.getvalue()
    atomic_write(path, content + sha256(content).digest())


def read_checkpoint(path: Path) -> tuple[TrainingState, Snapshot]:
    """Read a file that `write_checkpoint` wrote.

    Raises:
        ResumeError: It does not exist, or it is damaged.
    """
    try:
        content = path.read_bytes()
        body, checksum = content[:-_CHECKSUM_SIZE], content[-_CHECKSUM_SIZE:]
        if sha256(body).digest() != checksum:
            raise ValueError("its content is not that of its checksum")
        with np.load(io.BytesIO(body)) as archive:
            arrays = {name: archive[name] for name in archive.files}
        plain = json.loads(arrays.pop("plain").tobytes())
        history = [
            HistoryRow(**{**row, "evaluation": row["evaluation"] and _score(row["evaluation"])})
            for row in plain["history"]
        ]
        groups: dict[str, list[AnyArray]] = {"weights": [], "optimizer": [], "carried": [], "best": []}
        for name, array in arrays.items():
            groups[name.split("/")[0]].append(array)
        best_loss = math.inf if plain["best_nats"] is None else plain["best_nats"]
        state = TrainingState(history, best_loss, tuple(groups["best"]), plain["evaluations_since"], plain["stopped"])
        return state, Snapshot(tuple(groups["weights"]), tuple(groups["optimizer"]), tuple(groups["carried"]))
    except FileNotFoundError:
        raise ResumeError(f"There is no checkpoint {path} to go on from. Start without --resume.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResumeError(f"The checkpoint {path} is damaged ({error}). Start again without --resume.") from error


def _score(found: dict[str, Any]) -> Score | ValueScore:
    if "loss" not in found:
        return Score(**found)
    return ValueScore(**{**found, "absolute": tuple(found["absolute"]), "squared": tuple(found["squared"])})
