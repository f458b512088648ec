"""The order column: numbers, or times as nanoseconds since 1970, which can be compared and subtracted."""

from __future__ import annotations

import re
import sys
from array import array
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from ..common.errors import CorpusError
from .time_format import UTC_NAMES, is_time_of_day, read_formatted

NANOSECONDS = 1_000_000_000  # of a second
TIME_UNITS = {
    "ns": 1, "us": 1_000, "ms": 1_000_000, "s": NANOSECONDS, "min": 60 * NANOSECONDS, "h": 3_600 * NANOSECONDS,
    "d": 86_400 * NANOSECONDS,
}  # fmt: skip
UNSTATED = "unstated"  # of models that were trained before units were recorded: numbers are seconds
_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_END_OF_INT64 = 2**63
_INTEGER, _NUMBER = re.compile(r"[+-]?[0-9]+"), re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_ZONE = r"(?: *(Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?))?"
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}|[0-9]{4}-?W[0-9]{2}-?[0-9])"
    r"(?:[Tt ]([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?)?" + _ZONE + ")?"
)
_BASIC_ISO = re.compile(
    r"([0-9]{8}|[0-9]{4}W[0-9]{3}|[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2})([0-9]{2})"
    r"(?:([0-9]{2})(?:[.,]([0-9]+))?)?" + _ZONE
)
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?:?([0-9]{2})?")


class Instant(int):
    """Nanoseconds since 1970 in UTC: a time that a file holds as such."""


class ClockTime(int):
    """Nanoseconds since 1970 on a clock of unknown zone."""


class TimeReader:
    """Read the cells of an order column. The first one decides between numbers and times.

    Numbers without a unit are kept as they are, integers exactly. Times, and numbers with a unit, become nanoseconds
    since 1970 in UTC; a time without a zone is one of `zone`, so that a file gives the same numbers on every machine.
    """

    def __init__(self, time_format: str | None = None, unit: str | None = None, zone: str | None = None) -> None:
        """Begin without cells.

        Args:
            time_format: Of `datetime.strptime`; None: numbers, or times of ISO 8601.
            unit: Of a column of numbers, one of `TIME_UNITS`; None: numbers have no unit. `UNSTATED`: seconds.
            zone: Name of a time zone; None: UTC.

        Raises:
            CorpusError: There is no such zone.
        """
        self._format, self._unit = time_format, unit
        self._factor = TIME_UNITS.get(unit or "")
        self._zone, self._zone_name = _zone(zone), zone
        self._are_times = None if time_format is None else True
        self._without_zone = self._ambiguous = self._missing = 0

    def new(self) -> TimeReader:
        """Return a reader of the same kind without cells."""
        return TimeReader(self._format, self._unit, self._zone_name)

    @property
    def are_times(self) -> bool:
        """Whether the cells are times, or numbers with a unit."""
        return bool(self._are_times) or self._factor is not None

    @property
    def are_numbers_without_unit(self) -> bool:
        """Whether the difference of two values is no time."""
        return not self.are_times and self._unit is None

    @property
    def per_second(self) -> int:
        """Divisor that makes seconds of a difference of values; 1: they have no unit."""
        return NANOSECONDS if self.are_times else 1

    def read(self, cell: Any) -> int | float:
        """Return the value of a cell.

        Raises:
            ValueError: The cell is empty, or neither a number nor a time, or not of the kind of the others.
        """
        if cell is None or cell == "":
            raise ValueError("nothing in the order column")
        if type(cell) is str:
            if self._are_times is False and cell.isdecimal() and cell.isascii() and len(cell) < 300:
                return int(cell) * (self._factor or 1)
            if self._are_times is None:
                self._are_times = _number(cell) is None and self._factor is None
            if self._are_times:
                return self._time(cell.strip())
        elif type(cell) in (Instant, ClockTime):
            if self._are_times is None:
                self._are_times = True
            if self._are_times:
                return int(cell) if type(cell) is Instant else self._to_utc(int(cell))
        number = None if isinstance(cell, (bool, Instant, ClockTime)) else _number(cell)
        if number is None:
            why = f"as --time-unit {self._unit} says" if self._factor else "as the first value in its column is"
            raise ValueError(f"{_shown(cell)} is not a number, {why}{_comma_hint(cell)}")
        if self._are_times and self._format is None:
            raise ValueError(f"{_shown(cell)} is not a time, as the first value in its column is")
        if self._factor is None:
            return number
        if type(number) is int:
            return number * self._factor
        return round(Decimal(cell if isinstance(cell, str) else repr(number)) * self._factor)

    def remarks(self) -> list[str]:
        """Return notes about the zone of the times so far, for people."""
        zone = self._zone_name or "UTC"
        notes = []
        if self._format is not None and is_time_of_day(self._format):
            notes.append("times of day without a date are read as of one day: a sequence must not go past midnight")
        elif self._without_zone:
            other = "; --time-zone names another" if self._zone_name is None else ""
            notes.append(f"times without a zone are read as {zone}{other}")
        for count, what in (
            (self._ambiguous, "come twice, because the clock is set back; the first is meant"),
            (self._missing, "do not exist, because the clock is set forward"),
        ):
            if count:
                notes.append(f"{count:,} of them {what}")
        return notes

    def _time(self, text: str) -> int:
        if self._format is not None:
            nanoseconds, offset = read_formatted(text, self._format)
        else:
            nanoseconds, offset = read_iso(text)
        return self._to_utc(nanoseconds) if offset is None else nanoseconds - offset * NANOSECONDS

    def _to_utc(self, nanoseconds: int) -> int:
        self._without_zone += 1
        if self._zone is None:
            return nanoseconds
        first, second, exists = _offsets(nanoseconds // NANOSECONDS, self._zone)
        self._ambiguous += exists and first != second
        self._missing += not exists
        return nanoseconds - first * NANOSECONDS


class OrderColumn:
    """Collect the values of an order column, 8 bytes each: int64, or float64 from the first that is no int64 on."""

    def __init__(self) -> None:
        """Begin without values."""
        self._values: array[Any] = array("q")

    def append(self, value: int | float) -> None:
        """Append a value that `TimeReader.read` returned."""
        try:
            self._values.append(value)
        except (TypeError, OverflowError):
            self._values = array("d", self._values)
            self._values.append(value)

    def values(self) -> AnyArray:
        """Return the values, int64 or float64 of shape (N,)."""
        return np.asarray(self._values)


def read_iso(text: str) -> tuple[int, int | None]:
    """Return the nanoseconds since 1970 that a time of ISO 8601 shows, and its offset from UTC in seconds; None: none.

    A blank may stand in place of the T and before the offset; the offset may be hours alone.

    >>> read_iso("1970-01-02 00:00:01.5+02")
    (86401500000000, 7200)

    Raises:
        ValueError: It is no such time.
    """
    found = _ISO.fullmatch(text) or _BASIC_ISO.fullmatch(text)
    if found is None:
        example = "a number or a time as 2024-05-31 23:59:59"
        hint = _comma_hint(text) or "; other times need --time-format, for example '%d.%m.%Y %H:%M'"
        raise ValueError(f"{_shown(text)} is not {example}{hint}")
    day, hour, minute, second, fraction, zone = found.groups()
    try:
        seconds = _day(day) * _DAY
        if second is not None and hour <= "23" and minute <= "59" and second <= "59":
            seconds += (int(hour) * 60 + int(minute)) * 60 + int(second)
        elif hour is not None:
            seconds += _seconds_of_day(int(hour), int(minute or 0), int(second or 0), int(fraction or 0))
        offset = None if zone is None else _offset(zone)
    except ValueError as error:
        raise ValueError(f"{_shown(text)} is not a time: {error}") from None
    if fraction is None:
        return seconds * NANOSECONDS, offset
    if len(fraction) > 9:
        raise ValueError(f"{_shown(text)} has {len(fraction)} digits of a second; 9 of them can be kept")
    return seconds * NANOSECONDS + int(fraction.ljust(9, "0")), offset


def iso_of(nanoseconds: int, zone: str = "") -> str:
    """Return a time as ISO 8601 writes it, with the digits of the second that it has, and `zone` behind it.

    >>> iso_of(1_500_000_000)
    '1970-01-01T00:00:01.500'
    """
    seconds, rest = divmod(int(nanoseconds), NANOSECONDS)
    digits = f"{rest:09}"
    fraction = "" if not rest else "." + (digits[:3] if digits[3:] == "0" * 6 else digits[:6] if digits[6:] == "000"
                                          else digits)  # fmt: skip
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat() + fraction + zone


def guess_unit(values: AnyArray) -> str:
    """Return advice on the unit of a column of numbers, by their size."""
    middle = float(np.median(np.abs(values)))
    since = "since 1970"
    if 19_000_101 <= middle <= 21_001_231:
        return "they look like dates: --time-format %Y%m%d"
    if 19_000_101_000_000 <= middle <= 21_001_231_235_959:
        return "they look like times in digits: --time-format %Y%m%d%H%M%S"
    for lowest, name, unit in (
        (1e17, f"nanoseconds {since}", "ns"), (1e14, f"microseconds {since}", "us"),
        (1e11, f"milliseconds {since}", "ms"), (1e8, f"seconds {since}", "s"),
    ):  # fmt: skip
        if middle >= lowest:
            return f"they look like {name}: --time-unit {unit}"
    return f"for example --time-unit s; the units are {', '.join(TIME_UNITS)}"


@lru_cache(4096)
def _day(text: str) -> int:
    """Return the days since 1970 of a date."""
    digits = text.replace("-", "")
    if "W" in digits:
        year, week = digits.split("W")
        return date.fromisocalendar(int(year), int(week[:2]), int(week[2:])).toordinal() - _EPOCH
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).toordinal() - _EPOCH


def _seconds_of_day(hour: int, minute: int, second: int, fraction: int) -> int:
    is_midnight = hour == 24 and not (minute or second or fraction)
    if (hour > 23 and not is_midnight) or minute > 59 or second > 59:
        raise ValueError(f"{hour:02}:{minute:02}:{second:02} is not a time of day")
    return (hour * 60 + minute) * 60 + second


@lru_cache(256)
def _offset(zone: str) -> int:
    """Return the seconds of an offset from UTC."""
    if zone in ("z", *UTC_NAMES):
        return 0
    found = _OFFSET.fullmatch(zone)
    assert found is not None
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[1:])
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"{zone} is not an offset from UTC")
    return (1 if found[1] == "+" else -1) * ((hours * 60 + minutes) * 60 + seconds)


def _zone(name: str | None) -> tzinfo | None:
    if name is None or name in UTC_NAMES:
        return None
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # a ZoneInfoNotFoundError is a KeyError
        raise CorpusError(
            f"There is no time zone {name!r} here. Give a name like Europe/Berlin or UTC; if those are missing too: "
            "pip install tzdata."
        ) from error


@lru_cache(4096)
def _offsets(second: int, zone: tzinfo) -> tuple[int, int, bool]:
    """Return the offset of a clock time in a zone, that of the same time after a change, and whether it exists."""
    clock = datetime(1970, 1, 1) + timedelta(seconds=second)
    offsets = [clock.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1)]
    back = (clock - offsets[0]).replace(tzinfo=timezone.utc).astimezone(zone).replace(tzinfo=None)
    first, second = (int(offset.total_seconds()) for offset in offsets)
    return first, second, back == clock


def _number(cell: Any) -> int | float | None:
    """Return a finite number; None: the cell is none. Text is a number in ASCII digits."""
    if type(cell) is str:
        text = cell.strip()
        if _INTEGER.fullmatch(text) and len(text) < 300:
            return int(text)
        if not _NUMBER.fullmatch(text):
            return None
        cell = text
    elif type(cell) is int:
        return cell if abs(cell) <= sys.float_info.max else None
    try:
        number = float(cell)
    except (TypeError, ValueError, InvalidOperation, OverflowError):
        return None
    return number if abs(number) <= sys.float_info.max else None  # nan is not


def _shown(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 80 else f"{text[:80]}... ({len(text):,} characters)"


def _comma_hint(cell: Any) -> str:
    """Return advice if a cell is a number with a decimal comma."""
    if isinstance(cell, str) and re.fullmatch(r"[+-]?[0-9]+,[0-9]+", cell.strip()):
        return f"; write the decimal comma as a point: {cell.strip().replace(',', '.')}"
    return ""
