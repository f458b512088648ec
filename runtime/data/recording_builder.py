"""Collects events one by one into a recording.

The order column: numbers or times, as numbers that can be compared and subtracted.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np

from ..common.arrays import AnyArray, Flags, Ids, Times
from ..common.errors import CorpusError
from .features import read_number
from .recording import Recording
from .tables import Cell, RowErrors

_LARGEST = 2**63


class OrderColumn:
    """Collects the values of an order column; the first of them decides whether they are numbers or times.

    Numbers are kept as they are, whole ones exactly. Times become seconds since 1970; one without a time zone counts as
    UTC, so that the same file gives the same numbers on every machine.
    """

    def __init__(self, time_format: str | None = None) -> None:
        """Begin without values; `time_format` is that of `datetime.strptime`, None: numbers or ISO 8601."""
        self._format = time_format
        self._is_time: bool | None = None if time_format is None else True
        self._whole = array("q")
        self._any = array("d")

    def add(self, value: str | float) -> None:
        """Append a value.

        Raises:
            ValueError: It is neither a number nor a time, or not what the others are; the text says what it should be.
        """
        if isinstance(value, str):
            value = value.strip()
            if self._is_time is None:
                self._is_time = not _is_number(value)
            if self._is_time:
                self._append(_seconds(value, self._format))
                return
        try:
            self._append(value if isinstance(value, int) else _number(str(value)))
        except ValueError:
            raise ValueError(f"{value!r} is not a number, as the first value in its column is") from None

    def finish(self) -> AnyArray:
        """Return the values, int64 or float64 of shape (N,)."""
        values: AnyArray = np.frombuffer(self._any or self._whole, np.float64 if self._any else np.int64)
        return values

    @property
    def are_times(self) -> bool:
        """Whether the values are times and not numbers."""
        return bool(self._is_time)

    def _append(self, value: float) -> None:
        if not self._any and isinstance(value, int) and abs(value) < _LARGEST:
            self._whole.append(value)
            return
        if not self._any and self._whole:
            self._any = array("d", self._whole)
        self._any.append(float(value))


def _is_number(text: str) -> bool:
    try:
        _number(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if number != number or abs(number) == float("inf"):
            raise ValueError(text) from None
        return number


def _seconds(text: str, time_format: str | None) -> float:
    try:
        if time_format:
            moment = datetime.strptime(text, time_format)
        else:
            moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        expected = time_format or "a number or a time as 2024-05-31 23:59:59"
        hint = "" if time_format else "; other times need --time-format, for example '%d.%m.%Y %H:%M'"
        raise ValueError(f"{text!r} is not {expected}{hint}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


_MOST_DIFFERENT = 1_000_000  # symbols; a column with more of them holds times, numbers or sentences


class RecordingBuilder:
    """Takes events in any order and puts them into their sequences: 8 to 16 bytes for each, whatever its text.

    A feature takes 8 more.
    """

    def __init__(
        self, source: str, complaints: RowErrors, order: OrderColumn | None, *, in_sequences: bool,
        features: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Begin without events.

        Args:
            source: The file.
            complaints: Takes what is wrong.
            order: Takes the values of the order column; None: there is none.
            in_sequences: Whether there is a sequence column; without one all is one sequence.
            features: Columns of numbers, F of them.
        """
        self._source, self._complaints, self._order = source, complaints, order
        self._symbols: dict[str, int] = {}
        self._sequences: dict[str, int] | None = {} if in_sequences else None
        self._ids, self._numbers = array("i"), array("i")
        self._features, self._values = features, array("d")
        self._without: dict[str, tuple[int, int]] = {}  # what is missing -> in how many lines, the first of them

    def add(self, line: int, symbol: str | None, sequence: str | None, when: Cell, values: Sequence[Cell] = ()) -> None:
        """Take the event in `line`; where it has no symbol or no sequence it is left out, and that is remembered.

        Raises:
            CorpusError: There are more different symbols than anything can have, or too much is wrong.
        """
        if not symbol:
            return self._leave_out("symbol", line)
        if self._sequences is not None and not sequence:
            return self._leave_out("sequence", line)
        numbers, problems = [], []
        for value, column in zip(values, self._features, strict=True):
            try:
                numbers.append(read_number(value, column))
            except ValueError as error:
                problems.append(str(error))
        if self._order is not None and not problems:
            try:
                if when is None or when == "":
                    raise ValueError("nothing in the order column")
                self._order.add(when)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            return self._complaints.add(line, "; ".join(problems))
        self._values.extend(numbers)
        self._ids.append(self._symbols.setdefault(symbol, len(self._symbols)))
        if self._sequences is not None and sequence:
            self._numbers.append(self._sequences.setdefault(sequence, len(self._sequences)))
        if len(self._symbols) > _MOST_DIFFERENT:
            raise CorpusError(
                f"{self._source} has more than {_MOST_DIFFERENT:,} different symbols by line {line:,}. "
                "Name another column with --symbol."
            )
        return None

    def finish(self) -> tuple[Recording, Times]:
        """Return what was collected: each sequence in its order, the sequences in that of their first events.

        And the numbers of its features, float64 of shape (N, F).

        Raises:
            CorpusError: Something was wrong, or there is nothing.
        """
        self._complaints.raise_if_any()
        remarks = [
            f"left out: {count:,} without a {what} (the first in line {first:,})"
            for what, (count, first) in self._without.items()
        ]
        if not self._ids:
            raise CorpusError(f"{self._source} holds no events{'; ' if remarks else ''}{'; '.join(remarks)}.")
        ids = np.frombuffer(self._ids, np.int32)
        numbers = np.frombuffer(self._numbers, np.int32) if self._sequences is not None else np.zeros_like(ids)
        values = np.array(self._values, np.float64).reshape(len(ids), len(self._features))
        when = None
        if self._order is not None:
            exact = self._order.finish()
            places = np.lexsort((exact, numbers))  # stable: what comes at the same time stays as it stands in the file
            ids, numbers, exact, values = ids[places], numbers[places], exact[places], values[places]
            when = exact.astype(np.float64, copy=False)
            same = np.diff(exact) == 0
            remarks += _ties(same & (np.diff(numbers) == 0), ids, self._order.are_times)
        elif (np.diff(numbers) < 0).any():
            places = np.argsort(numbers, kind="stable")
            ids, numbers, values, when = ids[places], numbers[places], values[places], places.astype(np.float64)
        starts = np.concatenate([[0], np.flatnonzero(np.diff(numbers)) + 1, [len(ids)]]).astype(np.int64)
        recording = Recording.whole(tuple(self._symbols), ids, starts, when, self._source)
        return replace(recording, remarks=tuple(remarks)), values

    def _leave_out(self, what: str, line: int) -> None:
        count, first = self._without.get(what, (0, line))
        self._without[what] = count + 1, first


def _ties(same: Flags, ids: Ids, are_times: bool) -> list[str]:
    """Return a remark where events come at the same moment as the one before; `same` is of shape (N - 1,)."""
    if not same.any():
        return []
    twice, what = int((same & (np.diff(ids) == 0)).sum()), "time" if are_times else "order"
    of_them = f", {twice:,} of them the same symbol too" if twice else ""
    return [
        f"{int(same.sum()):,} events have the same {what} as the one before in their sequence{of_them}; "
        "they stay as they stand in the file"
    ]
