"""The folder of a search: the run of its best trial, and beside it the trials."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...runtime.common.atomic_write import atomic_write, remove_partial_files
from ...runtime.common.lock import FolderLock
from ..fitting.options import Options
from ..problems.problem import Problem
from ..run.folder import (
    METRICS_FILE,
    MODEL_FILE,
    PLAN_FILE,
    RUN_FILE,
    TRIALS_FILE,
    TRIALS_PLOT,
    TRIALS_TABLE,
    Run,
    as_json,
    check_free,
    move_aside,
    read_plan,
)  # fmt: skip
from .report import draw_search
from .sampler import TrialStorage
from .space import Candidate, Space
from .trial import Trial, write_trials

if TYPE_CHECKING:
    from ..fitting.fit import FitResult


class SearchFolder:
    """The files of a search: search.json (its plan), search.db (its trials, for Optuna), search.csv, search.png.

    The trials of a search of several workers are in their study, and there is no search.db.

    Attributes:
        folder: The folder; the run of the best trial so far is in it too.
        space: The search space.
        trials: The finished trials.
    """

    def __init__(
        self, folder: Path, problem: Problem, options: Options, space: Space, *, resume: bool, shared: bool = False
    ) -> None:
        """Make sure that the search can be written to `folder`. Nothing there is changed yet.

        Args:
            folder: Where to write; made if it is not there.
            problem: The problem.
            options: The options of each trial.
            space: The search space.
            resume: Go on with the search in `folder`.
            shared: The trials are in a study, see `join`.

        Raises:
            OutputError: The folder cannot be written, holds files that no run has left there, or another training has
                it, until that is finished or closed.
            ResumeError: There is nothing to go on with, or it is another search; all differences are named.
        """
        self.folder, self.space = folder.resolve(), space
        self.trials: list[Trial] = []
        self._storage: TrialStorage | None = None
        self._shared, self._begun = shared, False
        self._plan: dict[str, Any] = {
            "producer": f"stepcell {__version__}",
            "problem": {"name": problem.name, **problem.to_json()},
            "options": options.to_json(),
            "space": space.to_json(),
        }
        if resume and not shared:
            may_change = "; only the number of trials may change"
            read_plan(self.folder / PLAN_FILE, self._plan, ("problem", "options", "space"), "search", may_change)
            self._lock = FolderLock(self.folder, "training")
            remove_partial_files(self.folder)
            self._storage = TrialStorage(self.folder / TRIALS_FILE, space)
            self.trials = self._storage.trials
            self._begun = True
        else:
            check_free(self.folder)
            self._lock = FolderLock(self.folder, "training")

    @property
    def plan(self) -> dict[str, Any]:
        """Problem, options and space, as JSON."""
        return {name: self._plan[name] for name in ("problem", "options", "space")}

    def join(self, storage: str, study: str, study_id: str) -> None:
        """Name the study that has the trials; if this folder belongs to it, its files and checkpoints stay.

        Args:
            storage: Its database, without a password.
            study: Its name.
            study_id: The name that no other study has.
        """
        self._plan["study"] = {"storage": storage, "name": study, "id": study_id}
        try:
            found = json.loads((self.folder / PLAN_FILE).read_bytes())
            self._begun = found["study"]["id"] == study_id
        except (OSError, ValueError, KeyError, TypeError):
            return
        if self._begun:
            remove_partial_files(self.folder)

    def holds(self, trial: Trial) -> bool:
        """Return whether the run in the folder is that of `trial`, by its network, its options and its score."""
        if not self._begun:
            return False
        try:
            run = json.loads((self.folder / RUN_FILE).read_bytes())
            scores = json.loads((self.folder / METRICS_FILE).read_bytes())
            network = tuple(run["network"][name] for name in ("cell", "units", "layers", "dropout", "embedding"))
            score, carried = scores[run["recipe"]["monitor"]], scores["carried"].get("accuracy", math.nan)
            nats = score.get("nats_per_symbol", score.get("loss"))
            found = (*network, run["options"]["learning_rate"], run["stopped"], run["updates"], carried, nats)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        wanted = (
            trial.cell, trial.units, trial.layers, trial.dropout, trial.embedding, trial.learning_rate, trial.stopped,
            trial.updates, trial.carried_accuracy, trial.nats,
        )  # fmt: skip
        return repr(found) == repr(wanted) and (self.folder / MODEL_FILE).exists()

    def close(self) -> None:
        """Leave the folder to other trainings."""
        self._lock.release()

    def checkpoint(self, number: int | str) -> Path:
        """Return where trial `number` keeps its checkpoint; no other trial may go on from it."""
        return self.folder / f"checkpoint.{number}.npz"

    def begin(self) -> None:
        """Take the folder, once something has been learned: an earlier run's files move to FOLDER.previous.

        Raises:
            OutputError: They cannot be moved, or the folder cannot be written.
        """
        if self._begun:
            return
        move_aside(self.folder)
        atomic_write(self.folder / PLAN_FILE, as_json(self._plan))
        if not self._shared:
            self._storage = TrialStorage(self.folder / TRIALS_FILE, self.space)
            self.trials = self._storage.trials
        self._begun = True
        self._write_table()

    def keep(self, problem: Problem, candidate: Candidate, options: Options, fitted: FitResult) -> None:
        """Write the run of the best trial so far; the options are those of all trials.

        Raises:
            OutputError: It cannot be written.
        """
        its_options = replace(options, learning_rate=candidate.learning_rate)
        Run(self.folder, problem, candidate.network, its_options, taken=True).finish(fitted)

    def add(self, trial: Trial) -> None:
        """Write a finished trial, and remove its checkpoint.

        Raises:
            OutputError: It cannot be written; earlier trials are unchanged.
        """
        self.begin()
        if self._storage is not None:
            self._storage.add(trial)
        self._write_table()

    def refresh(self, trials: list[Trial]) -> None:
        """Write the table of the `trials` of a study, those of other workers among them, if the folder is taken."""
        self.trials = trials
        if self._begun:
            self._write_table()

    def finish(self) -> None:
        """Write the table of the trials and, with matplotlib, their plot."""
        if self.trials:
            self._write_table()
            plot = draw_search(self.trials)
            if plot is not None:
                atomic_write(self.folder / TRIALS_PLOT, plot)

    def _write_table(self) -> None:
        """Write the table of the stored trials and remove their checkpoints: a crash may have come before it."""
        atomic_write(self.folder / TRIALS_TABLE, write_trials(self.trials))
        for trial in self.trials:
            self.checkpoint(trial.trial).unlink(missing_ok=True)
