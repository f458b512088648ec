"""The order column: numbers or times, as numbers that can be compared and subtracted."""

from __future__ import annotations

import re
import sys
from array import array
from datetime import datetime, timezone
from typing import Any

import numpy as np

from ..common.arrays import AnyArray

_END_OF_INT64 = 2**63


class OrderColumn:
    """Collect the values of an order column, 8 bytes each. The first one decides between numbers and times.

    Integers are kept exactly. Times become seconds since 1970; a time without a time zone is UTC, so that the same file
    gives the same numbers on every machine.
    """

    def __init__(self, time_format: str | None = None) -> None:
        """Begin without values; `time_format` is that of `datetime.strptime`, None: numbers or ISO 8601."""
        self._format = time_format
        self._are_times = None if time_format is None else True
        self._values: array[Any] = array("q")  # "d" from the first value on that is no int64

    @property
    def are_times(self) -> bool:
        """Whether the values are times and not numbers."""
        return bool(self._are_times)

    def add(self, cell: Any) -> None:
        """Append the value of a cell.

        Raises:
            ValueError: The cell is empty, or neither a number nor a time, or not of the kind of the others.
        """
        if cell is None or cell == "":
            raise ValueError("nothing in the order column")
        number = None if isinstance(cell, bool) else _number(cell)
        if isinstance(cell, str):
            if self._are_times is None:
                self._are_times = number is None
            if self._are_times:
                number = _seconds(cell.strip(), self._format)
        if number is None:
            raise ValueError(f"{cell!r} is not a number, as the first value in its column is")
        if self._values.typecode == "q" and not (isinstance(number, int) and abs(number) < _END_OF_INT64):
            self._values = array("d", self._values)
        self._values.append(number)

    def values(self) -> AnyArray:
        """Return the values, int64 or float64 of shape (N,)."""
        return np.asarray(self._values)


def _number(cell: Any) -> int | float | None:
    """Return a finite number; None: the cell is none."""
    number: int | float
    try:
        number = cell if isinstance(cell, int) else int(cell) if isinstance(cell, str) else float(cell)
    except (TypeError, ValueError):
        try:
            number = float(cell)
        except (TypeError, ValueError):
            return None
    return number if abs(number) <= sys.float_info.max else None  # nan is not


def _seconds(text: str, time_format: str | None) -> float:
    try:
        if time_format:
            time = datetime.strptime(text, time_format)
        else:
            iso = re.sub(r"(?<=\d[.])\d+", lambda found: f"{found[0]:0<6.6}", text)  # Python 3.10 reads 3 or 6 digits
            time = datetime.fromisoformat(iso[:-1] + "+00:00" if iso.endswith("Z") else iso)
    except ValueError:
        expected = time_format or "a number or a time as 2024-05-31 23:59:59"
        hint = "" if time_format else "; other times need --time-format, for example '%d.%m.%Y %H:%M'"
        raise ValueError(f"{text!r} is not {expected}{hint}") from None
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
