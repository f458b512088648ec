"""A study that several workers share: each takes a trial, trains it, and records its score.

Every change happens under the lock of the database, so that no trial is taken twice and no more are made than wanted. A
running trial has a heartbeat. If it stops, another worker does the trial again, which keeps its number.
"""

from __future__ import annotations

import json
import threading
import uuid
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ...runtime.common.errors import OutputError, ResumeError
from .sampler import from_optuna, optuna, propose, running_in_optuna, to_optuna
from .space import Candidate, Space
from .storage import Storage
from .trial import Trial

HEARTBEAT_SECONDS = 10
MISSING_HEARTBEATS = 6  # a machine that swaps is slow, not dead
_MAX_LOST = 3  # workers that a trial may cost: too large a network kills each that trains it
_PLAN, _ID, _WORKER, _RETURNED = "stepcell", "stepcell_id", "worker", "returned"
_ROOT, _HISTORY = "failed_trial", "retry_history"  # as Optuna names them for a trial that is done again

State = optuna.trial.TrialState


@dataclass(frozen=True)
class Claim:
    """A trial that this worker has taken.

    Attributes:
        number: Its number, from 1; it stays the same when the trial is done again.
        candidate: The network to train.
        id: The attempt, in Optuna's storage.
        before: The worker that has not come to its end; "" if this is the first attempt.
    """

    number: int
    candidate: Candidate
    id: int
    before: str = ""


class SharedStudy:
    """The trials of all workers.

    Attributes:
        id: A name that no other study has.
        storage: Its database.
        running: Number of trials that other workers had at the last look.
        lost: Numbers of the trials that are not tried any more, each having cost several workers.
    """

    def __init__(self, storage: Storage, name: str, plan: Mapping[str, Any], space: Space, worker: str) -> None:
        """Open the study called `name`, or begin it.

        Args:
            storage: The database.
            name: The name of the study.
            plan: Everything that all workers have to agree on, as JSON: the data, the options, the space, the packages.
            space: The search space.
            worker: The name of this worker: the same as of one that was killed, if it goes on in its place.

        Raises:
            ResumeError: The study was begun with another plan; all differences are named.
            OutputError: The database cannot be used.
        """
        self.storage, self.space, self.name = storage, space, name
        self._plan, self._worker = json.loads(json.dumps(plan)), worker
        self.running = 0
        self.lost: list[int] = []
        with storage.errors("use"), storage.lock():
            self._study = optuna.create_study(study_name=name, storage=storage.optuna, load_if_exists=True)
            attributes = self._study.user_attrs
            if _PLAN not in attributes:
                if self._study.get_trials(deepcopy=False):
                    raise ResumeError(
                        f"The study {name!r} in {storage.shown} was not made by stepcell. Give --study another name."
                    )
                self._study.set_user_attr(_ID, uuid.uuid4().hex)
                self._study.set_user_attr(_PLAN, self._plan)
            self.id: str = self._study.user_attrs[_ID]
            found = self._study.user_attrs[_PLAN]
            self._rows = storage.optuna.get_study_id_from_name(name)
            for trial in self._trials(State.RUNNING):
                if trial.user_attrs.get(_WORKER) == worker:  # its folder is locked by this process: it is dead
                    self._fail(trial._trial_id)
        differing = [
            f"  - {part}: {_differences(found.get(part), wanted)}"
            for part, wanted in self._plan.items()
            if found.get(part) != wanted
        ]
        if differing:
            raise ResumeError(
                f"The study {name!r} in {storage.shown} is another search. Give the command with which it was begun, "
                "the same data and the same packages, or give --study a name of its own:\n" + "\n".join(differing)
            )

    @property
    def trials(self) -> list[Trial]:
        """All finished trials, by number.

        Raises:
            OutputError: The database cannot be read.
            ResumeError: A trial in it is damaged.
        """
        with self.storage.errors("read"):
            return self._finished()

    def trained_by(self, number: int) -> str:
        """Return the worker that recorded trial `number`."""
        with self.storage.errors("read"):
            attempts = self._attempts()[number]
        return str(attempts[-1].user_attrs.get(_WORKER, "another worker"))

    def claim(self, wanted: int, seed: int) -> Claim | None:
        """Take a trial that a dead worker left, or the next one.

        Args:
            wanted: Number of trials of all workers together.
            seed: Of the random choices, see `propose`.

        Returns:
            A trial; None if there is none to take. Others may still be `running`, and may leave theirs.

        Raises:
            OutputError: The database cannot be used.
            ResumeError: A trial in it is damaged.
        """
        with self.storage.errors("use"), self.storage.lock():
            self._recover()
            attempts = self._attempts()
            numbers = sorted(attempts)[:wanted]
            for number in numbers:
                waiting = [trial for trial in attempts[number] if trial.state == State.WAITING]
                if waiting:
                    return self._take(number, waiting[0])
            running = [attempts[n][-1] for n in numbers if attempts[n][-1].state == State.RUNNING]
            self.running = len(running)
            if len(numbers) == wanted:
                return None
            others = [self._candidate(trial) for trial in running]
            candidate = propose(self.space, self._finished(), seed, others, len(attempts))
            if candidate is None:
                return None
            template = running_in_optuna(candidate, self.space, {_WORKER: self._worker})
            id = self.storage.optuna.create_new_trial(self._rows, template)
            self.storage.optuna.record_heartbeat(id)
            return Claim(len(attempts) + 1, candidate, id)

    def record(self, claim: Claim, trial: Trial) -> bool:
        """Write the score of a trial; return whether it counts: another worker may have done it meanwhile.

        Raises:
            OutputError: It cannot be written; the trial goes on from its checkpoint when the command is repeated.
        """
        database = self.storage.optuna
        finished = to_optuna(trial, self.space)
        with self.storage.errors("write to"), self.storage.lock():
            if database.get_trial(claim.id).state != State.RUNNING:
                return False
            for name, value in finished.user_attrs.items():
                database.set_trial_user_attr(claim.id, name, value)
            database.set_trial_state_values(claim.id, State.COMPLETE, finished.values)
        return True

    def give_back(self, claim: Claim) -> None:
        """Leave an interrupted trial to the next worker. If the database is gone, its heartbeat ends at least."""
        database = self.storage.optuna
        with suppress(OutputError), self.storage.errors("write to"), self.storage.lock():
            if database.get_trial(claim.id).state == State.RUNNING:
                database.set_trial_user_attr(claim.id, _RETURNED, True)
                self._fail(claim.id)

    @contextmanager
    def heartbeat(self, claim: Claim) -> Iterator[None]:
        """Show that this worker is alive while it trains. A database that is gone for a while is no reason to stop."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.storage.optuna.get_heartbeat_interval() or HEARTBEAT_SECONDS):
                with suppress(OutputError), self.storage.errors("write to"):
                    self.storage.optuna.record_heartbeat(claim.id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(1)

    def _finished(self) -> list[Trial]:
        try:
            found = [from_optuna(trial) for trial in self._trials(State.COMPLETE)]
        except (TypeError, ValueError) as error:
            raise ResumeError(
                f"The study {self.name!r} in {self.storage.shown} is damaged ({error}). Give --study another name."
            ) from error
        return sorted(found, key=lambda trial: trial.trial)

    def _take(self, number: int, trial: optuna.trial.FrozenTrial) -> Claim:
        database = self.storage.optuna
        before = str(trial.user_attrs.get(_WORKER, ""))
        database.set_trial_state_values(trial._trial_id, State.RUNNING)
        database.set_trial_user_attr(trial._trial_id, _WORKER, self._worker)
        database.record_heartbeat(trial._trial_id)
        return Claim(number, self._candidate(trial), trial._trial_id, before)

    def _recover(self) -> None:
        """Let trials whose worker is dead wait for another. After a crash within this the next call does the rest."""
        database = self.storage.optuna
        for id in self._without_heartbeat():  # its worker was killed before the first: the time runs from now on
            database.record_heartbeat(id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)
        self.lost = []
        for number, attempts in self._attempts().items():
            if any(trial.state != State.FAIL for trial in attempts):
                continue
            if sum(not trial.user_attrs.get(_RETURNED) for trial in attempts) >= _MAX_LOST:
                self.lost.append(number)
                continue
            last = attempts[-1]
            again = optuna.trial.create_trial(
                state=State.WAITING, params=last.params, distributions=last.distributions,
                user_attrs={_WORKER: last.user_attrs.get(_WORKER, "")},
                system_attrs={_ROOT: attempts[0].number, _HISTORY: [trial.number for trial in attempts]},
            )  # fmt: skip
            database.create_new_trial(self._rows, again)

    def _without_heartbeat(self) -> list[int]:
        from sqlalchemy import text

        with self.storage.optuna.engine.connect() as connection:
            beating = {row[0] for row in connection.execute(text("SELECT trial_id FROM trial_heartbeats"))}
        return [trial._trial_id for trial in self._trials(State.RUNNING) if trial._trial_id not in beating]

    def _attempts(self) -> dict[int, list[optuna.trial.FrozenTrial]]:
        """Return number -> its attempts, of which the last counts. Attempts have numbers of their own in Optuna."""
        found: dict[int, list[optuna.trial.FrozenTrial]] = defaultdict(list)
        for trial in self._trials():
            found[trial.system_attrs.get(_ROOT, trial.number)].append(trial)
        return {number: found[first] for number, first in enumerate(sorted(found), 1)}

    def _trials(self, *states: optuna.trial.TrialState) -> list[optuna.trial.FrozenTrial]:
        return self.storage.optuna.get_all_trials(self._rows, deepcopy=False, states=states or None)

    def _fail(self, id: int) -> None:
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.optuna.set_trial_state_values(id, State.FAIL)

    def _candidate(self, trial: optuna.trial.FrozenTrial) -> Candidate:
        given = trial.params
        return Candidate(
            self.space.network(
                given["cell"], given["layers"], given["units"], given.get("dropout"), given.get("embedding")
            ),
            given["learning_rate"],
        )


def _differences(found: Any, wanted: Any) -> str:
    """Return in words what differs, of objects the differing members alone."""
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return f"{found} in the study, now {wanted}"
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {found.get(name)!r} in the study, now {wanted.get(name)!r}" for name in names)
