"""A store of streams by key, for the members of a fleet: one SQLite file.

Table `streams`, a row for each: its key (UTF-8), its saved state (the bytes of `SavedStreams`, which end in the sha256
of the key, the count, the numbers and the note of a service), how many symbols it has seen, and when it was put
(seconds since 1970). Table `model` has the fingerprint of the model file; `positions`, `outbox`, `outputs` and `recent`
are those of a service (`serve/service/store.py`).
`application_id` says that the file is such a store, `user_version` which schema it has. The first schema had neither,
nor checksums. A store of an earlier schema becomes one of this when it is opened.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..common.errors import (
    DamagedStateError,
    NewerStateError,
    OtherModelError,
    OutputError,
    SavedStateError,
    StateMismatchError,
    check_version,
)
from ..common.lock import lock
from ..format.model_file import ModelFile
from .saved_state import SavedStreams, parse_saved_streams
from .snapshot import Snapshot

_Store = TypeVar("_Store", bound="SqliteStore")

APPLICATION_ID = int.from_bytes(b"step", "big")
VERSION = 3
_SMALLEST = 512  # bytes of an SQLite file
_TABLES = (
    "CREATE TABLE model (fingerprint TEXT PRIMARY KEY NOT NULL)",
    "CREATE TABLE streams (key BLOB PRIMARY KEY NOT NULL, state BLOB NOT NULL, symbols_seen INTEGER NOT NULL, "
    "used REAL NOT NULL)",
    "CREATE TABLE positions (source TEXT PRIMARY KEY NOT NULL, position TEXT NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE outbox (number INTEGER PRIMARY KEY NOT NULL, answers TEXT NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE outputs (name TEXT PRIMARY KEY NOT NULL, delivered INTEGER NOT NULL, position TEXT NOT NULL, "
    "crc INTEGER NOT NULL)",
    "CREATE TABLE recent (key BLOB NOT NULL, first INTEGER NOT NULL, content BLOB NOT NULL, PRIMARY KEY (key, first)) "
    "WITHOUT ROWID",
)
# An update in place leaves the index of the keys alone: REPLACE deletes and inserts, and so writes three pages for one.
PUT_STREAM = (
    "INSERT INTO streams VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET state = excluded.state, "
    "symbols_seen = excluded.symbols_seen, used = excluded.used"
)


class SqliteStore:
    """Keeps streams in the file `path`, for one model. It belongs to one process at a time.

    Write-ahead log and synchronous=FULL: 12 of 12 simulated power cuts lost nothing that had been put, at 120 to 217
    microseconds a transaction; synchronous=NORMAL lost 9 of 12. Close it, or use it as a context manager.
    """

    def __init__(self, path: str | Path, file: ModelFile, *, any_model: bool = False) -> None:
        """Open or make the store.

        Args:
            path: Its file.
            file: The model.
            any_model: Open it too if its streams belong to another model; see `owner`.

        Raises:
            OutputError: It cannot be opened, is none, or another process has it open.
            OtherModelError: It belongs to another model.
            NewerStateError: A later stepcell wrote it.
            DamagedStateError: Its pages are damaged, so that streams may be missing; or a row of an earlier schema is
                no state of the model. The store is as it was.
        """
        self.path, self.file, self._any_model = path, file, any_model
        self._lock = lock(
            Path(path),
            f"The store {path} is in use: it belongs to one process at a time. Close it there, or give another file.",
        )
        try:
            self.database, self._process = self._open(), os.getpid()
        except BaseException:
            self._lock.release()
            raise

    def get(self, key: str) -> Snapshot | None:
        """See `Store.get`.

        Raises:
            OutputError: The store cannot be read.
            DamagedStateError: What stands there for `key` is not what was put there, or is no state of the model.
        """
        found = self.find(key)
        return None if found is None else found[0]

    def find(self, key: str) -> tuple[Snapshot, Mapping[str, Any]] | None:
        """Return where a stream is, and the note that was put with it. Raises as `get` does."""
        with self.usable():
            query = "SELECT state, symbols_seen FROM streams WHERE key = ?"
            found = self.database.execute(query, (to_bytes(key),)).fetchone()
        if found is None:
            return None
        content, seen = found
        name = f"the row of {key!r}"
        try:
            if not isinstance(content, bytes):
                raise DamagedStateError(f"{name} holds no bytes")
            saved = parse_saved_streams(content, name)
            streams = saved.checked(self.file, name)
            if list(streams) != [key] or streams[key].symbols_seen != seen:
                raise DamagedStateError(f"{name} holds another stream or count")
        except (SavedStateError, StateMismatchError) as error:
            raise DamagedStateError(
                f"{self.path} is damaged: {error} Forget this key, or go on from an earlier copy of the file."
            ) from error
        return streams[key], saved.note

    def put(self, members: Mapping[str, Snapshot]) -> None:
        """See `Store.put`.

        Raises:
            OutputError: They cannot be written; none of them has been.
            StateMismatchError: A number is not finite. Likewise.
        """
        rows = [self.row(key, one) for key, one in members.items()]
        with self.usable(), self.database:
            self.database.execute("BEGIN IMMEDIATE")
            self.database.executemany(PUT_STREAM, rows)

    def forget(self, key: str) -> None:
        """See `Store.forget`; raises OutputError if the store cannot be written."""
        with self.usable():
            self.database.execute("DELETE FROM streams WHERE key = ?", (to_bytes(key),))

    def keys(self) -> Iterable[str]:
        """See `Store.keys`; raises OutputError if the store cannot be read, DamagedStateError for a damaged key."""
        with self.usable():
            found = [key for (key,) in self.database.execute("SELECT key FROM streams")]
        try:
            return [key.decode(errors="surrogatepass") for key in found]
        except (AttributeError, UnicodeDecodeError) as error:
            raise DamagedStateError(
                f"{self.path} is damaged: a key is no text ({error}). Go on from an earlier copy of it."
            ) from error

    def close(self) -> None:
        """Close the file; another process may use it then."""
        self.database.close()
        self._lock.release()

    @property
    def owner(self) -> str:
        """The fingerprint of the model that its streams belong to; raises OutputError if it cannot be read."""
        with self.usable():
            return str(self.database.execute("SELECT fingerprint FROM model").fetchone()[0])

    def __enter__(self: _Store) -> _Store:
        """Return the store; it is closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def row(self, key: str, member: Snapshot, note: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """Return the columns of a stream, for `PUT_STREAM`.

        Raises:
            StateMismatchError: A number is not finite.
        """
        saved = SavedStreams.of(self.file.manifest, {key: member}, note).to_bytes()
        return to_bytes(key), saved, member.symbols_seen, time.time()

    def _open(self) -> sqlite3.Connection:
        """Return a connection to a store of the model, which is made, or brought to this schema, if need be."""
        with suppress(OSError):  # SQLite takes a file of less than a page for a new one
            if 0 < Path(self.path).stat().st_size < _SMALLEST:
                raise DamagedStateError(
                    f"{self.path} is cut off, or no store. Go on from an earlier copy of it, or give another file."
                )
        with _usable(self.path, "Give another file."):
            database = sqlite3.connect(self.path, isolation_level=None)
        try:
            with _usable(self.path, "Give another file."):
                (application,) = database.execute("PRAGMA application_id").fetchone()
                (version,) = database.execute("PRAGMA user_version").fetchone()
                tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                is_earlier = (application, version, tables) == (0, 0, {"model", "members"})
                if application not in (0, APPLICATION_ID) or (application == 0 and tables and not is_earlier):
                    raise OutputError(f"{self.path} is an SQLite file of another program. Give another file.")
                check_version(version, VERSION, str(self.path), NewerStateError, called="schema")
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=FULL")
                if application != APPLICATION_ID:
                    self._make(database, is_earlier)
                elif version < VERSION:
                    _add_tables(database)
                (owner,) = database.execute("SELECT fingerprint FROM model").fetchone() or ("none",)
                (problem,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            if problem != "ok":  # a key of a damaged page would be a new stream
                raise DamagedStateError(f"{self.path} is damaged: {problem}. Go on from an earlier copy of it.")
            if not self._any_model:
                self._check_owner(owner)
        except BaseException:
            database.close()
            raise
        return database

    def _make(self, database: sqlite3.Connection, is_earlier: bool) -> None:
        """Make the tables, in one transaction, with the rows of an earlier schema."""
        rows: list[tuple[Any, ...]] = []
        with database:
            database.execute("BEGIN IMMEDIATE")
            if is_earlier:
                self._check_owner(*database.execute("SELECT fingerprint FROM model").fetchone())
                found = database.execute("SELECT key, symbols_seen, state FROM members")
                rows = [self.row(key, self._earlier(key, seen, state)) for key, seen, state in found]
                for table in ("members", "model"):
                    database.execute(f"DROP TABLE {table}")
            for table in _TABLES:
                database.execute(table)
            database.execute("INSERT INTO model VALUES (?)", (self.file.manifest.fingerprint,))
            database.executemany(PUT_STREAM, rows)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")

    def _check_owner(self, owner: str) -> None:
        fingerprint = self.file.manifest.fingerprint
        if owner != fingerprint:
            raise OtherModelError(
                f"{self.path} holds streams of the model {str(owner)[:12]}..., {self.file.name} is "
                f"{fingerprint[:12]}... Use the file it was made with, or another store."
            )

    def _earlier(self, key: Any, seen: Any, content: Any) -> Snapshot:
        """Return a row of the first schema: the numbers of the state one after the other."""
        shapes = {tensor.name: (1, *tensor.shape) for tensor in self.file.manifest.state}
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        is_state = isinstance(content, bytes) and len(content) == 4 * sum(sizes.values())
        numbers = np.frombuffer(content, "<f4") if is_state else np.full(1, np.nan)
        if not (isinstance(key, str) and type(seen) is int and seen >= 0 and np.isfinite(numbers).all()):
            raise DamagedStateError(
                f"{self.path} is damaged: what stands there for {key!r} is no state of this model. Go on from an "
                "earlier copy of it, or with a new file."
            )
        state, start = {}, 0
        for name, shape in shapes.items():
            state[name] = numbers[start : start + sizes[name]].reshape(shape).astype(np.float32)
            start += sizes[name]
        return Snapshot(state, seen)

    def usable(self) -> AbstractContextManager[None]:
        """Return a context in which what SQLite raises becomes an OutputError; also behind a fork."""
        if self._process != os.getpid():  # SQLite files do not survive a fork
            raise OutputError(f"The store {self.path} belongs to the process that opened it. Open it after the fork.")
        return _usable(self.path)


def _add_tables(database: sqlite3.Connection) -> None:
    """Bring the second schema to this one, in one transaction."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        for table in _TABLES[2:]:
            database.execute(table)
        database.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def _usable(path: str | Path, remedy: str = "") -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from a damaged page
        raise OutputError(f"Cannot use {path} as a store: {error}. {remedy}".rstrip()) from error


def to_bytes(key: str) -> bytes:
    """Return a key as it stands in the file."""
    return key.encode(errors="surrogatepass")  # a key may come from anywhere
