"""The folder of a search: the run of its best trial, and beside it the trials."""

from __future__ import annotations

from pathlib import Path

from ... import __version__
from ...runtime.common.atomic_write import atomic_write, remove_partial_files
from ...runtime.common.lock import FolderLock
from ..fitting.options import Options
from ..problems.problem import Problem
from ..run.folder import (
    PLAN_FILE,
    TRIALS_FILE,
    TRIALS_PLOT,
    TRIALS_TABLE,
    as_json,
    check_free,
    move_aside,
    read_plan,
)  # fmt: skip
from .report import draw_search
from .sampler import TrialStorage
from .space import Space
from .trial import Trial, write_trials


class SearchFolder:
    """The files of a search: search.json (its plan), search.db (its trials, for Optuna), search.csv, search.png.

    Attributes:
        folder: The folder; the run of the best trial so far is in it too.
        space: The search space.
        trials: The finished trials.
    """

    def __init__(self, folder: Path, problem: Problem, options: Options, space: Space, *, resume: bool) -> None:
        """Make sure that the search can be written to `folder`. Nothing there is changed yet.

        Args:
            folder: Where to write; made if it is not there.
            problem: The problem.
            options: The options of each trial.
            space: The search space.
            resume: Go on with the search in `folder`.

        Raises:
            OutputError: The folder cannot be written, holds files that no run has left there, or another training has
                it, until that is finished or closed.
            ResumeError: There is nothing to go on with, or it is another search; all differences are named.
        """
        self.folder, self.space = folder.resolve(), space
        self.trials: list[Trial] = []
        self._storage: TrialStorage | None = None
        self._plan = {
            "producer": f"stepcell {__version__}",
            "problem": {"name": problem.name, **problem.to_json()},
            "options": options.to_json(),
            "space": space.to_json(),
        }
        if resume:
            may_change = "; only the number of trials may change"
            read_plan(self.folder / PLAN_FILE, self._plan, ("problem", "options", "space"), "search", may_change)
            self._lock = FolderLock(self.folder, "training")
            remove_partial_files(self.folder)
            self._storage = TrialStorage(self.folder / TRIALS_FILE, space)
            self.trials = self._storage.trials
        else:
            check_free(self.folder)
            self._lock = FolderLock(self.folder, "training")

    def close(self) -> None:
        """Leave the folder to other trainings."""
        self._lock.release()

    def checkpoint(self, number: int) -> Path:
        """Return where trial `number` keeps its checkpoint; no other trial may go on from it."""
        return self.folder / f"checkpoint.{number}.npz"

    def begin(self) -> None:
        """Take the folder, once something has been learned: an earlier run's files move to FOLDER.previous.

        Raises:
            OutputError: They cannot be moved, or the folder cannot be written.
        """
        if self._storage is None:
            move_aside(self.folder)
            atomic_write(self.folder / PLAN_FILE, as_json(self._plan))
            self._storage = TrialStorage(self.folder / TRIALS_FILE, self.space)
            self.trials = self._storage.trials
            self._write_table()

    def add(self, trial: Trial) -> None:
        """Write a finished trial, and remove its checkpoint.

        Raises:
            OutputError: It cannot be written; earlier trials are unchanged.
        """
        self.begin()
        if self._storage is not None:
            self._storage.add(trial)
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
