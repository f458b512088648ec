"""The search for the smallest network that solves a problem, a training per trial.

Optuna proposes the next network from the finished trials and the seed alone, see `sampler`, so that a resumed search
makes the same trials as an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ...runtime.common.terminal import ignore_sigint
from ..fitting.checkpoint import CHECKPOINT_SECONDS, DivergedError, HistoryRow
from ..fitting.options import Options
from ..network.network import Network
from ..problems.problem import Problem
from .folder import SearchFolder
from .sampler import propose
from .space import Candidate, Space
from .trial import SearchResult, Trial, best_trial

if TYPE_CHECKING:
    from ..fitting.fit import FitResult

# (number of the trial, its candidate, whether it is resumed) -> observer of its training
Watch: TypeAlias = Callable[[int, Candidate, bool], AbstractContextManager[Callable[[HistoryRow], None]]]


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
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    max_parameters: int | None = None,
) -> SearchResult:
    """Train networks of several shapes, and keep the smallest that solves the problem as the run in `folder`.

    A finished trial is on disk before the next begins, and the best run before the line that says it is the best: a
    search that was killed at any moment goes on with the trial it was in.

    Args:
        problem: The problem.
        network: The network to begin with; cell, units and layers are searched.
        options: Seed and budget of each trial; the learning rate is searched.
        folder: For the run of the best trial, `search.db`, `search.csv` and `search.png`.
        trials: Number of trials, earlier ones included.
        fixed: Those of `SEARCHED` that are not searched.
        resume: Go on with the search in `folder`; it may be given more trials than it was begun with.
        watch: Gives an observer for each training.
        checkpoint_seconds: See `fit`.
        max_parameters: Most parameters of a network; `network` has no more.

    Raises:
        ProblemError: Nothing is left to search.
        ResumeError: There is no search to go on with, or it is another one.
        OutputError: The folder cannot be written.
        DivergedError: No trial learned anything.
    """
    space = Space.around(problem, network, options, fixed, max_parameters)
    with closing(SearchFolder(folder, problem, options, space, resume=resume)) as place:
        interrupted = False
        try:
            while len(place.trials) < trials and (candidate := propose(space, place.trials, options.seed)) is not None:
                interrupted = not _try(problem, candidate, options, place, watch, checkpoint_seconds)
                if interrupted:
                    break
        except KeyboardInterrupt:
            interrupted = True
        with ignore_sigint():
            place.finish()
    return search_result(place.trials, interrupted, exhausted=len(place.trials) < trials)


def search_result(trials: Sequence[Trial], interrupted: bool, *, exhausted: bool) -> SearchResult:
    """Return the result of a search that has ended.

    Args:
        trials: Its trials.
        interrupted: Whether it was interrupted.
        exhausted: Whether there are fewer trials than were asked for.

    Raises:
        DivergedError: No trial learned anything, and the search was not interrupted.
    """
    best = best_trial(trials)
    if trials and best is None and not interrupted:
        raise DivergedError(
            f"None of {len(trials)} trials learned anything: the loss was not finite. Try --learning-rate."
        )
    return SearchResult(tuple(trials), best, interrupted, exhausted and not interrupted)


def _try(
    problem: Problem, candidate: Candidate, options: Options, place: SearchFolder, watch: Watch, seconds: float
) -> bool:
    """Train `candidate` and add it to the trials; return whether it came to an end."""
    number = len(place.trials) + 1
    trained = train_candidate(
        problem, candidate, options, place, watch, number, place.checkpoint(number), checkpoint_seconds=seconds
    )
    if trained is None:
        return False
    trial, fitted = trained
    with ignore_sigint():
        place.begin()
        if fitted is not None and best_trial([*place.trials, trial]) is trial:
            place.keep(problem, candidate, options, fitted)
        place.add(trial)
    return True


def train_candidate(
    problem: Problem, candidate: Candidate, options: Options, place: SearchFolder, watch: Watch, number: int,
    checkpoint: Path, *, checkpoint_seconds: float,
) -> tuple[Trial, FitResult | None] | None:  # fmt: skip
    """Train `candidate` as trial `number`, from its checkpoint if there is one.

    Returns:
        The trial, and the result of its training, which is None where it diverged; None if it was interrupted.
    """
    from ..fitting.fit import fit

    updates = 0
    began = time.process_time()
    fitted: FitResult | None = None
    resume = checkpoint.exists()
    with watch(number, candidate, resume) as show, suppress(DivergedError):

        def observe(row: HistoryRow) -> None:
            nonlocal updates
            place.begin()
            updates = row.update
            show(row)

        its_options = replace(options, learning_rate=candidate.learning_rate)
        fitted = fit(
            problem, candidate.network, its_options, observe, checkpoint=checkpoint, resume=resume,
            checkpoint_seconds=checkpoint_seconds,
        )  # fmt: skip
    if fitted is not None and fitted.stopped == "interrupted":
        return None
    network = candidate.network
    trial = Trial(
        trial=number,
        cell=network.cell,
        units=network.units,
        layers=network.layers,
        learning_rate=candidate.learning_rate,
        parameters=place.space.count(network),
        stopped=fitted.stopped if fitted else "diverged",
        updates=fitted.history[-1].update if fitted and fitted.history else updates,
        cpu_seconds=round(time.process_time() - began, 2),
        carried_accuracy=getattr(fitted.scores["carried"], "accuracy", math.nan) if fitted else math.nan,
        nats=fitted.scores[fitted.data.recipe.monitor].loss if fitted else math.inf,
        dropout=network.dropout,
        embedding=network.embedding,
    )
    return trial, fitted
