"""Look for a new model file, and let it take over: on SIGHUP, and when the file changes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import TypeAlias

from ...common.errors import StepcellError
from ...streams.model import Model
from .engine import Engine
from .handover import Handover, event_of_refusal
from .service import Service
from .successor import Stage, Successor

_LOOK_EVERY = 1.0  # seconds
_Identity: TypeAlias = "tuple[int, int, int, int] | None"  # device, inode, size, time of the last change


class Reloader:
    """Loads a model file when it changes, beside the service, and hands over to it."""

    def __init__(
        self, service: Service, path: Path, load: Callable[[], Model], new_engine: Callable[[Model], Engine]
    ) -> None:
        """Begin with the file that the service has been started with.

        Args:
            service: The service, which calls `look` from now on.
            path: The model file.
            load: Loads and verifies it.
            new_engine: Returns an engine for a model that was loaded.
        """
        self._service, self._path, self._load, self._new_engine = service, path, load, new_engine
        self._taken = self._last = _identity(path)
        self._is_asked = self._is_loading = False
        service.work = self._work
        service.every(_LOOK_EVERY, self.look)

    def ask(self) -> None:
        """Look at the file, also if it has not changed; a signal handler may call it."""
        self._is_asked = True
        self._service.inbox.wake()

    def look(self) -> None:
        """Load the file if it has changed, and has not since the last look: it may be half written."""
        found, before = _identity(self._path), self._last
        self._last = found
        if self._is_loading or not (self._is_asked or (found is not None and found == before != self._taken)):
            return
        self._is_loading, self._taken = True, found
        self._service.notifier.reloading(f"loading {self._path.name}")
        Thread(target=self._load_beside, args=(self._is_asked,), name="load", daemon=True).start()
        self._is_asked = False

    @contextmanager
    def signal_handled(self) -> Iterator[None]:
        """Let SIGHUP call `ask`, where there is such a signal."""
        number = getattr(signal, "SIGHUP", None)
        if number is None or current_thread() is not main_thread():
            yield
            return
        before = signal.signal(number, lambda *_: self.ask())
        try:
            yield
        finally:
            signal.signal(number, before)

    def _load_beside(self, is_asked: bool) -> None:
        """Load the file in a thread of its own: the service goes on meanwhile."""
        try:
            found: Model | StepcellError = self._load()
        except StepcellError as error:
            found = error
        self._service.inbox.call(lambda _: self._loaded(found, is_asked))

    def _loaded(self, found: Model | StepcellError, is_asked: bool) -> None:
        """Begin to hand over to a model that was loaded."""
        service, self._is_loading = self._service, False
        serving = service.engine.model
        if isinstance(found, StepcellError):
            if self._last == _identity(self._path):  # else it was being written, and is looked at again
                self._refuse(found)
        elif found.manifest.fingerprint == serving.manifest.fingerprint:
            self._give_up("The file was changed back")
            if is_asked:
                service.tell(f"{self._path.name} is the model that is served: nothing has changed.")
        else:
            self._give_up("The file was changed again")
            try:
                service.commit()
                service.handover = Handover(service, self._new_engine(found))
                text = f"{self._path.name} is a new model ({found.manifest.fingerprint[:12]}...): catching up."
                service.tell(text)
            except StepcellError as error:
                self._refuse(error)
        service.notifier.ready(service.status.describe())

    def _work(self) -> bool:
        if self._is_asked:
            self.look()
        handover = self._service.handover
        if handover is None:
            return False
        try:
            is_busy = handover.work()
        except StepcellError as error:
            self._refuse(error)
            return False
        if handover.stage is Stage.TAKEN:
            self._end(handover)
        return is_busy

    def _refuse(self, error: StepcellError) -> None:
        service = self._service
        handover = service.handover
        if handover is not None:
            handover.give_up()
            self._end(handover)
        else:
            service.status.reloads[Stage.REFUSED.value] += 1
            service.status.handover = {"stage": Stage.REFUSED.value, "reason": str(error)}
        manifest = service.engine.model.manifest
        service.tell(f"The new model is refused: {error} The model {manifest.fingerprint[:12]}... goes on.")
        service.events.append(event_of_refusal(manifest.fingerprint, error))

    def _give_up(self, why: str) -> None:
        handover = self._service.handover
        if handover is not None:
            handover.give_up()
            self._end(handover)
            self._service.tell(f"{why}: the handover is given up.")

    def _end(self, handover: Successor) -> None:
        status = self._service.status
        status.handover = handover.status()
        status.reloads[handover.stage.value] += 1
        self._service.handover = None


def _identity(path: Path) -> _Identity:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
