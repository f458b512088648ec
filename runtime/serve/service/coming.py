"""The streams of a model that is coming: caught up with the recent inputs of the streams of the model that serves.

They are in the table `coming`, with the columns of `streams`, until the model takes over: in one transaction the table
takes the place of `streams`. So a store is of one model, whatever is killed when.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...common.errors import OtherModelError, SavedStateError
from ...common.printable import counted
from ...streams.model import Model
from ...streams.saved_state import SavedStreams, parse_saved_streams
from ...streams.snapshot import Snapshot, State
from ...streams.sqlite_store import to_bytes
from ...streams.static import start_of
from ...streams.stream import Stream
from .recent import Recent, interface_of, memory_of
from .store import ServiceStore, Statement

PIECE = 256  # inputs that are fed between two looks at the time
_CREATE = (
    "CREATE TABLE coming (key BLOB PRIMARY KEY NOT NULL, state BLOB NOT NULL, symbols_seen INTEGER NOT NULL, "
    "used REAL NOT NULL)"
)
_DROP = "DROP TABLE IF EXISTS coming"
PUT_COMING = "INSERT OR REPLACE INTO coming VALUES (?, ?, ?, ?)"
_COPY = "INSERT OR REPLACE INTO coming SELECT * FROM streams WHERE key = ?"  # a damaged row stays as it is
_PENDING = (
    "WHERE NOT EXISTS (SELECT 1 FROM coming WHERE coming.key = streams.key "
    "AND coming.symbols_seen = streams.symbols_seen)"
)


@dataclass
class Progress:
    """How far streams are caught up.

    Attributes:
        streams: Streams that are caught up.
        exact: Those whose inputs go back to the start of their sequence: their state is as if the new model had always
            been there.
        short: Those with fewer inputs than the new model remembers.
    """

    streams: int = 0
    exact: int = 0
    short: int = 0

    def describe(self) -> str:
        """Return it in words."""
        parts = [counted(self.streams, "stream")]
        parts += [f"{self.exact:,} of them from the start of their sequence"] if self.exact else []
        parts += [f"{self.short:,} with fewer inputs than the model remembers"] if self.short else []
        return ", ".join(parts)


class Coming:
    """The streams of a model that is coming.

    Attributes:
        model: The model.
        progress: What has been caught up.
        is_complete: Whether all streams are caught up.
    """

    def __init__(self, model: Model, store: ServiceStore, recent: Recent) -> None:
        """Begin with none; `recent` reads the inputs of the streams.

        Raises:
            OutputError: The store cannot be written.
        """
        self.model, self.progress, self.is_complete = model, Progress(), False
        self._store, self._recent, self._needed = store, recent, memory_of(model)
        self._last: bytes | None = None  # key of the last stream that was caught up
        self._stream = Stream(model.pool, Snapshot(self.start({})))
        with store.usable(), store.database as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_DROP)
            database.execute(_CREATE)

    def has(self, key: str) -> bool:
        """Tell whether the stream of a key has had its turn: from now on it is moved together with that of the old."""
        return self.is_complete or (self._last is not None and to_bytes(key) <= self._last)

    def find(self, key: str) -> Snapshot | None:
        """Return where a stream is; None: it is not caught up.

        Raises:
            OutputError: The store cannot be read.
            SavedStateError, StateMismatchError: What is there is no state of the model.
        """
        with self._store.usable():
            sql = "SELECT state FROM coming WHERE key = ?"
            row = self._store.database.execute(sql, (to_bytes(key),)).fetchone()
        if row is None:
            return None
        return parse_saved_streams(row[0], repr(key)).checked(self.model.file, repr(key)).get(key)

    def catch_up(self) -> Iterator[Statement | None]:
        """Catch up all streams, in the order of their keys.

        Yields:
            What is to be written before any record is stepped; None, where a stream is not complete yet, or has moved
            meanwhile: `rest` catches it up.

        Raises:
            OutputError: The store cannot be read.
            StepcellError: The model cannot be stepped.
        """
        while not self.is_complete:
            where, values = ("", ()) if self._last is None else ("WHERE key > ?", (self._last,))
            rows = self._rows(f"{where} ORDER BY key LIMIT 1", *values)  # the next one may move before its turn
            for row in rows:
                statement = yield from self._caught_up(*row)
                self._last = row[0]
                yield statement
            self.is_complete = not rows

    def rest(self) -> list[Statement]:
        """Catch up what is still missing, without a pause.

        Raises:
            OutputError, StepcellError: As `catch_up` does.
        """
        statements: list[Statement] = []
        for row in self._rows(_PENDING):
            work = self._caught_up(*row)
            try:
                while True:
                    next(work)
            except StopIteration as end:
                statements += [end.value] if end.value else []
        return statements

    def row(self, key: str, snapshot: Snapshot, note: Mapping[str, Any], used: float | None = None) -> tuple[Any, ...]:
        """Return the columns of a stream, for `PUT_COMING`.

        Raises:
            StateMismatchError: A number is not finite.
        """
        saved = SavedStreams.of(self.model.manifest, {key: snapshot}, note).to_bytes()
        return to_bytes(key), saved, snapshot.symbols_seen, time.time() if used is None else used

    def take_over(self) -> list[Statement]:
        """Return the statements with which the model takes over; everything has to be caught up before."""
        fingerprint = self.model.manifest.fingerprint
        return [
            ("DELETE FROM coming WHERE key NOT IN (SELECT key FROM streams)", [()]),  # forgotten meanwhile
            ("DROP TABLE streams", None),
            ("ALTER TABLE coming RENAME TO streams", None),
            ("UPDATE model SET fingerprint = ?", [(fingerprint,)]),
        ]

    def start(self, state: Mapping[str, Any]) -> State:
        """Return the state after a reset of a stream that is in a state of the old model: its static inputs stay."""
        static = {tensor.name: state.get(tensor.name, tensor.initial_value()) for tensor in self.model.manifest.static}
        return start_of(self.model.file, static or None)

    def _rows(self, condition: str, *values: Any) -> list[Any]:
        with self._store.usable():
            sql = f"SELECT key, state, symbols_seen, used FROM streams {condition}"
            return self._store.database.execute(sql, values).fetchall()

    def _caught_up(self, key: bytes, content: bytes, seen: int, used: float) -> Generator[None, None, Statement | None]:
        """Catch up a stream, with a pause behind each piece of its inputs.

        Returns:
            What is to be written; None: the stream has moved in a pause.
        """
        name = key.decode(errors="surrogatepass")
        try:
            saved = parse_saved_streams(content, f"the row of {name!r}")
            old = saved.streams[name]
        except (SavedStateError, KeyError, TypeError):
            self.progress.streams += 1
            return _COPY, [(key,)]
        begin, inputs = self._recent.read(self._store, key, self._recent.tail_of(saved.note, seen))
        size = self._recent.records.size
        skipped = -begin % self.model.manifest.answers.every  # a stream begins anew where a period does
        self._stream.go_to(Snapshot(self.start(old.state)))
        for place in range(skipped * size, len(inputs), PIECE * size):
            self._stream.absorb(*self._recent.records.read(inputs[place : place + PIECE * size]))
            yield
        if inputs and self._rows("WHERE key = ?", key) != [(key, content, seen, used)]:
            return None
        self.progress.streams += 1
        if begin == 0:
            self.progress.exact += 1
        elif len(inputs) // size - skipped < self._needed:
            self.progress.short += 1
        now = self._stream.snapshot()
        return PUT_COMING, [self.row(name, Snapshot(now.state, seen, now.answers), saved.note, used)]


def check_interface(found: Mapping[str, str] | None, model: Model, of: str) -> None:
    """Check that a model can be caught up with the inputs of another one.

    Args:
        found: The interface of the other one; None: no inputs are kept.
        model: The model.
        of: What the inputs belong to, for messages.

    Raises:
        OtherModelError: It cannot.
    """
    if found is None:
        raise OtherModelError(
            f"{of} keeps no inputs (--keep 0, or no service has used it), so {model.file.name} cannot be caught up. "
            "Use the model file that it was made with, or another store."
        )
    others = [name for name, part in interface_of(model.manifest).items() if found.get(name) != part]
    if others:
        raise OtherModelError(
            f"{model.file.name} cannot take over: it has another {' and another '.join(others)} than the model that "
            f"{of} belongs to."
        )


def drop_coming(store: ServiceStore) -> None:
    """Remove what is left of a model that has not taken over.

    Raises:
        OutputError: The store cannot be written.
    """
    with store.usable():
        store.database.execute(_DROP)
