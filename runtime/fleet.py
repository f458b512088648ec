"""A fleet: many streams by name, of which any number moves at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from .arrays import AnyArray, Float32, Ids
from .backend import initial_state
from .batch import Batch
from .errors import FeatureMismatchError, OptionError
from .intake import Intake
from .model_file import ModelFile
from .ports import Features, checked_features
from .prediction import Prediction, prediction_of
from .saved_streams import SavedStreams
from .saved_streams_reader import read_saved_streams
from .snapshot import Snapshot

SIZES = (64, 8, 1)  # members per call of the interpreter; larger batches than 64 bring nothing more
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


class Answers(Mapping[str, Prediction]):
    """What the members of a fleet answered: key -> prediction, made when it is asked for.

    Attributes:
        probabilities: The main output of each, float32 of shape (N, K), in the order of the keys; yours to keep.
        outputs: Name -> what a further output of the model answered, float32 (N, size), likewise.
    """

    def __init__(self, keys: list[str], answers: Mapping[str, Float32], file: ModelFile) -> None:
        """Wrap the rows of `answers`, the main output first."""
        self._keys, self._answers, self._manifest = keys, answers, file.manifest
        self.probabilities = answers[file.manifest.answer]
        self.outputs = {output.name: answers[output.name] for output in file.manifest.others}

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self._keys)}

    def __getitem__(self, key: str) -> Prediction:
        """Return the prediction of the member `key`."""
        row = self._rows[key]
        return prediction_of({name: array[row] for name, array in self._answers.items()}, self._manifest)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keys)


class Fleet:
    """Streams by key. A key that has not been seen starts from the model's initial state.

    Made by `Model.fleet()`. Each member answers as a `Stream` of its own would, to within 1e-6 (an interpreter may add
    up in another order where it computes several at once), whatever the others do. A call that fails moves none of
    them. Belongs to one thread.
    """

    def __init__(
        self,
        open_batch: Callable[[int], Batch],
        file: ModelFile,
        *,
        most: int | None = None,
        store: Store | None = None,
    ) -> None:
        """Make an empty fleet. Use `Model.fleet` instead.

        Args:
            open_batch: Makes a batch for so many streams.
            file: The model.
            most: How many members to keep in memory; beyond it the least recently used go to `store`. None: all.
            store: Where they go.

        Raises:
            OptionError: `most` without a store, which would forget members behind your back; or fewer than 1.
        """
        if most is not None and (store is None or most < 1):
            raise OptionError(
                f"A fleet of at most {most} members needs a store for the others, and room for one: "
                "model.fleet(most=1000, store=SqliteStore('fleet.db', model.file))"
            )
        self._open_batch, self._batches = open_batch, dict[int, Batch]()
        self.file = file
        self._intake = Intake(file, "The fleet")
        self._most, self._store = most, store
        self._initial = initial_state(file.manifest.state)
        self._row: dict[str, int] = {}
        self._free: list[int] = []
        self._rows: dict[str, Float32] = {n: np.empty((0, *a.shape[1:]), np.float32) for n, a in self._initial.items()}
        self._seen = np.zeros(0, np.int64)
        self._used = np.zeros(0, np.int64)  # when each row was used last, in calls
        self._calls = 0

    def __len__(self) -> int:
        """Return how many members there are, those in the store among them."""
        return len(set(self._row) | set(self._store.keys() if self._store else ()))

    def __contains__(self, key: object) -> bool:
        """Tell whether `key` is a member."""
        return key in self._row or (
            isinstance(key, str) and self._store is not None and self._store.get(key) is not None
        )

    def step(self, symbols: Mapping[str, str | None], features: Mapping[str, Features] | None = None) -> Answers:
        """Feed some members a symbol each.

        Args:
            symbols: Key -> symbol of the vocabulary; None for a model that reads features alone.
            features: Key -> what the model reads beside the symbol, as for `Stream.step`.

        Returns:
            Key -> prediction, in the same order.

        Raises:
            UnknownSymbolError: Symbols are not in the vocabulary; the first of them is named. No member has moved, and
                no new one has come.
            FeatureMismatchError: `features` are not those that the model reads; the first such member is named.
                Likewise.
            BackendError: The interpreter failed. Likewise.
            OutputError: The store could not take those that an earlier call left without room. Likewise.
        """
        keys = list(symbols)
        ids = self._ids_of(list(symbols.values()))
        checked = self._checked(keys, features) if self.file.manifest.features or features is not None else {}
        if not keys:
            return Answers([], self._room_for_answers(0), self.file)
        self._shrink()  # what the last call could not bring to the store; if this cannot either, nothing moves
        self._calls += 1
        rows, new = self._seats(keys)
        try:
            answers, following = self._compute(rows, ids, checked)
        except BaseException:
            self._give_up(new)
            raise
        seen = self._seen[rows] + 1
        try:
            self._move(rows, following, seen)
        except BaseException:  # Ctrl-C: a state of which half has moved would be wrong for ever
            self._move(rows, following, seen)
            raise
        with suppress(Exception):  # the members have moved: the next call says it, before it moves any
            self._shrink()
        return Answers(keys, answers, self.file)

    def forget(self, key: str) -> None:
        """Drop a member; it starts from the initial state if it comes again.

        Args:
            key: Which; an unknown one is no error.
        """
        self._give_up([key])
        if self._store is not None:
            self._store.forget(key)

    def snapshot(self, key: str) -> Snapshot | None:
        """Return where a member is, as a copy, wherever it is kept.

        Args:
            key: Which.

        Returns:
            Its state and how many symbols it has seen; None: there is no such member.
        """
        row = self._row.get(key)
        if row is None:
            return None if self._store is None else self._store.get(key)
        state = {name: array[row : row + 1].copy() for name, array in self._rows.items()}
        return Snapshot(state, int(self._seen[row]))

    def save(self, path: str | Path) -> None:
        """Write all members into one file, those in the store among them; see `SavedStreams`.

        Args:
            path: Where; a crash or power cut leaves the old file there or the new one, never a part.

        Raises:
            StateMismatchError: A number is not finite: nobody could go on from there. What stood at `path` still
                stands there.
            OutputError: It cannot be written. Likewise.
        """
        keys = [*self._row, *(key for key in (self._store.keys() if self._store else ()) if key not in self._row)]
        members = {key: self.snapshot(key) for key in keys}
        SavedStreams.of(self.file.manifest, {k: m for k, m in members.items() if m is not None}).to_file(path)

    def restore(self, path: str | Path, *, other_model: bool = False) -> None:
        """Take the members of a file that `save` wrote; members of the same keys are replaced, others stay.

        Args:
            path: The file.
            other_model: Take them from another model file too, as `Stream.restore` does.

        Raises:
            StateNotFoundError: There is no such file, or it cannot be read. No member has moved.
            SavedStateError: It cannot be used. No member has moved.
            StateMismatchError: Names or shapes are not those of the model. No member has moved.
            OutputError: The store could not take those that an earlier call left without room. Likewise.
        """
        members = read_saved_streams(path).checked(self.file, str(path), other_model=other_model)
        self._shrink()
        self._calls += 1
        for key, member in members.items():
            self._place(key, member)
        with suppress(Exception):  # as in `step`
            self._shrink()

    def flush(self) -> None:
        """Write all members to the store and keep them here too: after it a power cut loses nothing."""
        if self._store is not None:
            self._store.put({key: member for key in self._row if (member := self.snapshot(key)) is not None})

    def _ids_of(self, symbols: list[str | None]) -> Ids:
        if not len(self.file.manifest.vocabulary) and all(symbol is None for symbol in symbols):
            return np.zeros(len(symbols), np.int32)
        return self._intake.ids_of(symbols)  # type: ignore[arg-type]  # None is no symbol, and is told so

    def _checked(self, keys: list[str], features: Mapping[str, Features] | None) -> dict[str, AnyArray]:
        """Return the features of `keys` as arrays (N, ...), or raise FeatureMismatchError with the first wrong key."""
        wanted, given = self.file.manifest.features, features or {}
        if idle := [key for key in given if key not in keys]:
            raise FeatureMismatchError(f"There are features of {idle[0]!r}, but no symbol. No member has moved.")
        names = {feature.name for feature in wanted}
        try:
            members = [_by_name(given[key], names) for key in keys]
            together: dict[str, Any] = {name: [member[name] for member in members] for name in names}
            return checked_features(together, wanted, self.file.name, (len(keys),))
        except (KeyError, FeatureMismatchError):  # all at once is fast, one by one tells whose they are
            for key in keys:
                try:
                    checked_features(given.get(key), wanted, self.file.name)
                except FeatureMismatchError as error:
                    raise FeatureMismatchError(f"{key!r}: {error} No member of the fleet has moved.") from None
            raise

    def _seats(self, keys: list[str]) -> tuple[AnyArray, list[str]]:
        """Return the rows of `keys`, and which of them are new here."""
        with suppress(KeyError):
            return np.fromiter(map(self._row.__getitem__, keys), np.intp, len(keys)), []
        new = [key for key in keys if key not in self._row]
        try:
            for key in new:
                found = None if self._store is None else self._store.get(key)
                self._place(key, found or Snapshot(self._initial))
        except BaseException:
            self._give_up(new)
            raise
        return np.array([self._row[key] for key in keys]), new

    def _place(self, key: str, member: Snapshot) -> None:
        if key not in self._row:
            if not self._free:
                self._grow()
            self._row[key] = self._free.pop()
        row = self._row[key]
        for name, array in member.state.items():
            self._rows[name][row] = array[0]
        self._seen[row], self._used[row] = member.symbols_seen, self._calls

    def _grow(self) -> None:
        before = len(self._seen)
        more = max(_FIRST_ROWS, before)
        self._rows = {n: np.concatenate([a, np.zeros((more, *a.shape[1:]), np.float32)]) for n, a in self._rows.items()}
        self._seen, self._used = (np.concatenate([a, np.zeros(more, np.int64)]) for a in (self._seen, self._used))
        self._free += range(before + more - 1, before - 1, -1)

    def _move(self, rows: AnyArray, following: Mapping[str, Float32], seen: AnyArray) -> None:
        for name, array in following.items():
            self._rows[name][rows] = array
        self._seen[rows], self._used[rows] = seen, self._calls

    def _give_up(self, keys: Iterable[str]) -> None:
        self._free += [self._row.pop(key) for key in keys if key in self._row]

    def _compute(
        self, rows: AnyArray, ids: Ids, features: Mapping[str, AnyArray]
    ) -> tuple[dict[str, Float32], dict[str, Float32]]:
        """Return the answers to `ids` of the members in `rows`, and their next states, (N, ...); nothing moves."""
        if len(rows) in SIZES:  # one call: what it makes need not be kept beside it
            batch = self._run(len(rows), rows, ids, features)
            return {name: array.copy() for name, array in self._answers_of(batch).items()}, batch.next_state()
        answers = self._room_for_answers(len(rows))
        following = {name: np.empty((len(rows), *a.shape[1:]), np.float32) for name, a in self._rows.items()}
        start = 0
        for size in SIZES:
            while len(rows) - start >= size:
                part = slice(start, start + size)
                batch = self._run(size, rows[part], ids[part], {name: array[part] for name, array in features.items()})
                for name, memory in self._answers_of(batch).items():
                    answers[name][part] = memory
                for name, memory in batch.next_state().items():
                    following[name][part] = memory
                start += size
        return answers, following

    def _room_for_answers(self, count: int) -> dict[str, Float32]:
        manifest = self.file.manifest
        widths = {manifest.answer: len(manifest.output_vocabulary), **{o.name: o.size for o in manifest.others}}
        return {name: np.empty((count, width), np.float32) for name, width in widths.items()}

    def _answers_of(self, batch: Batch) -> dict[str, Float32]:
        return {self.file.manifest.answer: batch.answers, **batch.others}

    def _run(self, size: int, rows: AnyArray, ids: Ids, features: Mapping[str, AnyArray]) -> Batch:
        batch = self._batches.get(size) or self._batches.setdefault(size, self._open_batch(size))
        for name, memory in batch.state().items():
            np.take(self._rows[name], rows, axis=0, out=memory, mode="clip")  # "clip": else numpy makes a copy first
        batch.compute(ids, features)
        return batch

    def _shrink(self) -> None:
        """Let the least recently used members go to the store if there are too many."""
        if self._most is None or len(self._row) <= self._most or self._store is None:
            return
        count = len(self._row) - self._most + self._most // _EVICTED_AT_ONCE
        keys, rows = list(self._row), np.fromiter(self._row.values(), np.int64)
        oldest = np.argsort(self._used[rows], kind="stable")[:count]
        leaving = {keys[place]: self.snapshot(keys[place]) for place in oldest.tolist()}
        self._store.put({key: member for key, member in leaving.items() if member is not None})
        self._give_up(leaving)


def _by_name(given: Features, names: set[str]) -> Mapping[str, ArrayLike]:
    """Return the features of a member by name, or raise KeyError."""
    if isinstance(given, Mapping):
        if given.keys() == names:
            return given
    elif len(names) == 1:
        return dict.fromkeys(names, given)
    raise KeyError
