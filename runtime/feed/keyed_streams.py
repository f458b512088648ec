"""Streams by key, as many as fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from ..model import Model
from ..snapshot import Snapshot
from ..stream import Stream


class KeyedStreams:
    """A stream for each key that has been asked for; of more than `most` the one asked for longest ago is forgotten.

    A `Fleet` moves many members in one call. Here lines come one by one and are answered at once, each by what a stream
    by itself answers, to the bit, with its features and how surprising it was.

    Attributes:
        forgotten: How many have been forgotten.
    """

    def __init__(self, model: Model, most: int, tell: Callable[[str], None], forgotten: int = 0) -> None:
        """Begin without streams.

        Args:
            model: The model.
            most: How many streams there may be.
            tell: Takes remarks for the user: of the 1st, 10th, 100th, ... stream that is forgotten.
            forgotten: How many have been forgotten before.
        """
        self._model, self._most, self._tell = model, most, tell
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        self.forgotten = forgotten

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._streams)

    def of(self, key: str) -> Stream:
        """Return the stream of `key`, or a new one that starts from the initial state; then see `keep`."""
        stream = self._streams.get(key)
        return self._model.stream() if stream is None else stream

    def keep(self, key: str, stream: Stream) -> None:
        """Keep the stream that `of` returned as the last one asked for; forget another if there are too many."""
        self._streams[key] = stream
        self._streams.move_to_end(key)
        if len(self._streams) > self._most:
            self._forget()

    def snapshots(self) -> dict[str, Snapshot]:
        """Return where all of them are, the one asked for longest ago first."""
        return {key: stream.snapshot() for key, stream in self._streams.items()}

    def restore(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Let the streams be where `snapshots` says, in its order."""
        for key, snapshot in snapshots.items():
            stream = self._model.stream()
            stream.go_to(snapshot)
            self.keep(key, stream)

    def _forget(self) -> None:
        key, _ = self._streams.popitem(last=False)
        self.forgotten += 1
        if str(self.forgotten).strip("0") == "1":
            self._tell(
                f"There are more than {self._most:,} streams: {key!r}, not seen for the longest time, is forgotten and "
                f"starts anew if it comes back ({self.forgotten:,} so far). --streams keeps more of them."
            )
