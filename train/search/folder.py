"""The folder of a search: the run of its best trial, and beside it what has been tried.

The trials of a search as a picture.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from ... import __version__
from ...runtime.common.atomic_write import atomic_write, remove_partial_files
from ...runtime.common.errors import ResumeError
from ...runtime.common.plotting import new_figure, to_png
from ..fitting.options import Options
from ..problems.problem import Problem
from ..run.folder import PLAN_FILE, TRIALS_FILE, TRIALS_PICTURE, as_json, check_free, differences, move_aside
from .space import Space
from .trial import Trial, best_trial, read_trials, write_trials

_COLOURS = {"lstm": "tab:blue", "gru": "tab:orange", "rnn": "tab:green"}


def draw_search(trials: Sequence[Trial]) -> bytes | None:
    """Return a PNG of parameters against nats and accuracy; None without matplotlib.

    What is filled has solved the problem; the best has a red ring.
    """
    figure = new_figure(8, 3.6)
    if figure is None:
        return None
    left, right = figure.subplots(1, 2)
    learned = [trial for trial in trials if math.isfinite(trial.nats)]
    best = best_trial(trials)
    nats = {trial.trial: trial.nats for trial in learned}
    accuracies = {trial.trial: 100 * trial.carried_accuracy for trial in learned}
    for axes, heights in ((left, nats), (right, accuracies)):
        for (cell, colour), solved in product(_COLOURS.items(), (True, False)):
            some = [trial for trial in learned if trial.cell == cell and trial.solved == solved]
            if some:
                axes.scatter(
                    [trial.parameters for trial in some],
                    [heights[trial.trial] for trial in some],
                    edgecolors=colour,
                    facecolors=colour if solved else "none",
                    label=f"{cell}, solved" if solved else cell,
                )
        if best is not None:
            place = [best.parameters], [heights[best.trial]]
            axes.scatter(*place, s=160, facecolors="none", edgecolors="tab:red", label="best")
        axes.set(xlabel="parameters", xscale="log")
        axes.grid(alpha=0.3)
    left.set(ylabel="nats per symbol")
    right.set(ylabel="carried accuracy (%)")
    if learned:
        left.set_yscale("log")
        left.legend(fontsize="small")
    return to_png(figure)


class SearchFolder:
    """Where a search leaves what it knows: search.json (what is searched), search.csv, search.png.

    Attributes:
        folder: The folder; the run of the best trial so far stands in it too.
        space: What is searched.
        trials: Those that were finished before, where the search goes on.
    """

    def __init__(self, folder: Path, problem: Problem, options: Options, space: Space, *, resume: bool) -> None:
        """Make sure that the search can be written to `folder`. Nothing there is changed yet.

        Args:
            folder: Where to write; made if it is not there.
            problem: What is learned.
            options: How, in each trial.
            space: What is searched.
            resume: Go on with the search in `folder`.

        Raises:
            OutputError: The folder cannot be written, or holds files that no run has left there.
            ResumeError: There is nothing to go on with, or it is another search; all differences are named.
        """
        self.folder, self.space = folder.resolve(), space
        self.trials: list[Trial] = []
        self._begun = resume
        self._plan = {
            "producer": f"stepcell {__version__}",
            "problem": {"name": problem.name, **problem.to_json()},
            "options": options.to_json(),
            "space": space.to_json(),
        }
        if resume:
            self.trials = self._read()
            remove_partial_files(self.folder)
        else:
            check_free(self.folder)

    def checkpoint(self, number: int) -> Path:
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
        atomic_write(self.folder / TRIALS_FILE, write_trials([]))
        self._begun = True

    def record(self, trials: Sequence[Trial]) -> None:
        """Write all trials so far.

        Raises:
            OutputError: They cannot be written; those written before still stand there.
        """
        atomic_write(self.folder / TRIALS_FILE, write_trials(trials))

    def finish(self, trials: Sequence[Trial]) -> None:
        """Draw the trials, where there are any and matplotlib is there."""
        picture = draw_search(trials) if trials else None
        if picture is not None:
            atomic_write(self.folder / TRIALS_PICTURE, picture)

    def _read(self) -> list[Trial]:
        try:
            found = json.loads((self.folder / PLAN_FILE).read_bytes())
            trials = read_trials((self.folder / TRIALS_FILE).read_bytes())
            differing = differences(found, self._plan, ("problem", "options", "space"))
        except FileNotFoundError:
            raise ResumeError(
                f"There is no search in {self.folder} to go on with. Start it without --resume."
            ) from None
        except (OSError, ValueError, AttributeError) as error:
            if isinstance(error, ResumeError):
                raise
            raise ResumeError(f"{self.folder / PLAN_FILE} is damaged ({error}). Start without --resume.") from error
        if differing:
            raise ResumeError(
                f"The search in {self.folder} was started differently. Repeat its command with --resume; only the "
                f"number of trials may change:\n{differing}"
            )
        return trials
