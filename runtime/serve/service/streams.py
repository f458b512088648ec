"""The streams of a service: in memory those that were stepped last, all of them in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...common.errors import DamagedStateError
from ...streams.model import Model
from ...streams.prediction import Prediction
from ...streams.snapshot import Snapshot
from ..keyed_streams import IN_STREAM, KeyedStreams
from ..stepper import Input
from .recent import FORGET_ALL, Recent, Tail
from .store import ServiceStore, Statement

_STRANGERS = 1000  # streams without a state whose notes are in memory


class StreamNote:
    """What is known of a stream beside its state.

    Attributes:
        next_seq: The number of the next record; None: its records have none yet.
        answer: The answer to the last record with a number; None: there is none.
        is_open: Whether a sequence has begun and not ended.
        head: The beginning of each of its answers.
        tail: Its last inputs, where they are kept.
    """

    __slots__ = ("answer", "head", "is_open", "next_seq", "tail")

    def __init__(self, head: str) -> None:
        """Begin as the note of a new stream."""
        self.tail = Tail()
        self.next_seq: int | None = None
        self.answer: str | None = None
        self.is_open = False
        self.head = head


class StoredStreams(KeyedStreams):
    """Streams by key, of which a limited number is in memory; the others come back from the store.

    A stream that was stepped since the last commit is never dropped from memory.

    Attributes:
        recent: Keeps what was fed to them; None: nothing does.
        statements: What the next transaction is to do for that.
    """

    def __init__(
        self, model: Model, store: ServiceStore, limit: int, tell: Callable[[str], None], head: Callable[[str], str],
        recent: Recent | None = None,
    ) -> None:  # fmt: skip
        """Begin with nothing in memory.

        Args:
            model: The model.
            store: The store.
            limit: How many streams are kept in memory.
            tell: Takes remarks for the user.
            head: Returns the beginning of the answers of a stream.
            recent: Keeps what is fed to them; None: nothing does.
        """
        super().__init__(model, limit, tell)
        self.recent = recent
        if recent is not None:
            self._record = recent.records.of
        self.statements: list[Statement] = [FORGET_ALL if recent is None else recent.interface_statement()]
        self._store_file, self._head = store, head
        self._notes: dict[str, StreamNote] = {}
        self._moved: dict[str, None] = {}  # in the order of their last step

    @property
    def in_memory(self) -> int:
        """Number of streams in memory."""
        return len(self._notes)

    def note(self, key: str) -> StreamNote:
        """Return the note of a stream, which is brought into memory; that of a new one if there is none.

        Raises:
            OutputError, DamagedStateError: As `SqliteStore.get` does.
        """
        note = self._notes.get(key)
        return self._bring(key) if note is None else note

    def keep(self, key: str) -> None:
        """Note a step of the selected `key`; see `moved`."""
        self._snapshots.setdefault(key, IN_STREAM)
        self._moved[key] = None

    def touch(self, key: str) -> None:
        """Note that the note of `key` has changed, though its state has not.

        Raises:
            StateMismatchError: It is new and lacks static inputs, so that there is no state to keep.
        """
        self.select(key)
        self.keep(key)

    def feed(self, key: str, inputs: Sequence[Input], prediction: Prediction | None) -> None:
        """Note what was fed to the stream of `key`, which has a note; see `Stepper.on_step`."""
        content = self._notes[key].tail.content
        for symbol, features in inputs:
            content += self._record(symbol, features)

    def moved(self) -> dict[str, tuple[Snapshot, dict[str, Any]]]:
        """Return the streams that have moved since `settle`, with their notes as JSON."""
        self._store()
        if self.recent is not None:
            for key in self._moved:
                self.statements += self.recent.settle(key, self._notes[key].tail, self._snapshots[key].symbols_seen)
        return {key: (self._snapshots[key], self._to_json(key)) for key in self._moved}

    def has_moved(self, key: str) -> bool:
        """Return whether a stream has moved since `settle`."""
        return key in self._moved

    def settle(self) -> None:
        """Say that what has moved is kept, and drop the streams that were stepped longest ago from memory."""
        for key in self._moved:
            self._snapshots.move_to_end(key)
        self._moved.clear()
        self.statements.clear()
        if len(self._notes) > len(self._snapshots) + _STRANGERS:  # records of streams that never began
            for key in self._notes.keys() - self._snapshots.keys():
                self.drop(key)
        if len(self._snapshots) <= self.limit:
            return
        for key in list(self._snapshots)[: len(self._snapshots) - self.limit + self.limit // 8]:
            self.drop(key)

    def drop(self, key: str) -> None:
        """Drop a stream from memory."""
        for kept in (self._snapshots, self.times, self.pending, self._notes, self._moved):
            kept.pop(key, None)
        if self._selected == key:
            self._selected = None

    def known(self, key: str) -> tuple[Snapshot, StreamNote] | None:
        """Return where a stream is, with its note; None: it is not known, and is not remembered either."""
        note = self.note(key)
        self._store()
        snapshot = self._snapshots.get(key)
        if snapshot is None:
            self.drop(key)
            return None
        return snapshot, note

    def _bring(self, key: str) -> StreamNote:
        note = StreamNote(self._head(key))
        found = self._store_file.find(key)
        if found is not None:
            self._snapshots[key], saved = found
            self._restore(key, note, saved.get("serve"))
            if self.recent is not None:
                note.tail = self.recent.tail_of(saved, found[0].symbols_seen)
        self._notes[key] = note
        return note

    def _to_json(self, key: str) -> dict[str, Any]:
        note, found = self._notes[key], dict[str, Any]()
        if note.next_seq is not None:
            found["next_seq"] = note.next_seq
        if note.answer is not None:
            found["answer"] = note.answer
        if note.is_open:
            found["open"] = True
        if key in self.times:
            found["time"] = self.times[key]
        if key in self.pending:
            found["pending"] = self.pending[key]
        if self.recent is not None and note.tail.content:
            found["recent"] = self.recent.tail_to_json(note.tail)
        return {"serve": found}

    def _restore(self, key: str, note: StreamNote, found: Any) -> None:
        """Take what `_to_json` returned; a stream that no service has put has no note."""
        if found is None:
            return
        problem = f"The note of the stream {key!r} is not one that serve has put there."
        if not isinstance(found, Mapping):
            raise DamagedStateError(problem)
        seq, answer, time = found.get("next_seq"), found.get("answer"), found.get("time")
        if type(seq) not in (int, type(None)) or not isinstance(answer, (str, type(None))):
            raise DamagedStateError(problem)
        note.next_seq, note.answer, note.is_open = seq, answer, found.get("open") is True
        if type(time) in (int, float):
            self.times[key] = time  # type: ignore[assignment]
        if isinstance(found.get("pending"), list):
            self.pending[key] = found["pending"]
