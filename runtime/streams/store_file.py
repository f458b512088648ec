"""A store of streams without its model: what is in it, copies of it, and what is removed from it.

A process that steps the streams may have it open meanwhile; then it is only read.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..common.errors import (
    DamagedStateError,
    ForeignStateError,
    NewerStateError,
    OutputError,
    SavedStateError,
    StateNotFoundError,
    check_version,
)
from ..common.lock import is_locked, lock
from .saved_state import SavedStreams, parse_saved_streams
from .sqlite_store import APPLICATION_ID, VERSION, to_bytes

_ALONE = ""  # the key of a stream that is saved by itself


@dataclass(frozen=True)
class StoredStream:
    """A row of a store.

    Attributes:
        key: Key of the stream.
        used: When it was put, in seconds since 1970.
        saved: The stream as it was saved; None: the row is damaged.
        problem: What is wrong with the row.
    """

    key: str
    used: float
    saved: SavedStreams | None
    problem: str = ""

    @property
    def note(self) -> Mapping[str, Any]:
        """What a service has kept beside the state; empty if no service has put the stream."""
        found = None if self.saved is None else self.saved.note.get("serve")
        return found if isinstance(found, dict) else {}

    def alone(self) -> SavedStreams:
        """Return it as a stream that is saved by itself, which `Stream.restore` and `predict --state` go on from.

        Raises:
            DamagedStateError: The row is damaged.
        """
        if self.saved is None:
            raise DamagedStateError(f"{self.problem} Go on from a backup of the store, or forget this stream.")
        kept = {"times": self.note.get("time"), "pending": self.note.get("pending")}
        note = {name: {_ALONE: value} for name, value in kept.items() if value is not None}
        return SavedStreams(
            self.saved.fingerprint, self.saved.state, self.saved.answers, {_ALONE: self.saved.streams[self.key]},
            {"predict": note} if note else {},
        )  # fmt: skip


class StoreFile:
    """A store that is looked at, or changed while nothing else has it open. Use it as a context manager.

    Attributes:
        path: The file.
        version: Its schema.
        fingerprint: Fingerprint of the model that its streams belong to.
        in_use: Whether another process has it open.
        is_closed: Whether it is read as a file that does not change, because nothing has it open.
        database: The connection.
    """

    def __init__(self, path: str | Path, *, to_write: bool = False) -> None:
        """Open a store.

        Args:
            path: The file.
            to_write: Lock it, for `forget` and `vacuum`; else it is only read.

        Raises:
            StateNotFoundError: There is no such file.
            ForeignStateError: It is no store.
            NewerStateError: A later stepcell wrote it.
            DamagedStateError: Its pages are damaged.
            OutputError: It cannot be opened; or another process has it open, and it is to be written.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise StateNotFoundError(f"There is no store {path}.")
        self._lock = None
        if to_write:
            self._lock = lock(
                self.path, f"The store {path} is in use. Stop the process that has it open, and type this again."
            )
        self.in_use = not to_write and is_locked(self.path)
        try:
            # A store that is closed is read as a file that does not change: nothing is written beside it.
            self.is_closed = not to_write and not self.in_use and not has_log(self.path)
            self.database = _connect(self.path, to_write=to_write, is_closed=self.is_closed)
            try:
                self.version, self.fingerprint = self._checked()
            except BaseException:
                self.database.close()
                raise
        except BaseException:
            self._release()
            raise

    @property
    def bytes(self) -> int:
        """Its size, with the log of what has not been moved into it yet."""
        files = [self.path, Path(f"{self.path}-wal")]
        return sum(file.stat().st_size for file in files if file.exists())

    def count(self) -> int:
        """Return the number of streams. Raises OutputError if the store cannot be read, as all methods do."""
        return int(self._select("SELECT count(*) FROM streams")[0][0])

    def streams(self, limit: int | None = None) -> Iterator[StoredStream]:
        """Yield streams, the one that was put last first; a damaged row has no state.

        Args:
            limit: The most to yield; None: all.
        """
        order = "SELECT key, used FROM streams ORDER BY used DESC, key LIMIT ?"
        for key, used in self._select(order, -1 if limit is None else limit):
            yield self._stream(key, used)

    def find(self, key: str) -> StoredStream:
        """Return a stream.

        Raises:
            StateNotFoundError: There is no such stream.
        """
        found = self._select("SELECT key, used FROM streams WHERE key = ?", to_bytes(key))
        if not found:
            raise StateNotFoundError(self._unknown(key))
        return self._stream(*found[0])

    def positions(self) -> dict[str, Any]:
        """Return where the sources of a service go on, by name."""
        found = {name: _json(text) for name, text in self._rows_of("positions", "source, position")}
        return {name: each[1] if isinstance(each, list) and len(each) == 2 else each for name, each in found.items()}

    def outputs(self) -> dict[str, tuple[int, Any]]:
        """Return how far the outputs of a service have delivered, by name: number of the group, and position."""
        rows = self._rows_of("outputs", "name, delivered, position")
        return {name: (delivered, _json(position)) for name, delivered, position in rows}

    def undelivered(self) -> int:
        """Return the number of answers that some output of a service has not delivered."""
        return sum(str(text).count("\n") + 1 for (text,) in self._rows_of("outbox", "answers"))

    def forget(self, key: str) -> None:
        """Remove a stream, and what is kept of its past.

        Raises:
            StateNotFoundError: There is no such stream.
            OutputError: The store cannot be written. The stream is still there.
        """
        with usable(self.path), self.database as database:
            database.execute("BEGIN IMMEDIATE")
            removed = database.execute("DELETE FROM streams WHERE key = ?", (to_bytes(key),)).rowcount
            if "recent" in self._tables():
                database.execute("DELETE FROM recent WHERE key = ?", (to_bytes(key),))
        if not removed:
            raise StateNotFoundError(self._unknown(key))

    def vacuum(self) -> None:
        """Rewrite the file without the room of what was removed. It takes as much room again for a while.

        Raises:
            OutputError: The store cannot be written. Nothing has changed.
        """
        with usable(self.path):
            self.database.execute("VACUUM")
            self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def usable(self) -> AbstractContextManager[None]:
        """Return a context in which what SQLite raises becomes an OutputError."""
        return usable(self.path)

    def close(self) -> None:
        """Close the file."""
        self.database.close()
        self._release()

    def __enter__(self) -> StoreFile:
        """Return the store; it is closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def _checked(self) -> tuple[int, str]:
        """Return schema and fingerprint of a sound store."""
        try:
            (application,) = self.database.execute("PRAGMA application_id").fetchone()
            (version,) = self.database.execute("PRAGMA user_version").fetchone()
            tables = self._tables()
        except sqlite3.OperationalError as error:  # it cannot be opened, is locked, ...
            raise OutputError(f"Cannot read {self.path}: {error}.{_remedy(self.path)}") from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if "malformed" in str(error):
                raise DamagedStateError(f"{self.path} is damaged: {error}. Go on from a backup of it.") from error
            raise ForeignStateError(f"{self.path} is no store of streams: {error}.") from error
        if (application, version, tables) == (0, 0, {"model", "members"}):
            raise SavedStateError(
                f"{self.path} is a store of schema 1, whose states only their model can read. Open it once with that: "
                f"stepcell serve MODEL --store {self.path}"
            )
        if application != APPLICATION_ID:
            raise ForeignStateError(f"{self.path} is an SQLite file of another program, and no store of streams.")
        check_version(version, VERSION, str(self.path), NewerStateError, called="schema")
        try:
            (owner,) = self.database.execute("SELECT fingerprint FROM model").fetchone() or ("none",)
            (problem,) = self.database.execute("PRAGMA integrity_check(1)").fetchone()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            problem, owner = str(error), ""
        if problem != "ok":
            raise DamagedStateError(f"{self.path} is damaged: {problem}. Go on from a backup of it.")
        return int(version), str(owner)

    def _stream(self, key: Any, used: Any) -> StoredStream:
        """Return the stream of a row, of which SQLite guarantees neither types nor content."""
        name = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
        when = float(used) if isinstance(used, (int, float)) else 0.0
        row = f"the row of {name!r}"
        try:
            if not isinstance(key, bytes):
                raise DamagedStateError(f"{row} has no key")
            name = key.decode(errors="surrogatepass")
            (content, seen), *_ = self._select("SELECT state, symbols_seen FROM streams WHERE key = ?", key)
            if not isinstance(content, bytes):
                raise DamagedStateError(f"{row} holds no bytes")
            saved = parse_saved_streams(content, row)
            if list(saved.streams) != [name] or saved.streams[name].symbols_seen != seen:
                raise DamagedStateError(f"{row} holds another stream or count")
        except (SavedStateError, UnicodeDecodeError) as error:
            return StoredStream(name, when, None, f"{self.path} is damaged: {error}.".replace("..", "."))
        return StoredStream(name, when, saved)

    def _unknown(self, key: str) -> str:
        names = [stream.key for stream in self.streams(3)]
        shown = ", ".join(map(repr, names)) + (", ..." if self.count() > len(names) else "")
        return f"{self.path} has no stream {key!r}. It has {shown or 'none'}."

    def _tables(self) -> set[str]:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        return {name for (name,) in self.database.execute(query)}

    def _rows_of(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        """Return the columns of a table; none if a store of this schema does not have it."""
        return self._select(f"SELECT {columns} FROM {table}") if table in self._tables() else []

    def _select(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with usable(self.path):
            return self.database.execute(sql, values).fetchall()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()


def has_log(path: Path) -> bool:
    """Return whether some of a store is in its write-ahead log alone."""
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


def _connect(path: Path, *, to_write: bool, is_closed: bool) -> sqlite3.Connection:
    if to_write:
        return sqlite3.connect(path, isolation_level=None)
    address = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if is_closed else ''}"
    return sqlite3.connect(address, uri=True, isolation_level=None)


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Let what SQLite raises be an OutputError about `path`."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise OutputError(f"Cannot use {path}: {error}. Nothing has changed.") from error


def _remedy(path: Path) -> str:
    owner = ""
    with suppress(OSError, KeyError, NotImplementedError, AttributeError):
        owner = path.owner()
    readable = os.access(path, os.R_OK) and os.access(path.absolute().parent, os.W_OK)
    return "" if readable or not owner else f" Try as the user that it belongs to: sudo -u {owner} stepcell store ..."


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
