"""The order column: numbers or times, as numbers that can be compared and subtracted."""

from __future__ import annotations

from array import array
from datetime import datetime, timezone

import numpy as np

from ..arrays import AnyArray

_LARGEST = 2**63


class OrderValues:
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
