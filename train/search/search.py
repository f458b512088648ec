"""The search for the smallest network that solves a problem, a training per trial.

Optuna, not KerasTuner, proposes what to try next, see `proposals`. The trials stand in a CSV file, from which its
sampler is told of all of them anew each time, so that a resumed search proposes what an uninterrupted one would have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ...runtime.common.terminal import ignore_sigint
from ..fitting.checkpoint import DivergedError, HistoryRow
from ..fitting.options import Options
from ..network.network import Network
from ..problems.problem import Problem
from ..run.folder import Run
from .folder import SearchFolder
from .sampler import propose
from .space import Candidate, Space
from .trial import Trial, best_trial

if TYPE_CHECKING:
    from ..fitting.fit import FitResult

# (number of the trial, what is tried, whether it goes on) -> observer of its training, for as long as it lasts
Watch: TypeAlias = Callable[[int, Candidate, bool], AbstractContextManager[Callable[[HistoryRow], None]]]


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


def search(
    problem: Problem,
    network: Network,
    options: Options,
    folder: Path,
    trials: int,
    *,
    fixed: Collection[str] = (),
    resume: bool = False,
    watch: Watch = lambda *_: nullcontext(lambda _: None),
) -> SearchResult:
    """Train networks of several shapes, and keep the smallest that solves the problem as the run in `folder`.

    A finished trial is on disk before the next begins, and the best run before the line that says it is the best: a
    search that was killed at any moment goes on with the trial it was in.

    Args:
        problem: What to learn.
        network: The network to begin with; cell, units and layers are searched.
        options: Seed and budget of each trial; the learning rate is searched.
        folder: For the run of the best trial, `search.csv` and `search.png`.
        trials: How many to make, earlier ones included.
        fixed: What is not searched, of `SEARCHED`.
        resume: Go on with the search in `folder`; it may be given more trials than it was begun with.
        watch: Gives an observer for each training.

    Raises:
        ProblemError: Nothing is left to search.
        ResumeError: There is no search to go on with, or it is another one.
        OutputError: The folder cannot be written.
        DivergedError: No trial learned anything.
    """
    space = Space.around(problem, network, options, fixed)
    place = SearchFolder(folder, problem, options, space, resume=resume)
    done = list(place.trials)
    candidate = None
    interrupted = False
    try:
        while len(done) < trials and (candidate := propose(space, done, options.seed)) is not None:
            interrupted = not _try(problem, candidate, options, place, done, watch)
            if interrupted:
                break
    except KeyboardInterrupt:
        interrupted = True
    best = best_trial(done)
    with ignore_sigint():
        place.finish(done)
    if done and best is None and not interrupted:
        raise DivergedError(
            f"None of {len(done)} trials learned anything: the loss was not finite. Try --learning-rate."
        )
    return SearchResult(tuple(done), best, interrupted, exhausted=len(done) < trials and not interrupted)


def _try(
    problem: Problem, candidate: Candidate, options: Options, place: SearchFolder, done: list[Trial], watch: Watch
) -> bool:
    """Train `candidate` and append it to `done`; tell whether it came to an end."""
    from ..fitting.fit import fit

    number, updates = len(done) + 1, 0
    its_options = replace(options, learning_rate=candidate.learning_rate)
    checkpoint = place.checkpoint(number)
    began = time.process_time()
    fitted: FitResult | None = None
    resume = checkpoint.exists()
    with watch(number, candidate, resume) as show:

        def observe(row: HistoryRow) -> None:
            nonlocal updates
            place.begin()
            updates = row.update
            show(row)

        try:
            fitted = fit(problem, candidate.network, its_options, observe, checkpoint=checkpoint, resume=resume)
        except DivergedError:
            place.begin()
    if fitted is not None and fitted.stopped == "interrupted":
        return False
    trial = _describe(number, candidate, fitted, updates, time.process_time() - began, problem, place.space)
    with ignore_sigint():
        done.append(trial)
        if fitted is not None and best_trial(done) is trial:
            Run(place.folder, problem, candidate.network, its_options, taken=True).finish(fitted)
        place.record(done)
        checkpoint.unlink(missing_ok=True)
    return True


def _describe(
    number: int,
    candidate: Candidate,
    fitted: FitResult | None,
    updates: int,
    cpu: float,
    problem: Problem,
    space: Space,
) -> Trial:
    network, recipe = candidate.network, problem.recipe
    return Trial(
        trial=number,
        cell=network.cell,
        units=network.units,
        layers=network.layers,
        learning_rate=candidate.learning_rate,
        parameters=space.count(network),
        stopped=fitted.stopped if fitted else "diverged",
        updates=fitted.history[-1].update if fitted and fitted.history else updates,
        cpu_seconds=round(cpu, 2),
        carried_accuracy=fitted.scores["carried"].accuracy if fitted else math.nan,
        nats=fitted.scores[recipe.monitor].nats if fitted else math.inf,
    )
