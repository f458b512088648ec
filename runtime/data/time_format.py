"""Times in a format of `datetime.strptime`, with 1 to 9 digits of a second and zones by name."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

UTC_NAMES = ("Z", "UTC", "GMT", "UT")
_HOURS = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}  # of RFC 2822
ZONE_NAMES = {name: f"{hours:+03}00" for name, hours in {**dict.fromkeys(UTC_NAMES, 0), **_HOURS}.items()}
_NANOSECONDS = 1_000_000_000
_DIRECTIVES = frozenset("aAwdbBmyYHIpMSfzZjUWcxXGuV%")
_OF_YEARS, _OF_DATES = frozenset("YyGcx"), frozenset("aAwdbBmjUWuV")
_ZONE_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]{1,5}(?![A-Za-z])")
_LONG_DIGITS = re.compile(r"[0-9]{7,}")
_EPOCH = datetime(1970, 1, 1)


def format_problems(time_format: str) -> list[str]:
    """Return the reasons why a format cannot be used."""
    directives = set(_directives(time_format))
    problems = [f"--time-format has %{one}, which is no directive of strptime" for one in directives - _DIRECTIVES]
    if not directives - {"%"}:
        problems.append(f"--time-format {time_format!r} has no directive like %Y")
    if directives & _OF_DATES and not directives & _OF_YEARS:
        problems.append(
            f"--time-format {time_format!r} has no year, so January would come before December: put the year into the "
            "column and %Y into the format"
        )
    return sorted(problems)


def is_time_of_day(time_format: str) -> bool:
    """Tell whether a format has no date at all."""
    return not set(_directives(time_format)) & (_OF_YEARS | _OF_DATES)


def read_formatted(text: str, time_format: str) -> tuple[int, int | None]:
    """Return the nanoseconds since 1970 that a time shows, and its offset from UTC in seconds; None: none.

    Zones by name are those of RFC 2822, because other names mean different zones in different countries.

    Raises:
        ValueError: It has another format.
    """
    named = "Z" in _directives(time_format)
    numeric = _with_offset(time_format) if named else time_format
    for candidate, extra in _candidates(text, "f" in _directives(time_format)):
        spellings = [candidate, _full_offset(candidate)] if numeric.endswith("%z") else [candidate]
        for spelled in _with_offsets(candidate) if named else spellings:
            try:
                time = datetime.strptime(spelled, numeric)
            except ValueError:
                continue
            offset = time.utcoffset()
            since = time.replace(tzinfo=None) - _EPOCH
            shown = (since.days * 86_400 + since.seconds) * _NANOSECONDS + since.microseconds * 1_000 + extra
            return shown, None if offset is None else round(offset.total_seconds())
    unknown = _unknown_zone(text, numeric) if named else None
    if unknown is not None:
        raise ValueError(
            f"{text!r} has the zone {unknown!r}, a name that stands for several zones; {', '.join(ZONE_NAMES)} are "
            "read. Write offsets (%z), or leave the zone out and name it: --time-zone Europe/Berlin"
        )
    raise ValueError(f"{text!r} is not {time_format}")


@lru_cache(16)
def _directives(time_format: str) -> tuple[str, ...]:
    return tuple(re.findall(r"%(.)", time_format, re.DOTALL))


@lru_cache(16)
def _with_offset(time_format: str) -> str:
    """Return the format with offsets in place of names of zones."""
    return re.sub(r"%(.)", lambda found: "%z" if found[1] == "Z" else found[0], time_format, flags=re.DOTALL)


def _candidates(text: str, has_fraction: bool) -> list[tuple[str, int]]:
    """Return the text, and the text without the seventh to ninth digits of a fraction and those in nanoseconds."""
    found = [(text, 0)]
    for digits in list(_LONG_DIGITS.finditer(text))[::-1] if has_fraction else []:
        for count in (1, 2, 3):
            cut, end = digits.end() - count, digits.end()
            found.append((text[:cut] + text[end:], int(text[cut:end]) * 10 ** (3 - count)))
    return found


def _with_offsets(text: str) -> list[str]:
    """Return the text with each name of a zone replaced by its offset, the last name first."""
    return [
        text[: word.start()] + ZONE_NAMES[word[0].upper()] + text[word.end() :]
        for word in list(_ZONE_WORD.finditer(text))[::-1]
        if word[0].upper() in ZONE_NAMES
    ]


def _full_offset(text: str) -> str:
    """Return the text with the minutes of an offset like +02 at its end."""
    return re.sub(r"([+-][0-9]{2})$", r"\g<1>00", text)


def _unknown_zone(text: str, numeric: str) -> str | None:
    """Return the word of a text that stands where the name of a zone is expected; None: the fault is another."""
    for word in list(_ZONE_WORD.finditer(text))[::-1]:
        spelled = text[: word.start()] + "+0000" + text[word.end() :]
        for candidate, _ in _candidates(spelled, True):
            try:
                datetime.strptime(candidate, numeric)
            except ValueError:
                continue
            return word[0]
    return None
