"""States of streams by key, as many as fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from ..streams.model import Model
from ..streams.snapshot import Snapshot
from ..streams.stream import Stream


class KeyedStreams:
    """LRU cache of the state of each key. One stream steps them all: it goes to the state of the selected key.

    A `Fleet` moves many members in one call; here lines are answered one by one, each to the bit as by a stream of its
    own, with its features and its surprise.

    Attributes:
        stream: The stream, in the state of the selected key.
        times: Key -> the time of its last event, where times are read.
        forgotten: Number of keys whose state has been dropped.
    """

    def __init__(self, model: Model, limit: int, tell: Callable[[str], None]) -> None:
        """Begin without keys.

        Args:
            model: The model.
            limit: Maximal number of keys.
            tell: Takes remarks for the user: of the 1st, 10th, 100th, ... key that is dropped.
        """
        self.stream: Stream = model.stream()
        self.times: dict[str, int | float] = {}
        self.forgotten = 0
        self._limit, self._tell = limit, tell
        self._initial = self.stream.snapshot()
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()  # that of the selected key may be older
        self._selected: str | None = None

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._snapshots)

    def select(self, key: str) -> Stream:
        """Return the stream in the state of `key`, the initial one for a new key; a step of it needs `keep`."""
        if key != self._selected:
            self._store()
            self._selected = None
            self.stream.go_to(self._snapshots.get(key, self._initial))
            self._selected = key
        return self.stream

    def keep(self, key: str) -> None:
        """Note a step of the selected `key`; drop the key that was stepped longest ago if there are too many."""
        self._snapshots.setdefault(key, self._initial)
        self._snapshots.move_to_end(key)
        if len(self._snapshots) <= self._limit:
            return
        dropped, _ = self._snapshots.popitem(last=False)
        self.times.pop(dropped, None)
        self.forgotten += 1
        if str(self.forgotten).strip("0") == "1":
            self._tell(
                f"There are more than {self._limit:,} streams: {dropped!r}, not seen for the longest time, is "
                f"forgotten and starts anew if it comes back ({self.forgotten:,} so far). --max-streams keeps more."
            )

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
