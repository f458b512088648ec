"""Runs systems over seeds and remembers what came out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from ....runtime.common.atomic_write import atomic_write, make_folder
from ....runtime.common.errors import ResumeError
from ..recipes import Outcome, PublishedRecipe
from . import trial
from .system import System

RESULTS_FILE = "results.json"
PUBLISHED, OURS = "as published", "stepcell"
_LONG = 300  # characters


@dataclass(frozen=True)
class Result:
    """What one training of one system gave.

    Attributes:
        system: Its name.
        way: "as published", the name of a variant, or "stepcell".
        recipe: Everything that was trained, so that a result of another recipe is not taken for one of this.
        seed: Of the training.
        outcome: What was measured.
    """

    system: str
    way: str
    recipe: str
    seed: int
    outcome: Outcome


class Reproduction:
    """A folder of results. Each is written when it is there, so that an interruption loses the one on its way only."""

    def __init__(self, folder: Path) -> None:
        """Read what has been measured before.

        Raises:
            OutputError: The folder cannot be made.
            ResumeError: What stands there is damaged.
        """
        self._path = folder / RESULTS_FILE
        make_folder(folder)
        try:
            found = json.loads(self._path.read_bytes()) if self._path.exists() else []
            self.results = [Result(**{**result, "outcome": Outcome(**result["outcome"])}) for result in found]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ResumeError(f"{self._path} is damaged ({error}). Remove it to measure everything anew.") from error

    def run(
        self, chosen: Sequence[System], seeds: int, progress: Callable[[str, float], None] = lambda what, share: None
    ) -> None:
        """Measure what has not been measured yet, seeds 0, 1, ... of every way of each system.

        Args:
            chosen: The systems.
            seeds: How many seeds.
            progress: Is called with what is being done and which share of it.

        Raises:
            OutputError: A result cannot be written.
        """
        for system, way, seed in _plan(chosen, seeds):
            if self.find(system, way, seed) is None:

                def report(share: float, what: str = f"{system.name}, {way}, seed {seed}") -> None:
                    progress(what, share)

                report(0.0)
                outcome = _measure(system, way, seed, report)
                self.results.append(Result(system.name, way, describe(system, way), seed, outcome))
                content = json.dumps([asdict(result) for result in self.results], indent=1)
                atomic_write(self._path, content.encode())

    def find(self, system: System, way: str, seed: int) -> Result | None:
        """Return the result of one training, if there is one."""
        wanted = (system.name, way, describe(system, way), seed)
        return next((r for r in self.results if (r.system, r.way, r.recipe, r.seed) == wanted), None)

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
    trained = f"{system.problem!r} {system.network!r}" if way == OURS else repr(_recipe(system, way))
    return trained if len(trained) <= _LONG else f"sha256 {sha256(trained.encode()).hexdigest()}"


def _recipe(system: System, way: str) -> PublishedRecipe:
    if way == PUBLISHED and system.claim is not None:
        return system.claim.recipe
    return system.variants[way]


def _plan(chosen: Sequence[System], seeds: int) -> Iterator[tuple[System, str, int]]:
    """Yield what there is to measure: first all systems once, so that a table of everything is there early."""
    for seed in range(seeds):
        for system in chosen:
            for way in ways(system):
                yield system, way, seed


def _measure(system: System, way: str, seed: int, report: Callable[[float], None]) -> Outcome:
    if way == OURS:
        return trial.train(system, seed, report)
    return _recipe(system, way).run(seed, report)
