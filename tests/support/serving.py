"""A service within a test: records from a list, answers into a list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.models import DATA

from stepcell.runtime import load
from stepcell.runtime.serve.adapters.base import Answered, Cursor, Inbox, Incoming, Outcome
from stepcell.runtime.serve.service.engine import Engine
from stepcell.runtime.serve.service.options import ServeOptions
from stepcell.runtime.serve.service.service import Service
from stepcell.runtime.serve.service.start import read_threshold_of
from stepcell.runtime.serve.service.store import ServiceStore

MODEL = load(DATA / "memory.tflite", backend="numpy")


class ListSource:
    """Puts records, makes calls, then ends.

    Attributes:
        calls: Functions of the service to call behind the records.
        results: What they returned.
        outcomes: What became of them, in the order in which they were acknowledged.
    """

    def __init__(self, records: Sequence[Any], name: str = "list", *, can_wait: bool = False, calls: Any = ()) -> None:
        self.name, self.can_wait, self.calls = name, can_wait, calls
        self.results: list[Any] = []
        self._records = [one if isinstance(one, Incoming) else Incoming(content_of(one)) for one in records]
        self.outcomes: list[Outcome] = []
        self.position: Any = None
        self.inbox: Inbox | None = None
        self.closed = False

    def start(self, inbox: Inbox, position: Any) -> None:
        self.position, self.inbox = position, inbox
        for record in self._records:
            inbox.put(self, [record])
        self.results = [inbox.call(function) for function in self.calls]
        inbox.end(self)

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class CallingSource(ListSource):
    """Puts records, and makes a call of the service behind one of them, by its place."""

    def __init__(self, records: Sequence[Any], place: int, function: Any) -> None:
        super().__init__(records)
        self._place, self._function = place, function

    def start(self, inbox: Inbox, position: Any) -> None:
        for place, record in enumerate(self._records):
            inbox.put(self, [record])
            if place == self._place:
                inbox.call(self._function)
        inbox.end(self)


class ListOutput:
    """Keeps answers.

    Attributes:
        texts: The answers, in order.
    """

    def __init__(self, name: str = "out", *, delivers: bool = True) -> None:
        self.name, self._delivers = name, delivers
        self.texts: list[str] = []
        self.groups: list[int] = []
        self._cursor = Cursor(0)

    def start(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def deliver(self, group: int, answers: Sequence[Answered]) -> None:
        self.texts += [text for _, text in answers]
        self.groups.append(group)
        if self._delivers:
            self._cursor = Cursor(group)

    def cursor(self) -> Cursor:
        return self._cursor

    def close(self) -> None:
        pass


def content_of(record: Any) -> bytes:
    """Return a record as its line."""
    if isinstance(record, bytes):
        return record
    return (record if isinstance(record, str) else json.dumps(record)).encode()


def new_service(
    model: Any, store: ServiceStore, sources: Sequence[Any], outputs: Sequence[Any], **options: Any
) -> Service:
    """Return a service that has not begun."""
    told: list[str] = []
    chosen = ServeOptions(store=Path(store.path), **options)
    engine = Engine(model, store, chosen, read_threshold_of(model, chosen.threshold), told.append)
    service = Service(engine, store, chosen, sources, outputs, told.append)
    service.told = told  # type: ignore[attr-defined]
    return service


def serve_records(path: Path, records: Sequence[Any], model: Path | Any, **options: Any) -> list[dict[str, Any]]:
    """Serve records with the store at `path` until they end, and return the answers."""
    return [json.loads(text) for text in serve_texts(path, records, model, **options)]


def serve_texts(path: Path, records: Sequence[Any], model: Path | Any, **options: Any) -> list[str]:
    """Serve records as `serve_records` does, and return the answers as they are written."""
    output = ListOutput()
    serve_source(path, ListSource(records), model, output, **options)
    return output.texts


def serve_source(path: Path, source: Any, model: Path | Any, output: Any = None, **options: Any) -> Service:
    """Serve one source until it ends."""
    loaded = load(model) if isinstance(model, (str, Path)) else model
    with ServiceStore(path, loaded.file) as store:
        service = new_service(loaded, store, [source], [output or ListOutput()], **options)
        service.run()
    return service


def numbered(symbols, stream="press", first=0):
    return [{"stream": stream, "seq": first + place, "symbol": symbol} for place, symbol in enumerate(symbols)]


def predicted(symbols, model=MODEL):
    """What one stream predicts after each symbol."""
    stream = model.stream()
    return [stream.step(symbol).symbol for symbol in symbols]


def symbols_of(answers):
    return [answer.get("symbol") for answer in answers]
