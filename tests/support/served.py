"""A service that runs in a thread of the test, with the sources and outputs of its options."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from typing import Any

from stepcell.runtime import Model
from stepcell.runtime.serve.service.options import ServeOptions
from stepcell.runtime.serve.service.service import Service
from stepcell.runtime.serve.service.start import new_service
from stepcell.runtime.serve.service.store import ServiceStore


class Served:
    """Serves `model` until the block ends.

    Attributes:
        told: What it told its user.
        service: The service.
        error: Why it ended by itself; None: it has not.
    """

    def __init__(self, store: Path, model: Model, **options: Any) -> None:
        self.told: list[str] = []
        self.service: Service = None  # type: ignore[assignment]
        self.error: BaseException | None = None
        self._options, self._model, self._begun = ServeOptions(store=store, **options), model, Event()
        self._thread = Thread(target=self._run, daemon=True)

    def _run(self) -> None:  # a store belongs to the thread that opens it
        try:
            with ServiceStore(self._options.store, self._model.file) as store:
                self.service = new_service(self._model, self._options, store, self.told.append)
                self._begun.set()
                self.service.run()
        except BaseException as error:
            self.error = error
        finally:
            self._begun.set()

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._begun.wait(20)
        return self

    def stop(self) -> None:
        if self.service is not None:
            self.service.stop()
        self.join()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join(30)
        assert not self._thread.is_alive()

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self.error is not None:
            raise self.error
