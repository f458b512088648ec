"""The store of a service: states, positions of sources and undelivered answers, kept in one transaction."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...common.errors import DamagedStateError
from ...streams.snapshot import Snapshot
from ...streams.sqlite_store import PUT_STREAM, SqliteStore, to_bytes
from ..adapters.base import Cursor, Json

# SQL, and the rows to execute it with; None: it changes tables and not rows.
Statement = tuple[str, Sequence[Sequence[Any]] | None]


@dataclass
class Group:
    """What a transaction keeps.

    Attributes:
        number: Number of the group, one more than that of the group before.
        streams: Key -> where the stream is, and its note.
        positions: Name of a source -> where it goes on.
        answers: Texts of the answers, in order.
        cursors: Name of an output -> how far it has delivered.
        statements: Further statements of the same transaction.
    """

    number: int
    streams: Mapping[str, tuple[Snapshot, Mapping[str, Any]]] = field(default_factory=dict)
    positions: Mapping[str, Json] = field(default_factory=dict)
    answers: Sequence[str] = ()
    cursors: Mapping[str, Cursor] = field(default_factory=dict)
    statements: Sequence[Statement] = ()


_PUT_POSITION = (
    "INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE SET position = excluded.position, "
    "crc = excluded.crc"
)
_PUT_CURSOR = (
    "INSERT INTO outputs VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET delivered = excluded.delivered, "
    "position = excluded.position, crc = excluded.crc"
)


class ServiceStore(SqliteStore):
    """A store of streams with the tables of a service.

    A row of the tables `positions`, `outbox` and `outputs` has the CRC-32 of its text, so that a damaged one is no
    position and no answer. The lines of a row of `outbox` are the answers of a group.
    """

    def commit(self, group: Group) -> None:
        """Keep a group: all of it or, on a failure or kill, nothing.

        Raises:
            OutputError: It cannot be written, and nothing of it has been.
            StateMismatchError: A number is not finite. Likewise.
        """
        streams = [self.row(key, snapshot, note) for key, (snapshot, note) in group.streams.items()]
        positions = [(source, *_checked(json.dumps(position))) for source, position in group.positions.items()]
        cursors = [
            (name, cursor.group, *_checked(json.dumps(cursor.position))) for name, cursor in group.cursors.items()
        ]
        with self.usable(), self.database as database:
            database.execute("BEGIN IMMEDIATE")
            if streams:
                database.executemany(PUT_STREAM, streams)
            if positions:
                database.executemany(_PUT_POSITION, positions)
            if group.answers:
                row = (group.number, *_checked("\n".join(group.answers)))
                database.execute("INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)", row)
            if cursors:
                database.executemany(_PUT_CURSOR, cursors)
                delivered = min(cursor.group for cursor in group.cursors.values())
                database.execute("DELETE FROM outbox WHERE number <= ?", (delivered,))
            for sql, rows in group.statements:
                if rows is None:
                    database.execute(sql)
                else:
                    database.executemany(sql, rows)

    def position(self, source: str) -> Json:
        """Return where a source goes on; None: it has no position.

        Raises:
            OutputError: The store cannot be read. The same holds for all methods below.
            DamagedStateError: The row is damaged. Likewise.
        """
        found = self._select("SELECT position, crc FROM positions WHERE source = ?", source)
        return json.loads(self._sound(f"the position of {source}", *found[0])) if found else None

    def cursors(self, names: Iterable[str]) -> dict[str, Cursor]:
        """Return how far outputs have delivered; a new one begins behind the last group."""
        found = {}
        for name in names:
            rows = self._select("SELECT delivered, position, crc FROM outputs WHERE name = ?", name)
            if rows:
                group, *text = rows[0]
                found[name] = Cursor(group, json.loads(self._sound(f"the cursor of {name}", *text)))
            else:
                found[name] = Cursor(self.last_group())
        return found

    def undelivered(self, after: int) -> list[tuple[int, list[str]]]:
        """Return the answers of the groups after `after`, with the numbers of the groups."""
        rows = self._select("SELECT number, answers, crc FROM outbox WHERE number > ? ORDER BY number", after)
        return [(number, self._sound(f"the group {number}", *text).split("\n")) for number, *text in rows]

    def last_group(self) -> int:
        """Return the number of the last group that is known; 0: there is none."""
        ((inside,),) = self._select("SELECT max(number) FROM outbox")
        ((outside,),) = self._select("SELECT max(delivered) FROM outputs")
        return max(inside or 0, outside or 0)

    def drop_outputs_but(self, names: Sequence[str]) -> None:
        """Forget the cursors of all outputs but these, so that no answer is kept for an output that has gone."""
        marks = ", ".join("?" * len(names))
        with self.usable():
            self.database.execute(f"DELETE FROM outputs WHERE name NOT IN ({marks})", list(names))
            if not names:
                self.database.execute("DELETE FROM outbox")

    def unused_since(self, moment: float) -> list[str]:
        """Return the streams that were put last before a moment, in seconds since 1970."""
        rows = self._select("SELECT key FROM streams WHERE used < ?", moment)
        return [key.decode(errors="surrogatepass") for (key,) in rows if isinstance(key, bytes)]

    def count(self) -> int:
        """Return the number of streams."""
        return int(self._select("SELECT count(*) FROM streams")[0][0])

    def some_streams(self, most: int, after: str | None) -> list[tuple[str, int, float]]:
        """Return streams with symbols seen and time of the last step, in the order of the bytes of their keys.

        Args:
            most: How many at most.
            after: Begin behind this key; None: with the first.
        """
        compare, begin = (">=", b"") if after is None else (">", to_bytes(after))
        sql = f"SELECT key, symbols_seen, used FROM streams WHERE key {compare} ? ORDER BY key LIMIT ?"
        return [
            (bytes(key).decode(errors="surrogatepass"), seen, used)
            for key, seen, used in self._select(sql, begin, most)
        ]

    def _select(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.usable():
            return self.database.execute(sql, values).fetchall()

    def _sound(self, what: str, text: Any, crc: Any) -> str:
        if not isinstance(text, str) or _checked(text)[1] != crc:
            raise DamagedStateError(f"{self.path} is damaged: {what} is not what was put there. Go on from a backup.")
        return text


def forget_statement(keys: Iterable[str]) -> list[Statement]:
    """Return the statements that remove streams, with what is kept of their past."""
    rows = [(to_bytes(key),) for key in keys]
    return [("DELETE FROM streams WHERE key = ?", rows), ("DELETE FROM recent WHERE key = ?", rows)]


def _checked(text: str) -> tuple[str, int]:
    return text, zlib.crc32(text.encode(errors="surrogatepass"))
