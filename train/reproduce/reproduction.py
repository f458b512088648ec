"""Train systems over seeds, measure them, and keep the results."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.common.atomic_write import atomic_write, make_folder
from ...runtime.common.errors import ResumeError
from ..fitting.options import Options
from ..problems.episodes import EpisodeProblem, side_by_side
from .recipe import Outcome, PublishedRecipe
from .system import System

if TYPE_CHECKING:
    from ..fitting.fit import FitResult

RESULTS_FILE = "results.json"
PUBLISHED, OURS = "as published", "stepcell"
_LONG = 300  # characters
_AT_ONCE = 500  # sequences evaluated side by side


@dataclass(frozen=True)
class Result:
    """The outcome of one training of one system.

    Attributes:
        system: Its name.
        way: "as published", the name of a variant, or "stepcell".
        recipe: Everything that was trained, so that a result of another recipe is not taken for one of this.
        seed: Of the training.
        outcome: The measurements.
    """

    system: str
    way: str
    recipe: str
    seed: int
    outcome: Outcome

    def check(self) -> None:
        """Raise ValueError for values that no measurement gives."""
        texts, outcome = (self.system, self.way, self.recipe), self.outcome
        shares = [outcome.accuracy, *([] if outcome.streamed is None else [outcome.streamed])]
        if not all(isinstance(text, str) for text in texts) or type(self.seed) is not int:
            raise ValueError(f"a result of {self.system!r} with the seed {self.seed!r}")
        if not all(0 <= share <= 1 for share in shares) or not 0 <= outcome.cpu_seconds < math.inf:
            raise ValueError(f"{self.system} with an accuracy of {shares} in {outcome.cpu_seconds} s")


class Reproduction:
    """A folder of results. Each is written as soon as it is measured, so that an interruption loses one training only.

    Attributes:
        results: All results, in the order of their measurement.
    """

    def __init__(
        self, folder: Path, train: Callable[[System, int, Callable[[float], None]], Outcome] | None = None
    ) -> None:
        """Read the results in `folder`; `train` trains a system of stepcell (None: `train_system`).

        Raises:
            OutputError: The folder cannot be made.
            ResumeError: Its results are damaged.
        """
        self._path, self._train = folder / RESULTS_FILE, train or train_system
        make_folder(folder)
        try:
            found = json.loads(self._path.read_bytes()) if self._path.exists() else []
            self.results = [Result(**{**result, "outcome": Outcome(**result["outcome"])}) for result in found]
            for result in self.results:
                result.check()
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise ResumeError(f"{self._path} is damaged ({error}). Remove it to measure everything anew.") from error

    def run(
        self,
        chosen: Sequence[System],
        seeds: int,
        progress: Callable[[str, float], None] = lambda name, share: None,
    ) -> None:
        """Measure every way of each system with seeds 0, 1, ..., unless it has been measured.

        Args:
            chosen: The systems.
            seeds: Number of seeds.
            progress: Receives the present training in words, and the fraction of it that is done.

        Raises:
            OutputError: A result cannot be written.
        """
        for system, way, seed in _plan(chosen, seeds):
            key = (system.name, way, describe(system, way), seed)
            if any((r.system, r.way, r.recipe, r.seed) == key for r in self.results):
                continue

            def report(share: float, name: str = f"{system.name}, {way}, seed {seed}") -> None:
                progress(name, share)

            report(0.0)
            published = _recipe(system, way)
            outcome = published.run(seed, report) if published else self._train(system, seed, report)
            self.results.append(Result(*key, outcome))
            content = json.dumps([asdict(result) for result in self.results], indent=1)
            atomic_write(self._path, content.encode())

    def outcomes(self, system: System, way: str) -> list[Outcome]:
        """Return all outcomes of one way of a system, by seed; none if the system is not trained in that way."""
        if way not in ways(system):
            return []
        recipe = describe(system, way)
        found = [r for r in self.results if (r.system, r.way, r.recipe) == (system.name, way, recipe)]
        return [result.outcome for result in sorted(found, key=lambda result: result.seed)]


def ways(system: System) -> list[str]:
    """Return the ways in which a system is trained."""
    return [*([PUBLISHED] if system.claim else []), *system.variants, OURS]


def describe(system: System, way: str) -> str:
    """Return everything that is trained, as text, or its sha256 where the text is long."""
    published = _recipe(system, way)
    trained = repr(published) if published else f"{system.problem!r} {system.network!r}"
    return trained if len(trained) <= _LONG else f"sha256 {sha256(trained.encode()).hexdigest()}"


def train_system(system: System, seed: int, progress: Callable[[float], None]) -> Outcome:
    """Train with the problem's own recipe and measure.

    The accuracy is that of the evaluation that the problem monitors: one symbol at a time, state carried. The details
    are whether the problem is solved (1 or 0), the updates, an upper bound of the training sequences, the accuracy
    with only the last symbols in view, and for a row of a paper its own criterion, on fresh sequences.
    """
    from ..fitting.fit import fit

    began = time.process_time()
    fitted = fit(system.problem, system.network, Options(seed=seed), lambda row: progress(row.used))
    seconds = time.process_time() - began
    updates = fitted.history[-1].update
    details: dict[str, float | str] = {"solved": float(fitted.stopped == "solved"), "updates": updates}
    if isinstance(system.problem, EpisodeProblem):
        details["sequences"] = _count_sequences(system.problem, updates, seed)
        if system.experiment is not None and system.experiment.largest_error:
            limit, tested = system.experiment.largest_error, system.experiment.tested
            name = f"of {tested:,} sequences, error below {limit}"
            details[name] = _fraction_within(fitted, system.problem, limit, tested, seed)
    if "windowed" in fitted.scores:
        details["windowed"] = fitted.scores["windowed"].accuracy
    accuracy = fitted.scores[fitted.data.recipe.monitor].accuracy
    return Outcome(accuracy, fitted.scores["carried"].accuracy, seconds, details)


def _recipe(system: System, way: str) -> PublishedRecipe | None:
    """Return the published recipe of a way; None: stepcell's own way."""
    if way == OURS:
        return None
    return system.claim.recipe if way == PUBLISHED and system.claim else system.variants[way]


def _plan(chosen: Sequence[System], seeds: int) -> Iterator[tuple[System, str, int]]:
    """Yield all trainings: every system once before any twice, so that a whole table is there early."""
    for seed in range(seeds):
        for system in chosen:
            for way in ways(system):
                yield system, way, seed


def _count_sequences(problem: EpisodeProblem, updates: int, seed: int) -> int:
    """Return how many sequences fit into the chunks of `updates` updates."""
    length = float(np.mean([len(episode) for episode in problem.examples(seed)]))
    rows = problem.batches(0, 1, seed).inputs.shape[2]
    return round(updates * rows * problem.recipe.time_steps / length)


def _fraction_within(fitted: FitResult, problem: EpisodeProblem, limit: float, count: int, seed: int) -> float:
    """Return the fraction of `count` fresh sequences in which every counted answer is less than `limit` off."""
    from ..fitting.evaluate import Evaluator

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
