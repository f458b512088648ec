"""A new model takes over from the one that serves: caught up, side by side, and then at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...common.errors import OutputError, StepcellError
from ...common.printable import printable_json
from ...streams.snapshot import Snapshot
from .coming import Coming, check_interface, drop_coming
from .engine import Engine
from .recent import Recent, interface_of, recent_of, stored_interface
from .side_by_side import SideBySide
from .store import Group, ServiceStore, Statement
from .successor import Stage, Successor

if TYPE_CHECKING:
    from ...streams.model import Model
    from .options import ServeOptions
    from .service import Service

TAKEN, REFUSED_MODEL = "model", "model-refused"  # values of "event" in the records of these events
SLICE = 0.005  # seconds of work on streams at a time, and at least as many for records after it


class Handover(Successor):
    """A new model on its way to take over. The service calls `work` between two groups.

    Attributes:
        engine: The engine of the new model.
        stage: What it is doing.
    """

    def __init__(self, service: Service, engine: Engine) -> None:
        """Begin to catch up.

        Args:
            service: The service, with the engine of the old model.
            engine: That of the new model.

        Raises:
            OtherModelError: The streams cannot be caught up with this model.
            OutputError: The store cannot be written.
        """
        old = service.engine
        recent = old.streams.recent
        found = None if recent is None else interface_of(old.model.manifest)
        check_interface(found, engine.model, str(service.options.store))
        assert recent is not None, "`check_interface` has looked"
        self.engine, self.stage = engine, Stage.CATCHING_UP
        self._service, self._resume, self._began = service, 0.0, time.monotonic()
        self._coming = Coming(engine.model, service.store, recent)
        self._work = self._coming.catch_up()
        self._both = SideBySide(self._coming, old.streams, service.options.max_streams)
        old.follow(self._both.step)

    def statements(self, moved: Mapping[str, tuple[Snapshot, Mapping[str, Any]]]) -> list[Statement]:
        """See `SideBySide.statements`."""
        return self._both.statements(moved)

    def settle(self) -> None:
        """See `SideBySide.settle`."""
        self._both.settle()

    def status(self) -> dict[str, Any]:
        """Return how far it is, as JSON."""
        manifest, progress = self.engine.model.manifest, self._coming.progress
        return {
            "stage": self.stage.value, "model": manifest.fingerprint, "streams": progress.streams,
            "exact": progress.exact, "short": progress.short, **self._both.comparison.to_json(manifest.output),
        }  # fmt: skip

    def work(self) -> bool:
        """Do a piece of work; return whether there is more that need not wait for records.

        Raises:
            StepcellError: The new model cannot take over.
        """
        if self._both.failure is not None:
            raise self._both.failure
        service = self._service
        if self.stage is Stage.CATCHING_UP:
            if service.inbox.waiting and time.monotonic() < self._resume:
                return True
            service.commit()
            until, is_complete = time.monotonic() + SLICE, True
            for statement in self._work:
                service.statements += [statement] if statement else []
                if time.monotonic() >= until:
                    is_complete = self._coming.is_complete
                    break
            service.commit()
            self._resume = time.monotonic() + SLICE
            if not is_complete:
                return True
            service.statements += self._coming.rest()  # a busy stream has moved in each pause of its turn
            service.commit()
            self.stage = Stage.SIDE_BY_SIDE
            if service.options.shadow:
                service.tell(
                    f"{self._name} is caught up ({self._coming.progress.describe()}). It takes over after "
                    f"{service.options.shadow:,} answers side by side."
                )
        if self._both.comparison.compared >= service.options.shadow:
            self._take_over()
        return False

    def give_up(self) -> None:
        """Leave the old model in its place."""
        self.stage = Stage.REFUSED
        self._service.engine.follow(None)
        with suppress(OutputError):
            drop_coming(self._service.store)

    @property
    def _name(self) -> str:
        return f"{self.engine.model.file.name} ({self.engine.model.manifest.fingerprint[:12]}...)"

    def _take_over(self) -> None:
        service, old = self._service, self._service.engine
        service.commit()
        service.statements += self._coming.rest()
        service.statements += self._coming.take_over()
        self.stage = Stage.TAKEN
        service.events.append(event_of(old.model.manifest.fingerprint, self.engine.model, self.status()))
        if not service.commit():  # the service ends, and the store stays as it is
            service.statements.clear()
            service.events.clear()
            return
        self.engine.take_from(old)
        service.store.file = self.engine.model.file
        service.engine = self.engine
        difference = self._both.comparison.to_json(self.engine.model.manifest.output)
        found = "".join(f", {name} {value}" for name, value in difference.items())
        service.tell(f"{self._name} has taken over: {self._coming.progress.describe()}{found}.")


def take_over_at_start(
    store: ServiceStore, model: Model, options: ServeOptions, tell: Callable[[str], None]
) -> str | None:
    """Catch up the streams of a store that belongs to another model, before anything is served.

    Returns:
        The record of the event; None: the store belongs to this model.

    Raises:
        OtherModelError: The streams cannot be caught up with this model. The store is as it was.
        OutputError: The store cannot be written. It is of one model, the old one or the new one.
    """
    drop_coming(store)
    owner = store.owner
    if owner == model.manifest.fingerprint:
        return None
    if not store.count():
        store.commit(Group(store.last_group(), statements=[_owned_by(model)]))
        return None
    check_interface(stored_interface(store), model, str(options.store))
    recent = recent_of(model, options.keep) or Recent(model.manifest, 1)
    coming = Coming(model, store, recent)
    tell(f"{options.store} belongs to the model {owner[:12]}...: its streams are caught up with {model.file.name}.")
    waiting: list[Statement] = []
    for statement in coming.catch_up():
        waiting += [statement] if statement else []
        if len(waiting) >= 1000:
            store.commit(Group(store.last_group(), statements=waiting))
            waiting = []
    store.commit(Group(store.last_group(), statements=[*waiting, *coming.take_over()]))
    progress = coming.progress
    tell(f"{model.file.name} has taken over: {progress.describe()}. It was not compared with the model before.")
    status = {"streams": progress.streams, "exact": progress.exact, "short": progress.short, "compared": 0}
    return event_of(owner, model, status)


def event_of(before: str, model: Model, status: dict[str, Any]) -> str:
    """Return the record of the event that a model has taken over."""
    counts = {name: value for name, value in status.items() if name not in ("stage", "model")}
    return json.dumps({"event": TAKEN, "model": model.manifest.fingerprint, "before": before, **counts})


def event_of_refusal(serving: str, reason: StepcellError) -> str:
    """Return the record of the event that a model was refused."""
    return printable_json({"event": REFUSED_MODEL, "model": serving, "reason": str(reason)})


def _owned_by(model: Model) -> Statement:
    return "UPDATE model SET fingerprint = ?", [(model.manifest.fingerprint,)]
