"""A service with a real server of HTTP on a free port of loopback, in a thread of the test."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any

from stepcell.runtime.serve.adapters.http import HttpSource
from stepcell.runtime.serve.adapters.http_guard import Address
from stepcell.runtime.serve.service.store import ServiceStore

from .serving import new_service

LOCAL = Address("127.0.0.1", 0)


class HttpService:
    """Serves a model by HTTP until the end of a `with` block.

    Attributes:
        source: The server of HTTP.
        service: The service; use it through `call`.
    """

    def __init__(
        self, store: Path, model: Any, *, address: Address = LOCAL, token: str | None = None,
        sources: Sequence[Any] = (), outputs: Sequence[Any] = (), **options: Any,
    ) -> None:  # fmt: skip
        self._store, self._model, self._sources, self._outputs = store, model, sources, outputs
        self._options = options
        self.told: list[str] = []
        self.source = HttpSource(address, token, self.told.append)
        self.error: BaseException | None = None
        self._begun = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> HttpService:
        self._thread.start()
        self._begun.wait()
        self.call(lambda service: None)
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.service.stop()
        self._thread.join()

    def call(self, function: Any) -> Any:
        """Call a function with the service, in its thread."""
        return self.service.inbox.call(function).result(20)

    @property
    def url(self) -> str:
        return str(self.source.address)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.source.address.host, self.source.address.port, timeout=20)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return status and body of a response; the body as an object if it is JSON."""
        status, text, found = self.raw(method, path, body, **headers)
        return status, json.loads(text) if found.get("content-type") == "application/json" else text.decode()

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers of a response; the names of the headers in small letters."""
        connection = self.connect()
        try:
            content = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, content, names)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, response.read(), found
        finally:
            connection.close()

    def step(self, stream: str, body: Any) -> tuple[int, Any]:
        return self.ask("POST", f"/v1/streams/{stream}/step", body)

    def _run(self) -> None:
        with ServiceStore(self._store, self._model.file) as store:
            sources = [self.source, *self._sources]
            self.service = new_service(self._model, store, sources, self._outputs, **self._options)
            self._begun.set()
            try:
                self.service.run()
            except BaseException as error:
                self.error = error
