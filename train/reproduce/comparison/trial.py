"""One training of one system the way of stepcell."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ...fitting.evaluate import Evaluator
from ...fitting.fit import FitResult, fit
from ...fitting.options import Options
from ...problems.episodes import EpisodeProblem, side_by_side
from ..recipes import Outcome
from .system import System

_AT_ONCE = 500  # sequences judged side by side


def train(system: System, seed: int, progress: Callable[[float], None]) -> Outcome:
    """Train with the problem's own recipe and measure.

    The accuracy is that of the evaluation the problem is judged by: one symbol at a time, state carried. In `details`
    stand whether the problem says it is solved (1 or 0), the updates, how many sequences were learned from at most, the
    accuracy with only the last symbols in view, and for a row of a paper its own criterion, on fresh sequences.
    """
    began = time.process_time()
    fitted = fit(system.problem, system.network, Options(seed=seed), lambda row: progress(row.used))
    seconds = time.process_time() - began
    judged = fitted.scores[system.problem.recipe.monitor]
    updates = fitted.history[-1].update
    details: dict[str, float | str] = {"solved": float(fitted.stopped == "solved"), "updates": updates}
    if isinstance(system.problem, EpisodeProblem):
        details["sequences"] = _sequences(system.problem, updates, seed)
        if system.experiment is not None and system.experiment.largest_error:
            limit = system.experiment.largest_error
            name = f"of {system.experiment.judged:,} sequences, error below {limit}"
            details[name] = _share_within(fitted, system.problem, limit, system.experiment.judged, seed)
    if "windowed" in fitted.scores:
        details["windowed"] = fitted.scores["windowed"].accuracy
    return Outcome(judged.accuracy, fitted.scores["carried"].accuracy, seconds, details)


def _sequences(problem: EpisodeProblem, updates: int, seed: int) -> int:
    """Return how many sequences fit into what has been learned from."""
    length = float(np.mean([len(episode) for episode in problem.examples(seed)]))
    lanes = problem.batches(0, 1, seed).inputs.shape[2]
    return round(updates * lanes * problem.recipe.time_steps / length)


def _share_within(fitted: FitResult, problem: EpisodeProblem, limit: float, count: int, seed: int) -> float:
    """Return the share of `count` fresh sequences in which every answer asked for is less than `limit` off."""
    evaluator = Evaluator(fitted.network, xla=True)
    random = np.random.default_rng([seed, 10])
    drawn = [problem.draw(random) for _ in range(count)]
    longest = max(drawn, key=len)
    within = 0
    for first in range(0, count, _AT_ONCE):
        # The longest one goes along, so that all rounds have one shape and are compiled once.
        predictions = evaluator.predict(side_by_side([longest, *drawn[first : first + _AT_ONCE]]))
        close = (np.exp(-predictions.nats) > 1 - limit) | (predictions.streams.weights == 0)
        within += int(close[:, 1:].all(0).sum())
    return within / count
