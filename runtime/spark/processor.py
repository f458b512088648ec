"""The part of Spark's state API that a worker calls: it holds no rule of its own, see `steps`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pyspark.sql import Row
from pyspark.sql.streaming import StatefulProcessor, StatefulProcessorHandle

from ..common.errors import InputError
from .layout import Layout
from .steps import KeyedSteps, StepOptions
from .workers import model_in_worker

STATE = "stream"  # name of the state variable
STATE_SCHEMA = "saved binary"


@dataclass(frozen=True)
class Work:
    """All that a worker needs to know.

    Attributes:
        file: Name under which the model was shipped.
        backend: Interpreter that steps it; None: the fastest that is installed.
        layout: The columns of a row.
        options: How rows are answered.
        names: Names of the columns of an answer: key, number and order if there are such, further columns of the row,
            then fields of the answer.
        structs: For each of them the names of the fields if it is a struct, or an array of structs; else ().
    """

    file: str
    backend: str | None
    layout: Layout
    options: StepOptions
    names: tuple[str, ...]
    structs: tuple[tuple[str, ...], ...]


@lru_cache(maxsize=4)
def steps_of(work: Work) -> KeyedSteps:
    """Return what steps rows in this process."""
    return KeyedSteps(model_in_worker(work.file, work.backend), work.layout, work.options)


def answer_rows(work: Work, key: Any, rows: Iterable[Any], saved: bytes | None) -> tuple[list[Row], bytes | None]:
    """Return the answers to the rows of a key, as rows of Spark, and its state behind them; None: as before."""
    found = steps_of(work).step(key, rows, saved)
    carried = _carried(work.layout)
    names, structs = work.names[len(carried) :], work.structs[len(carried) :]
    answer = Row(*work.names)
    answers = [
        answer(*(row[at] for at in carried), *(_value(values.get(n), s) for n, s in zip(names, structs, strict=True)))
        for row, values in found.answers
    ]
    return answers, found.saved


class StepProcessor(StatefulProcessor):  # type: ignore[misc]  # Spark has no types
    """Steps the rows of each key from its state in the checkpoint."""

    def __init__(self, work: Work, lifetime: int | None) -> None:
        """Take what to do, and the milliseconds after which an unused state is forgotten; None: it is kept."""
        self._work, self._lifetime = work, lifetime

    def init(self, handle: StatefulProcessorHandle) -> None:
        """See `StatefulProcessor`."""
        self._state = handle.getValueState(STATE, STATE_SCHEMA, self._lifetime)

    def handleInitialState(self, key: Any, initialState: Any, timerValues: Any) -> None:  # noqa: N802, N803
        """See `StatefulProcessor`."""
        if initialState["saved"] is None:
            raise InputError(f"The state of {key[0]!r} in initial= is null. Leave such rows out.")
        self._state.update((bytes(initialState["saved"]),))

    def handleInputRows(self, key: Any, rows: Iterator[Any], timerValues: Any) -> Iterator[Row]:  # noqa: N802, N803
        """See `StatefulProcessor`."""
        found = self._state.get() if self._state.exists() else None
        answers, saved = answer_rows(self._work, key[0], rows, None if found is None else bytes(found[0]))
        if saved is not None:
            self._state.update((saved,))
        yield from answers

    def close(self) -> None:
        """See `StatefulProcessor`."""


def _carried(layout: Layout) -> list[int]:
    """Return the positions of the columns of a row that stand in its answer."""
    firsts = 1 + (layout.seq is not None) + (layout.order is not None)
    count = len(layout.columns)
    return [*range(firsts), *range(count - len(layout.fields), count)]


def _value(value: Any, names: tuple[str, ...]) -> Any:
    """Return a value of an answer as Spark takes it: objects as tuples in the order of their fields."""
    if not names or value is None:
        return value
    if isinstance(value, list):
        return [_value(each, names) for each in value]
    return tuple(value.get(name) for name in names)
