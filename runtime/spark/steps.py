"""The work of a worker on the rows of one key: the saved state before, answers and the saved state after.

Needs no Spark. The engine is that of `stepcell serve`, and so are the rules about records, numbers and sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from ..common.errors import (
    BackendError,
    DamagedStateError,
    InputError,
    OptionError,
    OtherModelError,
    SavedStateError,
    StateMismatchError,
)
from ..serve.adapters.base import BACKEND, BAD_RECORD, REPEATED, Incoming
from ..serve.service.engine import DAMAGED, Engine
from ..serve.service.options import ServeOptions
from ..serve.service.store import ServiceStore
from ..streams.model import Model
from ..streams.saved_state import SavedStreams, parse_saved_streams
from ..streams.snapshot import Snapshot
from ..tasks.anomaly import Threshold
from .layout import Layout, RowReader

Row = Sequence[Any]
_NOTE = "spark"


@dataclass(frozen=True)
class StepOptions:
    """How rows are answered: options of `stepcell serve`, under their names.

    Attributes:
        on_gap: At a number above the one that is expected "wait", "reset" or "continue".
        require_start: Refuse a row of a stream in which no sequence has been started.
        unknown: At an unknown symbol "stop", "skip" or "use"; None: "use" where the vocabulary has one, else "skip".
        bad_rows: At a row that cannot be read "stop", or "skip" it with an error.
        reset_on: Symbol after which a stream is reset; None: there is none.
        middle: Fresh streams begin in the middle of a sequence.
        top: How many of the likeliest symbols to name.
        offer_unknown: Name the unknown symbol among them.
        threshold: Marks surprising symbols; None: nothing does.
        alert_below: Mark symbols that come with a probability below this; None: none is.
    """

    on_gap: Literal["wait", "reset", "continue"] = "wait"
    require_start: bool = False
    unknown: Literal["stop", "skip", "use"] | None = None
    bad_rows: Literal["stop", "skip"] = "skip"
    reset_on: str | None = None
    middle: bool = False
    top: int = 1
    offer_unknown: bool = False
    threshold: Threshold | None = None
    alert_below: float | None = None

    def for_engine(self) -> ServeOptions:
        """Return them as those of a service.

        Raises:
            OptionError: One of them has no such value.
        """
        allowed: dict[str, tuple[object, ...]] = {
            "on_gap": ("wait", "reset", "continue"), "unknown": (None, "stop", "skip", "use"),
            "bad_rows": ("stop", "skip"),
        }  # fmt: skip
        wrong = [
            f"{name} is {getattr(self, name)!r}, not one of {', '.join(map(repr, values))}"
            for name, values in allowed.items()
            if getattr(self, name) not in values
        ]
        if wrong:
            raise OptionError(f"Rows cannot be answered so: {'; '.join(wrong)}.")
        return ServeOptions(
            store=Path("state"), on_gap=self.on_gap, require_start=self.require_start, unknown=self.unknown,
            bad_lines=self.bad_rows, reset_on=self.reset_on, middle=self.middle, top=self.top,
            offer_unknown=self.offer_unknown, alert_below=self.alert_below, keep=0,
        )  # fmt: skip


class Answered(NamedTuple):
    """What became of the rows of a key.

    Attributes:
        answers: The rows that were not repeated, each with the fields of its answer as `serve` names them.
        saved: The state after them; None: it is the one before.
    """

    answers: list[tuple[Row, dict[str, Any]]]
    saved: bytes | None


class _OneState:
    """The store of an engine: the saved state of the key that is stepped."""

    def __init__(self, model: Model) -> None:
        self._file = model.file
        self.saved: bytes | None = None
        self.note: Mapping[str, Any] = {}

    def find(self, key: str) -> tuple[Snapshot, Mapping[str, Any]] | None:
        """See `SqliteStore.find`."""
        self.note = {}
        if self.saved is None:
            return None
        found = parse_saved_streams(self.saved, "it")
        streams = found.checked(self._file, "it")
        if list(streams) != [key]:
            raise DamagedStateError(f"it is that of {', '.join(map(repr, streams)) or 'no stream'}.")
        self.note = found.note
        return streams[key], found.note


class KeyedSteps:
    """Steps the rows of one key after the other, each from the state that is given."""

    def __init__(self, model: Model, layout: Layout, options: StepOptions) -> None:
        """Begin without state.

        Args:
            model: The model.
            layout: The columns of a row.
            options: How rows are answered.

        Raises:
            OptionError, TargetError: The columns or the options do not fit the model.
        """
        settings = options.for_engine()
        self._manifest, self._layout = model.manifest, layout
        self._store = _OneState(model)
        self._engine = Engine(model, cast(ServiceStore, self._store), settings, options.threshold, lambda _: None)
        self._reader = RowReader(model.manifest, layout, settings)

    def step(self, key: str | int | None, rows: Iterable[Row], saved: bytes | None) -> Answered:
        """Step the rows of a key.

        Args:
            key: The key; rows of the key None are errors, and have no state.
            rows: Its rows, in any order, by the layout.
            saved: The state before them; None: there is none.

        Raises:
            OtherModelError: The state was saved with another model. Nothing has moved; the same holds for all errors.
            DamagedStateError: The state is not what was saved.
            BackendError: The interpreter failed.
            InputError, UnknownSymbolError: A row at which to stop.
        """
        if key is None:
            return Answered(
                [(row, _bad(f"{self._layout.key} is null, and a stream needs a key")) for row in rows], None
            )
        name, streams = str(key), self._engine.streams
        self._store.saved = saved
        try:
            streams.note(name)
            note = self._note(name)
            dropped = note.get("dropped", 0)
            answers = self._step_all(name, self._in_order(rows, note), note)
            if note.get("dropped", 0) != dropped:
                streams.touch(name)  # the count is kept, though no state may have moved
            return Answered(answers, self._saved(name, note))
        except OtherModelError as error:
            raise OtherModelError(
                f"The state of {name!r} in the checkpoint belongs to another model: {str(error).split('. ')[0]}. "
                "Nothing of this batch is kept. Go on with the file it was made with, or with a new checkpoint."
            ) from error
        except (SavedStateError, StateMismatchError) as error:
            raise self._damaged(name, str(error)) from error
        finally:
            streams.settle()
            streams.drop(name)

    def _note(self, key: str) -> dict[str, Any]:
        """Return the note of the state, which says by what its rows were told apart."""
        by = "order" if self._reader.seq is None else "seq"
        note: dict[str, Any] = {"by": by, **(self._store.note.get(_NOTE) or {})}
        found = note["by"]
        if found != by:
            raise InputError(
                f"The state of {key!r} in the checkpoint is that of rows with {found}=, and these come with {by}=: "
                f"rows would be stepped anew. Nothing of this batch is kept. Go on with {found}=, or a new checkpoint."
            )
        return note

    def _in_order(self, rows: Iterable[Row], note: dict[str, Any]) -> list[Row]:
        """Return the rows as they are stepped; those that are not later than the last one are counted in `note`."""
        by_seq, by_order = self._reader.seq, self._reader.order
        if by_seq is not None:
            return sorted(rows, key=lambda row: _sortable(row[by_seq]))
        assert by_order is not None, "callers name seq or order"
        last, kept, dropped = note.get("last"), list[Row](), note.get("dropped", 0)
        for row in rows:
            value = row[by_order]
            if last is not None and value is not None and value <= last:
                dropped += 1
            else:
                kept.append(row)
        if dropped:
            note["dropped"] = dropped
        # Rows of one time are in the same order whenever they are stepped again.
        return sorted(kept, key=lambda row: (*_sortable(row[by_order]), *map(repr, row[by_order + 1 :])))

    def _step_all(self, key: str, rows: list[Row], note: dict[str, Any]) -> list[tuple[Row, dict[str, Any]]]:
        engine, reader, answers = self._engine, self._reader, list[tuple[Row, dict[str, Any]]]()
        by_order = reader.order if reader.seq is None else None
        for row in rows:
            if by_order is not None and not _sortable(row[by_order])[0]:
                what = "null" if row[by_order] is None else "no number"
                answers.append((row, _bad(f"{self._layout.order} is {what}, and orders the rows of a stream", key)))
                continue
            outcome = engine.answer(reader, Incoming(b"", key, token=row))
            if outcome is None or outcome.kind == REPEATED:
                continue
            values = outcome.values
            if outcome.code == DAMAGED:
                raise self._damaged(key, values["error"])
            if outcome.code == BACKEND:
                raise BackendError(f"{key!r}: {values['error']} The batch is not kept.")
            if by_order is not None:
                note["last"] = row[by_order]
                values["dropped"] = note.get("dropped", 0)
            answers.append((row, values))
        return answers

    def _saved(self, key: str, note: dict[str, Any]) -> bytes | None:
        """Return the state of a key after its rows; None: nothing of it has changed."""
        moved = self._engine.moved().get(key)
        if moved is None:
            return None
        snapshot, found = moved
        of_service = {name: value for name, value in found["serve"].items() if name != "answer"}  # nobody asks for it
        notes = {"serve": of_service, _NOTE: note}
        try:
            return SavedStreams.of(self._manifest, {key: snapshot}, notes).to_bytes()
        except StateMismatchError as error:
            raise BackendError(f"{key!r}: {error}") from error

    @staticmethod
    def _damaged(key: str, problem: str) -> DamagedStateError:
        return DamagedStateError(
            f"The state of {key!r} in the checkpoint cannot be used: {problem} Nothing of this batch is kept. "
            "Go on from an earlier copy of the checkpoint, or with a new one and initial=."
        )


def _bad(problem: str, key: str | None = None) -> dict[str, Any]:
    return {"stream": key, "error": problem, "code": BAD_RECORD}


def _sortable(value: Any) -> tuple[bool, Any]:
    """Return a value of the order column so that null and nan come first."""
    is_number = value is not None and not (isinstance(value, float) and isnan(value))
    return is_number, value if is_number else 0
