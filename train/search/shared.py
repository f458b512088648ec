"""A search of several workers, each a process with a folder of its own, which share a study in a database."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ... import __version__
from ...runtime.common.errors import ParityError, ProblemError
from ...runtime.common.terminal import ignore_sigint
from ..fitting.checkpoint import CHECKPOINT_SECONDS
from ..fitting.options import Options
from ..network.network import Network
from ..problems.problem import Problem
from ..run.folder import package_version
from .folder import SearchFolder
from .search import Watch, search_result, train_candidate
from .space import Candidate, Space
from .storage import Storage
from .study import HEARTBEAT_SECONDS, MISSING_HEARTBEATS, Claim, SharedStudy
from .trial import SearchResult, Trial, best_trial

_LOOK_SECONDS = 2.0  # between two looks for a trial of a worker that is gone
_ONE_THREAD = 256  # below this number of units one thread is fastest
# Equal seeds give equal networks only where these are equal too.
_PACKAGES = ("tensorflow", "keras", "numpy")
_LOCAL = ("source", "held_out_source")  # names of files may differ between machines; their contents may not
_SAME = ("stopped", "updates", "nats", "carried_accuracy", "parameters")  # of a trial and the same trained again


@dataclass(frozen=True)
class Team:
    """The study that a worker takes part in.

    Attributes:
        storage: URL of its database, see `check_url`.
        study: Its name.
        heartbeat_seconds: Time between two signs of life.
        missing_heartbeats: So many without one, and the worker is taken for dead.
    """

    storage: str
    study: str = "search"
    heartbeat_seconds: int = HEARTBEAT_SECONDS
    missing_heartbeats: int = MISSING_HEARTBEATS


def search_together(
    problem: Problem,
    network: Network,
    options: Options,
    folder: Path,
    trials: int,
    team: Team,
    *,
    fixed: Collection[str] = (),
    watch: Watch,
    say: Callable[[str], None] = lambda _: None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    max_parameters: int | None = None,
) -> SearchResult:
    """Search as one of several workers, and end with the run of the best network of all of them in `folder`.

    It goes on with the study that is there, whether this worker has taken part in it or not. The best network is
    trained again from its seed if another worker has trained it, and its score has to be the recorded one.

    Args:
        problem: The problem.
        network: The network to begin with; cell, units and layers are searched.
        options: Seed and budget of each trial. The threads are those of the machine that began the study.
        folder: For the run of the best trial, `search.csv` and `search.png`. No other worker may have it.
        trials: Number of trials of all workers together.
        team: The study.
        fixed: Those of `SEARCHED` that are not searched.
        watch: Gives an observer for each training.
        say: Receives a sentence where this worker waits, or does a trial of another one again.
        checkpoint_seconds: See `fit`.
        max_parameters: See `search`.

    Raises:
        ProblemError: Nothing is left to search, or there is a time limit.
        OptionError: The URL is not accepted.
        ResumeError: The study is another search.
        OutputError: The folder cannot be written, or the database cannot be used.
        DivergedError: No trial learned anything.
        ParityError: The best network cannot be made again on this machine.
    """
    if options.minutes is not None:
        raise ProblemError(
            "A search of several workers takes no --minutes: a network that had a time limit cannot be trained again "
            "from its seed. Limit the trials by --max-updates."
        )
    space = Space.around(problem, network, options, fixed, max_parameters)
    if options.threads is None:  # the first training of a process would decide for all others
        options = replace(options, threads=1 if network.units < _ONE_THREAD else os.cpu_count())
    storage = Storage(team.storage, team.heartbeat_seconds, team.heartbeat_seconds * team.missing_heartbeats)
    with closing(SearchFolder(folder, problem, options, space, resume=False, shared=True)) as place:
        worker = f"{socket.gethostname()}:{place.folder}"
        study = SharedStudy(storage, team.study, _agreement(place.plan), space, worker)
        place.join(storage.shown, team.study, study.id)
        interrupted = False
        work = _Worker(problem, options, place, study, watch, say, checkpoint_seconds)
        try:
            interrupted = not work.run(trials)
        except KeyboardInterrupt:
            interrupted = True
        with ignore_sigint():
            place.finish()
        done = place.trials
    return search_result(done, interrupted, exhausted=len(done) + len(study.lost) < trials)


class _Worker:
    """One process of a search."""

    def __init__(
        self, problem: Problem, options: Options, place: SearchFolder, study: SharedStudy, watch: Watch,
        say: Callable[[str], None], checkpoint_seconds: float,
    ) -> None:  # fmt: skip
        self._problem, self._options, self._place, self._study = problem, options, place, study
        self._watch, self._say, self._seconds = watch, say, checkpoint_seconds
        self._said: set[str] = set()

    def run(self, trials: int) -> bool:
        """Train until all trials are done and the best network is here; return whether it was not interrupted."""
        while True:
            claim = self._study.claim(trials, self._options.seed)
            self._place.refresh(self._study.trials)
            if claim is not None:
                if not self._train(claim):
                    return False
                continue
            best = best_trial(self._place.trials)
            if best is not None and not self._place.holds(best):  # also while others still train: it is likely to stay
                if not self._train_again(best):
                    return False
            elif self._study.running:
                running = self._study.running
                self._say_once(f"waiting for {running} trial{'s'[: running > 1]} of other workers")
                time.sleep(_LOOK_SECONDS)
            else:
                return True

    def _train(self, claim: Claim) -> bool:
        if claim.before:
            self._say(f"trial {claim.number} is done again: {claim.before} has not come to its end")
        trained = None
        try:
            with self._study.heartbeat(claim):
                trained = self._fit(claim.candidate, claim.number, self._place.checkpoint(claim.number))
        finally:
            if trained is None:
                self._study.give_back(claim)
        if trained is None:
            return False
        trial, fitted = trained
        with ignore_sigint():
            self._place.begin()
            if fitted is not None and best_trial([*self._place.trials, trial]) is trial:
                self._place.keep(self._problem, claim.candidate, self._options, fitted)
            if not self._study.record(claim, trial):
                self._say(f"trial {trial.trial} was slow, and another worker has taken it; its score is that one's")
        return True

    def _train_again(self, best: Trial) -> bool:
        """Train the best network from its seed and prove that it is the one of the record.

        Raises:
            ParityError: It is not. The folder has the run that it had.
        """
        shape = (best.cell, best.layers, best.units, best.dropout, best.embedding)
        candidate = Candidate(self._place.space.network(*shape), best.learning_rate)
        by = self._study.trained_by(best.trial)
        self._say(
            f"the best network so far, trial {best.trial}, was trained by {by}; it is trained again from its seed"
        )
        trained = self._fit(candidate, best.trial, self._place.checkpoint(f"{best.trial}.again"))
        if trained is None:
            return False
        again, fitted = trained
        differing = [
            f"  - {name}: {getattr(best, name)} in the study, {getattr(again, name)} here"
            for name in _SAME
            if repr(getattr(best, name)) != repr(getattr(again, name))
        ]
        if differing or fitted is None:
            raise ParityError(
                f"Trial {best.trial}, trained again from its seed, is another network than {by} trained: this machine "
                f"computes otherwise (its processor or its packages). Copy the run from there. Its network was not "
                "written here:\n" + "\n".join(differing)
            )
        with ignore_sigint():
            self._place.keep(self._problem, candidate, self._options, fitted)
        self._place.checkpoint(f"{best.trial}.again").unlink(missing_ok=True)
        self._say(f"trial {best.trial}: equal to the record ({again.updates:,} updates, {again.nats:.6g} nats)")
        return True

    def _fit(self, candidate: Candidate, number: int, checkpoint: Path) -> Any:
        return train_candidate(
            self._problem, candidate, self._options, self._place, self._watch, number, checkpoint,
            checkpoint_seconds=self._seconds,
        )  # fmt: skip

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def _agreement(plan: dict[str, Any]) -> dict[str, Any]:
    """Return everything that two workers have to agree on."""
    problem = {name: value for name, value in plan["problem"].items() if name not in _LOCAL}
    packages = {"stepcell": __version__, **{name: package_version(name) for name in _PACKAGES}}
    return {**plan, "problem": problem, "packages": packages}
