"""A fleet: many streams by key, of which any number moves at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..common.arrays import AnyArray, Flags, Float32, Ids, MaybeNone
from ..common.errors import FeatureMismatchError, OptionError, StateMismatchError
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from ..format.tensor_specs import EVERY_STEP, Features, checked_features
from ..interpreters.base import initial_state
from ..interpreters.batch import Batch
from ..interpreters.forks import Unpicklable, leave, tell_of_forks
from .input_encoder import InputEncoder
from .prediction import Prediction, prediction_of
from .saved_state import SavedStreams, read_saved_streams
from .snapshot import Snapshot
from .state_table import StateTable, Store
from .static import Static, describe_static, start_of


class FleetResult(Mapping[str, Prediction | MaybeNone]):
    """What the members of a fleet answered: key -> prediction, made when it is asked for.

    The prediction is None, and the numbers are NaN, where the model has no answer to a member at this step.

    Attributes:
        probabilities: The main output of each, float32 of shape (N, K), in the order of the keys; yours to keep.
        outputs: Name -> what a further output of the model answered, float32 (N, size), likewise.
    """

    def __init__(
        self, keys: list[str], answers: Mapping[str, Float32], manifest: Manifest, symbols: Mapping[str, str | None],
        answered: Flags | None = None,
    ) -> None:  # fmt: skip
        """Wrap the rows of `answers`, the main output first: name -> float32 of shape (N, size).

        `symbols` are those that were fed, by key; `answered` tells which of them were answered, None: all.
        """
        self._keys, self._answers, self._manifest, self._symbols = keys, answers, manifest, symbols
        self._answered = answered
        if answered is not None:
            for array in answers.values():
                array[~answered] = np.nan
        self.probabilities = answers[manifest.answer]
        self.outputs = {output.name: answers[output.name] for output in manifest.extra_outputs}

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self._keys)}

    def __getitem__(self, key: str) -> Prediction | MaybeNone:
        """Return the prediction of the member `key`."""
        row = self._rows[key]
        if self._answered is not None and not self._answered[row]:
            return None
        symbol = self._symbols.get(key)
        unknown = symbol is not None and symbol not in self._manifest.vocabulary
        return prediction_of(
            {name: array[row] for name, array in self._answers.items()}, self._manifest, unknown=unknown
        )

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keys)


SIZES = (64, 8, 1)  # members per call of the interpreter; larger batches than 64 bring nothing more


class Fleet(Unpicklable):
    """Streams by key. A key that has not been seen starts from the model's initial state.

    Made by `Model.fleet()`. Each member answers as a `Stream` of its own would, to within 1e-6 (an interpreter may add
    up in another order where it computes several at once), whatever the others do. A call that fails moves none of
    them. Belongs to one thread.
    """

    pickle_remedy = "Save it to a file, load the model in each process, and restore it there."

    def __init__(
        self,
        open_batch: Callable[[int], Batch],
        file: ModelFile,
        *,
        static: Static | None = None,
        max_members: int | None = None,
        store: Store | None = None,
    ) -> None:
        """Make an empty fleet. Use `Model.fleet` instead.

        Args:
            open_batch: Makes a batch for so many streams.
            file: The model.
            static: Static inputs of new members; None: each is given its own by `add`, if the model reads some.
            max_members: How many members to keep in memory; beyond it the least recently used go to `store`. None: all.
            store: Where they go.

        Raises:
            OptionError: `max_members` without a store, which would lose members; or fewer than 1.
        """
        if max_members is not None and (store is None or max_members < 1):
            raise OptionError(
                f"A fleet of at most {max_members} members needs a store for the others, and room for one: "
                "model.fleet(max_members=1000, store=SqliteStore('fleet.db', model.file))"
            )
        self._open_batch, self._batches = open_batch, dict[int, Batch]()
        tell_of_forks(self)
        self.file = file
        self._encoder = InputEncoder(file, "The fleet")
        self._answers = None if file.manifest.answers == EVERY_STEP else file.manifest.answers
        start = initial_state(file.manifest.state)
        self._needs_static = bool(file.manifest.static) and static is None
        self._members = StateTable(start if self._needs_static else start_of(file, static), max_members, store)

    def after_fork(self) -> None:
        """See `Holder.after_fork`."""
        leave(self._batches)
        self._batches = {}

    def __len__(self) -> int:
        """Return how many members there are, those in the store among them."""
        return len(self._members.all_keys())

    def __contains__(self, key: object) -> bool:
        """Tell whether `key` is a member."""
        return isinstance(key, str) and self._members.get(key) is not None

    def add(self, key: str, static: Static | None = None) -> None:
        """Let a member begin, with static inputs of its own.

        Args:
            key: Its key; a member of that key begins anew.
            static: As for `Model.stream`.

        Raises:
            OptionError: The key is no string. No member has moved; the same holds for all errors.
            StateMismatchError: `static` are not the static inputs that the model reads.
            OutputError: As `step` does.
        """
        if not isinstance(key, str):
            raise OptionError(f"Keys of a fleet are strings, and {key!r} is none: say str(...) of it.")
        start = Snapshot(start_of(self.file, static))
        self._members.begin_call()
        self._members.place(key, start)
        with suppress(Exception):  # as in `step`
            self._members.make_room()

    def step(self, symbols: Mapping[str, str | None], features: Mapping[str, Features] | None = None) -> FleetResult:
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
            OptionError: A key is no string. Likewise.
            StateMismatchError: New members need static inputs; all are named. Likewise.
            BackendError: The interpreter failed. Likewise.
            OutputError: The store cannot be used, or could not take those that an earlier call left without room.
                Likewise.
            DamagedStateError: What the store has of one of them is no state. Likewise.
        """
        keys = list(symbols)
        ids = self._ids_of(list(symbols.values()))
        checked = self._checked(keys, features) if self.file.manifest.features or features is not None else {}
        if not keys:
            return FleetResult([], self._room_for_answers(0), self.file.manifest, {})
        if self._needs_static and (missing := [key for key in keys if key not in self]):
            raise StateMismatchError(
                f"{self.file.name} reads static inputs, once for each stream ({describe_static(self.file.manifest)}), "
                f"and there are none of {', '.join(map(repr, missing))}: fleet.add(key, static={{...}}). No member has "
                "moved."
            )
        self._members.begin_call()
        rows, new = self._members.load(keys)
        try:
            answers, following = self._compute(rows, ids, checked)
        except BaseException:
            self._members.evict(new)
            raise
        self._members.move(rows, following)
        answered = None if self._answers is None else self._answers.which_answer(self._members.seen[rows])
        with suppress(Exception):  # the members have moved: the next call says it, before it moves any
            self._members.make_room()
        return FleetResult(keys, answers, self.file.manifest, dict(symbols), answered)

    def forget(self, key: str) -> None:
        """Drop a member; it starts from the initial state if it comes again.

        Args:
            key: Which; an unknown one is no error.
        """
        self._members.forget(key)

    def snapshot(self, key: str) -> Snapshot | None:
        """Return where a member is, as a copy, wherever it is kept.

        Args:
            key: Which.

        Returns:
            Its state and how many symbols it has seen; None: there is no such member.
        """
        return self._members.get(key)

    def save(self, path: str | Path) -> None:
        """Write all members into one file, those in the store among them; see `SavedStreams`.

        Args:
            path: Where; a crash or power cut leaves the old file there or the new one, never a part.

        Raises:
            StateMismatchError: A number is not finite: no stream can go on from there. What stood at `path` still
                stands there.
            OutputError: It cannot be written. Likewise.
        """
        members = {key: self._members.get(key) for key in self._members.all_keys()}
        SavedStreams.of(self.file.manifest, {k: m for k, m in members.items() if m is not None}).to_file(path)

    def restore(self, path: str | Path, *, ignore_fingerprint: bool = False) -> None:
        """Take the members of a file that `save` wrote; members of the same keys are replaced, others stay.

        Args:
            path: The file.
            ignore_fingerprint: Take them from another model file too, as `Stream.restore` does.

        Raises:
            StateNotFoundError: There is no such file, or it cannot be read. No member has moved.
            SavedStateError: It cannot be used. No member has moved.
            StateMismatchError: Names or shapes are not those of the model. No member has moved.
            OutputError: The store could not take those that an earlier call left without room. Likewise.
        """
        members = read_saved_streams(path).checked(self.file, str(path), ignore_fingerprint=ignore_fingerprint)
        self._members.begin_call()
        for key, member in members.items():
            self._members.place(key, member)
        with suppress(Exception):  # as in `step`
            self._members.make_room()

    def flush(self) -> None:
        """Write all members to the store and keep them here too: after it a power cut loses nothing.

        Raises:
            OutputError: The store cannot be written. What it had it still has.
        """
        self._members.flush()

    def _ids_of(self, symbols: list[str | None]) -> Ids:
        if not len(self.file.manifest.vocabulary) and all(symbol is None for symbol in symbols):
            return np.zeros(len(symbols), np.int32)
        return self._encoder.ids_of(symbols)  # type: ignore[arg-type]  # None is no symbol, and is told so

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

    def _compute(
        self, rows: AnyArray, ids: Ids, features: Mapping[str, AnyArray]
    ) -> tuple[dict[str, Float32], dict[str, AnyArray]]:
        """Return the answers to `ids` of the members in `rows`, and their next states as records; nothing moves."""
        if len(rows) in SIZES:  # one call: its memory need not be copied
            batch = self._run(len(rows), rows, ids, features)
            return {name: array.copy() for name, array in self._answers_of(batch).items()}, batch.next_records()
        answers = self._room_for_answers(len(rows))
        following = {name: np.empty(len(rows), records.dtype) for name, records in self._members.records.items()}
        start = 0
        for size in SIZES:
            while len(rows) - start >= size:
                part = slice(start, start + size)
                batch = self._run(size, rows[part], ids[part], {name: array[part] for name, array in features.items()})
                for name, memory in self._answers_of(batch).items():
                    answers[name][part] = memory
                for name, memory in batch.next_records().items():
                    following[name][part] = memory
                start += size
        return answers, following

    def _room_for_answers(self, count: int) -> dict[str, Float32]:
        manifest = self.file.manifest
        widths = {manifest.answer: manifest.output_size, **{o.name: o.size for o in manifest.extra_outputs}}
        return {name: np.empty((count, width), np.float32) for name, width in widths.items()}

    def _answers_of(self, batch: Batch) -> dict[str, Float32]:
        return {self.file.manifest.answer: batch.answers, **batch.extra_outputs}

    def _run(self, size: int, rows: AnyArray, ids: Ids, features: Mapping[str, AnyArray]) -> Batch:
        batch = self._batches.get(size) or self._batches.setdefault(size, self._open_batch(size))
        for name, memory in batch.state().items():
            self._members.states[name].take(rows, 0, memory, "clip")  # "clip": else numpy makes a copy first
        batch.compute(ids, features)
        return batch


def _by_name(given: Features, names: set[str]) -> Mapping[str, ArrayLike]:
    """Return the features of a member by name, or raise KeyError."""
    if isinstance(given, Mapping):
        if given.keys() == names:
            return given
    elif len(names) == 1:
        return dict.fromkeys(names, given)
    raise KeyError
