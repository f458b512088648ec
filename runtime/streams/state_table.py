"""The members of a fleet: states of streams by key, as many in memory as there is room for, the others in a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from ..common.arrays import AnyArray, Float32
from ..common.errors import OptionError
from ..interpreters.memory import as_records
from .snapshot import Snapshot, State

_FIRST_ROWS = 64
_EVICTED_AT_ONCE = 16  # a sixteenth of the members: looking for the least recently used ones costs as much as there are


class Store(Protocol):
    """Where members go that have not been used for long, and come back from."""

    def get(self, key: str) -> Snapshot | None:
        """Return where the member is, None if it is not here."""

    def put(self, members: Mapping[str, Snapshot]) -> None:
        """Keep `members`, all of them or none."""

    def forget(self, key: str) -> None:
        """Drop a member, if it is here."""

    def keys(self) -> Iterable[str]:
        """Return the keys of all members that are here."""


class StateTable:
    """States of streams, in rows of one array for each tensor of the state.

    A loaded member has a row. Of too many members the least recently used ones go to the store.

    Attributes:
        states: Name -> the states in memory, float32 (rows, ...).
        records: The same as records, (rows,): see `as_records`.
        seen: How many symbols the stream in each row has seen, int64 (rows,).
    """

    def __init__(self, initial: State, max_members: int | None, store: Store | None) -> None:
        """Begin without members; a new one begins with `initial`.

        Args:
            initial: Name -> the state of a new member, float32 (1, ...).
            max_members: How many to keep in memory; None: all.
            store: Where the others go; None: there are none.
        """
        self._initial, self._max_members, self._store = initial, max_members, store
        self._row: dict[str, int] = {}
        self._free: list[int] = []
        self._used = np.zeros(0, np.int64)  # when each row was used last, in calls
        self._calls = 0
        self.states: dict[str, Float32] = {n: np.empty((0, *a.shape[1:]), np.float32) for n, a in initial.items()}
        self.records = {name: as_records(array) for name, array in self.states.items()}
        self.seen = np.zeros(0, np.int64)

    def all_keys(self) -> list[str]:
        """Return the keys of all members, those in the store among them."""
        return [*self._row, *(key for key in (self._store.keys() if self._store else ()) if key not in self._row)]

    def loaded(self) -> list[str]:
        """Return the keys of those that are in memory."""
        return list(self._row)

    def get(self, key: str) -> Snapshot | None:
        """Return where a member is, as a copy, wherever it is kept; None: there is no such member."""
        row = self._row.get(key)
        if row is None:
            return None if self._store is None else self._store.get(key)
        state = {name: array[row : row + 1].copy() for name, array in self.states.items()}
        return Snapshot(state, int(self.seen[row]))

    def begin_call(self) -> None:
        """Make the room that an earlier call may have left to this one; the rows used from here on are the most recent.

        Raises:
            Exception: Whatever the store raises. All members are where they were.
        """
        self.make_room()
        self._calls += 1

    def load(self, keys: list[str]) -> tuple[AnyArray, list[str]]:
        """Bring members into memory, new ones in the initial state; return their rows, (N,), and the keys loaded.

        Raises:
            OptionError: A key is no string: a store would take 1 and "1" for one member. No new member is in memory.
            Exception: Whatever the store raises. Likewise.
        """
        try:
            return np.fromiter(map(self._row.__getitem__, keys), np.intp, len(keys)), []
        except KeyError:  # some are not in memory
            pass
        new = [key for key in keys if key not in self._row]
        if wrong := [key for key in new if not isinstance(key, str)]:
            raise OptionError(f"Keys of a fleet are strings, and {wrong[0]!r} is none: say str(...) of it.")
        try:
            for key in new:
                found = None if self._store is None else self._store.get(key)
                self.place(key, found or Snapshot(self._initial))
        except BaseException:
            self.evict(new)
            raise
        return np.array([self._row[key] for key in keys]), new

    def evict(self, keys: Iterable[str]) -> None:
        """Take members out of memory; the store keeps its copy of them."""
        self._free += [self._row.pop(key) for key in keys if key in self._row]

    def place(self, key: str, member: Snapshot) -> None:
        """Let the member `key`, new or not, be where `member` says."""
        if key not in self._row:
            if not self._free:
                self._grow()
            self._row[key] = self._free.pop()
        row = self._row[key]
        for name, array in member.state.items():
            self.states[name][row] = array[0]
        self.seen[row], self._used[row] = member.symbols_seen, self._calls

    def move(self, rows: AnyArray, following: Mapping[str, AnyArray]) -> None:
        """Replace the states in `rows` by `following`, name -> records (N,), and count: all of them, even on Ctrl-C."""
        seen = self.seen[rows] + 1
        try:
            self._write(rows, following, seen)
        except BaseException:  # never leave a half-updated state
            self._write(rows, following, seen)
            raise

    def forget(self, key: str) -> None:
        """Drop a member wherever it is kept; an unknown one is no error."""
        if self._store is not None:
            self._store.forget(key)  # first: if that fails, the member here is newer
        self.evict([key])

    def make_room(self) -> None:
        """Evict the least recently used members to the store, if there are too many.

        Raises:
            Exception: Whatever the store raises. No member has gone.
        """
        if self._max_members is None or len(self._row) <= self._max_members or self._store is None:
            return
        count = len(self._row) - self._max_members + self._max_members // _EVICTED_AT_ONCE
        keys, rows = list(self._row), np.fromiter(self._row.values(), np.int64)
        oldest = np.argsort(self._used[rows], kind="stable")[:count]
        leaving = [keys[place] for place in oldest.tolist()]
        self._keep(leaving)
        self.evict(leaving)

    def flush(self) -> None:
        """Write all that are in memory to the store; they stay in memory too. Raises as `make_room` does."""
        if self._store is not None:
            self._keep(self.loaded())

    def _keep(self, keys: list[str]) -> None:
        assert self._store is not None, "callers check that there is one"
        found = {key: self.get(key) for key in keys}
        self._store.put({key: member for key, member in found.items() if member is not None})

    def _write(self, rows: AnyArray, following: Mapping[str, AnyArray], seen: AnyArray) -> None:
        for name, records in following.items():
            self.records[name].put(rows, records)
        self.seen[rows], self._used[rows] = seen, self._calls

    def _grow(self) -> None:
        before = len(self.seen)
        more = max(_FIRST_ROWS, before)
        states = {n: np.concatenate([a, np.zeros((more, *a.shape[1:]), np.float32)]) for n, a in self.states.items()}
        records = {name: as_records(array) for name, array in states.items()}
        seen, used = (np.concatenate([a, np.zeros(more, np.int64)]) for a in (self.seen, self._used))
        self.states, self.records, self.seen, self._used = states, records, seen, used  # all or none, even on Ctrl-C
        self._free += range(before + more - 1, before - 1, -1)
