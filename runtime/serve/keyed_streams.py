"""States of streams by key, as many as fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ..common.errors import InputError
from ..interpreters.base import initial_state
from ..streams.model import Model
from ..streams.snapshot import Snapshot, State
from ..streams.static import Static, start_of
from ..streams.stream import Stream
from .residual_watch import Pending

_NONE: Static = {}
IN_STREAM = Snapshot({})  # of the selected key: its state is in the stream


class Place(NamedTuple):
    """Where a stream is, with the time of its last event and the forecasts that are pending."""

    snapshot: Snapshot
    time: int | float | None
    pending: Pending | None


class KeyedStreams:
    """LRU cache of the state of each key. One stream steps them all: it goes to the state of the selected key.

    A `Fleet` moves many members in one call; here lines are answered one by one, each to the bit as by a stream of its
    own, with its features and its surprise.

    Attributes:
        stream: The stream, in the state of the selected key.
        times: Key -> the time of its last event, where times are read.
        pending: Key -> forecasts of which the value has not come yet, where residuals are watched.
        forgotten: Number of keys whose state has been dropped.
        limit: Maximal number of keys.
    """

    def __init__(self, model: Model, limit: int, tell: Callable[[str], None]) -> None:
        """Begin without keys.

        Args:
            model: The model.
            limit: Maximal number of keys.
            tell: Takes remarks for the user: of the 1st, 10th, 100th, ... key that is dropped.
        """
        self._file, self._static = model.file, model.static or {}
        needs_static = bool(model.manifest.static) and model.static is None  # each stream gets its own
        self._start = None if needs_static else model.initial_state()
        self.stream = model.stream_from(self._start or initial_state(model.manifest.state))
        self.times: dict[str, int | float] = {}
        self.pending: dict[str, Pending] = {}
        self.forgotten = 0
        self.limit, self._tell = limit, tell
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()  # that of the selected key may be older
        self._selected: str | None = None

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._snapshots)

    def select(self, key: str, static: Static = _NONE, *, reset: bool = False) -> Stream:
        """Return the stream in the state of `key`, the initial one for a new key; a step of it needs `keep`.

        Args:
            key: The key.
            static: Static inputs. Those of a stream that has begun must be the ones that it has.
            reset: Reset it before.

        Raises:
            StateMismatchError: A new stream lacks static inputs, or they are not those of the model.
            InputError: The stream has begun with other static inputs.
        """
        if key != self._selected:
            before = self._snapshots.get(key)
            if before is None:
                before = Snapshot(start_of(self._file, {**self._static, **static}) if static else self._initial())
            self._store()
            self._selected = None
            self.stream.go_to(before)
            self._selected = key
        if reset:
            self.reset(key)
        if static:
            self._give(static)
        return self.stream

    def _initial(self) -> State:
        """Return the state of a new stream, or raise StateMismatchError if it lacks static inputs."""
        return start_of(self._file, None) if self._start is None else self._start

    def _give(self, static: Static) -> None:
        """Let the selected stream have static inputs; those that are not given stay."""
        state = self.stream.state
        has = {tensor.name: state[tensor.name] for tensor in self._file.manifest.static}
        start = start_of(self._file, {**has, **static})
        if all(np.array_equal(start[name], array) for name, array in has.items()):
            return
        if self.stream.symbols_seen:
            raise InputError(
                f"The static inputs {', '.join(static)} are other ones than this stream has begun with: they are given "
                'once, or after {"reset": true}'
            )
        self.stream.go_to(Snapshot(start))

    def place(self, key: str) -> Place | None:
        """Select `key` and return where it is, for `go_back`; None: it is new."""
        if key not in self._snapshots:
            return None
        return Place(self.select(key).snapshot(), self.times.get(key), self.pending.get(key))

    def go_back(self, key: str, place: Place | None) -> None:
        """Let `key` be where it was."""
        if place is None:
            self._selected = None
            return
        self.select(key).go_to(place.snapshot)
        if place.time is not None:
            self.times[key] = place.time
        if place.pending is not None:
            self.pending[key] = place.pending

    def reset(self, key: str) -> None:
        """Reset the stream of the selected `key`."""
        self.stream.reset()
        self.times.pop(key, None)
        self.pending.pop(key, None)

    def keep(self, key: str) -> None:
        """Note a step of the selected `key`; drop the key that was stepped longest ago if there are too many."""
        self._snapshots.setdefault(key, IN_STREAM)
        self._snapshots.move_to_end(key)
        if len(self._snapshots) <= self.limit:
            return
        dropped, _ = self._snapshots.popitem(last=False)
        self.times.pop(dropped, None)
        self.pending.pop(dropped, None)
        self.forgotten += 1
        if str(self.forgotten).strip("0") == "1":
            self._tell(
                f"There are more than {self.limit:,} streams: {dropped!r}, not seen for the longest time, is "
                f"forgotten and starts anew if it comes back ({self.forgotten:,} so far). --max-streams keeps more."
            )

    @property
    def has_begun(self) -> bool:
        """Whether there is a state: of a line, or the initial one, where no static inputs are missing."""
        return bool(self._snapshots) or self._start is not None

    def alone(self) -> Snapshot:
        """Return where the only stream is, without keys.

        Raises:
            StateMismatchError: It has not begun and lacks static inputs.
        """
        if not self._snapshots:
            self._initial()
        return self.stream.snapshot()

    def snapshots(self) -> dict[str, Snapshot]:
        """Return the state of each key, the key that was stepped longest ago first."""
        self._store()
        return dict(self._snapshots)

    def restore(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Take the states of `snapshots`, in its order."""
        self._selected = None
        for key, snapshot in snapshots.items():
            self._snapshots[key] = snapshot
            self.keep(key)

    def _store(self) -> None:
        if self._selected is not None and self._selected in self._snapshots:
            self._snapshots[self._selected] = self.stream.snapshot()
