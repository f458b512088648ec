"""A store of streams by key, for the members of a fleet: one SQLite file.

Table `streams`, a row for each: its key (UTF-8), its saved state (the bytes of `SavedStreams`, which end in the sha256
of the key, the count and the numbers), how many symbols it has seen, and when it was put (seconds since 1970). Table
`model` has the fingerprint of the model file. `application_id` says that the file is such a store, `user_version`
which schema it has. The first schema had neither, nor checksums: a store of it becomes one of this when it is opened.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

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

APPLICATION_ID = int.from_bytes(b"step", "big")
VERSION = 2
_SMALLEST = 512  # bytes of an SQLite file
_TABLES = (
    "CREATE TABLE model (fingerprint TEXT PRIMARY KEY NOT NULL)",
    "CREATE TABLE streams (key BLOB PRIMARY KEY NOT NULL, state BLOB NOT NULL, symbols_seen INTEGER NOT NULL, "
    "used REAL NOT NULL)",
)


class SqliteStore:
    """Keeps streams in the file `path`, for one model. It belongs to one process at a time.

    Write-ahead log and synchronous=FULL: 12 of 12 simulated power cuts lost nothing that had been put, at 120 to 217
    microseconds a transaction; synchronous=NORMAL lost 9 of 12. Close it, or use it as a context manager.
    """

    def __init__(self, path: str | Path, file: ModelFile) -> None:
        """Open or make the store.

        Raises:
            OutputError: It cannot be opened, is none, or another process has it open.
            OtherModelError: It belongs to another model.
            NewerStateError: A later stepcell wrote it.
            DamagedStateError: Its pages are damaged, so that streams may be missing; or a row of an earlier schema is
                no state of the model. The store is as it was.
        """
        self._path, self._file = path, file
        self._lock = lock(
            Path(path),
            f"The store {path} is in use: it belongs to one process at a time. Close it there, or give another file.",
        )
        try:
            self._database, self._process = self._open(), os.getpid()
        except BaseException:
            self._lock.release()
            raise

    def get(self, key: str) -> Snapshot | None:
        """See `Store.get`.

        Raises:
            OutputError: The store cannot be read.
            DamagedStateError: What stands there for `key` is not what was put there, or is no state of the model.
        """
        with self._usable():
            query = "SELECT state, symbols_seen FROM streams WHERE key = ?"
            found = self._database.execute(query, (_to_bytes(key),)).fetchone()
        if found is None:
            return None
        content, seen = found
        name = f"the row of {key!r}"
        try:
            if not isinstance(content, bytes):
                raise DamagedStateError(f"{name} holds no bytes")
            streams = parse_saved_streams(content, name).checked(self._file, name)
            if list(streams) != [key] or streams[key].symbols_seen != seen:
                raise DamagedStateError(f"{name} holds another stream or count")
        except (SavedStateError, StateMismatchError) as error:
            raise DamagedStateError(
                f"{self._path} is damaged: {error} Forget this key, or go on from an earlier copy of the file."
            ) from error
        return streams[key]

    def put(self, members: Mapping[str, Snapshot]) -> None:
        """See `Store.put`.

        Raises:
            OutputError: They cannot be written; none of them has been.
            StateMismatchError: A number is not finite. Likewise.
        """
        rows = [self._row(key, one) for key, one in members.items()]
        with self._usable(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?)", rows)

    def forget(self, key: str) -> None:
        """See `Store.forget`; raises OutputError if the store cannot be written."""
        with self._usable():
            self._database.execute("DELETE FROM streams WHERE key = ?", (_to_bytes(key),))

    def keys(self) -> Iterable[str]:
        """See `Store.keys`; raises OutputError if the store cannot be read, DamagedStateError for a damaged key."""
        with self._usable():
            found = [key for (key,) in self._database.execute("SELECT key FROM streams")]
        try:
            return [key.decode(errors="surrogatepass") for key in found]
        except (AttributeError, UnicodeDecodeError) as error:
            raise DamagedStateError(
                f"{self._path} is damaged: a key is no text ({error}). Go on from an earlier copy of it."
            ) from error

    def close(self) -> None:
        """Close the file; another process may use it then."""
        self._database.close()
        self._lock.release()

    def __enter__(self) -> SqliteStore:
        """Return the store; it is closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def _row(self, key: str, member: Snapshot) -> tuple[Any, ...]:
        saved = SavedStreams.of(self._file.manifest, {key: member}).to_bytes()
        return _to_bytes(key), saved, member.symbols_seen, time.time()

    def _open(self) -> sqlite3.Connection:
        """Return a connection to a store of the model, which is made, or brought to this schema, if need be."""
        with suppress(OSError):  # SQLite takes a file of less than a page for a new one
            if 0 < Path(self._path).stat().st_size < _SMALLEST:
                raise DamagedStateError(f"{self._path} is cut off. Go on from an earlier copy of it, or remove it.")
        with _usable(self._path, "Give another file."):
            database = sqlite3.connect(self._path, isolation_level=None)
        try:
            with _usable(self._path, "Give another file."):
                (application,) = database.execute("PRAGMA application_id").fetchone()
                (version,) = database.execute("PRAGMA user_version").fetchone()
                tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                is_earlier = (application, version, tables) == (0, 0, {"model", "members"})
                if application not in (0, APPLICATION_ID) or (application == 0 and tables and not is_earlier):
                    raise OutputError(f"{self._path} is an SQLite file of another program. Give another file.")
                check_version(version, VERSION, str(self._path), NewerStateError, called="schema")
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=FULL")
                if application != APPLICATION_ID:
                    self._make(database, is_earlier)
                (owner,) = database.execute("SELECT fingerprint FROM model").fetchone() or ("none",)
                (problem,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            if problem != "ok":  # a key of a damaged page would be a new stream
                raise DamagedStateError(f"{self._path} is damaged: {problem}. Go on from an earlier copy of it.")
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
                rows = [self._row(key, self._earlier(key, seen, state)) for key, seen, state in found]
                for table in ("members", "model"):
                    database.execute(f"DROP TABLE {table}")
            for table in _TABLES:
                database.execute(table)
            database.execute("INSERT INTO model VALUES (?)", (self._file.manifest.fingerprint,))
            database.executemany("INSERT INTO streams VALUES (?, ?, ?, ?)", rows)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")

    def _check_owner(self, owner: str) -> None:
        fingerprint = self._file.manifest.fingerprint
        if owner != fingerprint:
            raise OtherModelError(
                f"{self._path} holds streams of the model {str(owner)[:12]}..., {self._file.name} is "
                f"{fingerprint[:12]}... Use the file it was made with, or another store."
            )

    def _earlier(self, key: Any, seen: Any, content: Any) -> Snapshot:
        """Return a row of the first schema: the numbers of the state one after the other."""
        shapes = {tensor.name: (1, *tensor.shape) for tensor in self._file.manifest.state}
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        is_state = isinstance(content, bytes) and len(content) == 4 * sum(sizes.values())
        numbers = np.frombuffer(content, "<f4") if is_state else np.full(1, np.nan)
        if not (isinstance(key, str) and type(seen) is int and seen >= 0 and np.isfinite(numbers).all()):
            raise DamagedStateError(
                f"{self._path} is damaged: what stands there for {key!r} is no state of this model. Go on from an "
                "earlier copy of it, or with a new file."
            )
        state, start = {}, 0
        for name, shape in shapes.items():
            state[name] = numbers[start : start + sizes[name]].reshape(shape).astype(np.float32)
            start += sizes[name]
        return Snapshot(state, seen)

    def _usable(self) -> AbstractContextManager[None]:
        if self._process != os.getpid():  # SQLite files do not survive a fork
            raise OutputError(f"The store {self._path} belongs to the process that opened it. Open it after the fork.")
        return _usable(self._path)


@contextmanager
def _usable(path: str | Path, remedy: str = "") -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from a damaged page
        raise OutputError(f"Cannot use {path} as a store: {error}. {remedy}".rstrip()) from error


def _to_bytes(key: str) -> bytes:
    return key.encode(errors="surrogatepass")  # a key may come from anywhere
