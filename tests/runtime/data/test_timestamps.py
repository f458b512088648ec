"""Times of every common spelling are read to the nanosecond, alike on every Python, or refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import EventsReader
from stepcell.runtime.data.time_format import is_time_of_day
from stepcell.runtime.data.timestamps import ClockTime, Instant, OrderColumn, TimeReader, guess_unit, iso_of, read_iso

DAY = 86_400 * 10**9
NEW_YEAR = 1_704_067_200 * 10**9  # 2024


def read(cells, **options):
    reader = TimeReader(**options)
    return [reader.read(cell) for cell in cells]


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)), st.integers(-1439, 1439), st.sampled_from("T "))
def test_any_time_that_python_writes_is_read_as_python_means_it(time, minutes, separator):
    aware = time.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    since = (aware - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    assert read([aware.isoformat(separator)]) == [since * 1_000]
    shown, offset = read_iso(time.isoformat(separator))
    assert (iso_of(shown), offset) == (iso_of((time - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1_000), None)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("2024-01-01", 0),
        ("20240101T000001Z", 10**9),
        ("20240101T0001", 60 * 10**9),
        ("2024-01-01 02:00:00+02", 0),
        ("2024-01-01 02:00:00 +0200", 0),
        ("2024-01-01T00:00:00.1-00:00", 10**8),
        ("2024-01-01 00:00:00,500", 5 * 10**8),
        ("2024-01-01T00:00:00.0000001Z", 100),
        ("2024-01-01T00:00:00.123456789Z", 123_456_789),
        ("2024-01-01 00:00 UTC", 0),
        ("2023-12-31T24:00:00", 0),
        ("2024-W01-1T00:00", 0),
        ("2024-01-01T00", 0),
    ],
)
def test_a_time_has_many_spellings(text, nanoseconds):
    assert read([text]) == [NEW_YEAR + nanoseconds]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2024-13-01", "is not a time: month must be in 1..12"),
        ("2024-01-01 25:00", "25:00:00 is not a time of day"),
        ("2024-01-01T24:00:00.5", "24:00:00 is not a time of day"),
        ("2024-01-01T10:00:00.1234567890", "has 10 digits of a second; 9 of them can be kept"),
        ("2024-01-01T10:00+25:00", "is not an offset from UTC"),
        ("1.5.2024", "--time-format, for example '%d.%m.%Y %H:%M'"),
        ("1704067200,5", "write the decimal comma as a point: 1704067200.5"),
        ("", "nothing in the order column"),
        ("1_000", "is not a number or a time"),
    ],
)
def test_other_texts_are_refused(text, problem):
    with pytest.raises(ValueError, match=problem.replace("+", r"\+")):
        read([text])


def test_the_first_cell_decides_between_numbers_and_times():
    assert read(["3", "-1.5", 4, 2.5, " 7 "]) == [3, -1.5, 4, 2.5, 7]
    with pytest.raises(ValueError, match="is not a number, as the first value in its column is"):
        read(["3", "2024-01-01"])
    with pytest.raises(ValueError, match="is not a number"):
        read(["3", Instant(5)])
    with pytest.raises(ValueError, match="5 is not a time, as the first value in its column is"):
        read(["2024-01-01", 5])


@given(st.integers(-(10**9), 10**9), st.sampled_from(["ns", "us", "ms", "s", "min", "h", "d"]))
def test_numbers_with_a_unit_are_nanoseconds(number, unit):
    factor = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3_600 * 10**9, "d": DAY}[unit]
    assert read([str(number), number, float(number)], unit=unit) == [number * factor] * 3


def test_a_fraction_of_a_unit_is_kept():
    assert read(["1704067200.123456789", "1.5e3"], unit="s") == [NEW_YEAR + 123_456_789, 1_500 * 10**9]
    assert read([1704067200123.25], unit="ms") == [NEW_YEAR + 123_250_000]
    with pytest.raises(ValueError, match="is not a number, as --time-unit ms says"):
        read(["2024-01-01"], unit="ms")


def test_a_time_without_a_zone_is_one_of_the_named_zone_and_it_is_said():
    reader = TimeReader(zone="Europe/Berlin")
    hour = 3_600 * 10**9
    assert reader.read("2024-01-01 01:00") == reader.read(ClockTime(NEW_YEAR + hour)) == NEW_YEAR
    assert reader.read("2024-01-01T00:00Z") == reader.read(Instant(NEW_YEAR)) == NEW_YEAR
    assert reader.remarks() == ["times without a zone are read as Europe/Berlin"]
    assert reader.read("2024-10-27 02:30") < reader.read("2024-10-27 02:30+01:00")
    reader.read("2024-03-31 02:30")
    assert reader.remarks()[1:] == [
        "1 of them come twice, because the clock is set back; the first is meant",
        "1 of them do not exist, because the clock is set forward",
    ]
    plain = TimeReader()
    plain.read("2024-01-01")
    assert plain.remarks() == ["times without a zone are read as UTC; --time-zone names another"]
    with pytest.raises(CorpusError, match="There is no time zone 'Berlin' here"):
        TimeReader(zone="Berlin")


@pytest.mark.parametrize(
    ("text", "time_format", "nanoseconds"),
    [
        ("01.01.2024 00:00:00.123456789", "%d.%m.%Y %H:%M:%S.%f", 123_456_789),
        ("01.01.2024 00:00:00.1234567", "%d.%m.%Y %H:%M:%S.%f", 123_456_700),
        ("20240101000000123456789", "%Y%m%d%H%M%S%f", 123_456_789),
        ("2024-01-01 00:00:00.5", "%Y-%m-%d %H:%M:%S.%f", 500_000_000),
        ("Sun, 31 Dec 2023 19:00:00 EST", "%a, %d %b %Y %H:%M:%S %Z", 0),
        ("2024-01-01 00:00 utc", "%Y-%m-%d %H:%M %Z", 0),
        ("2024-01-01 02:00+02", "%Y-%m-%d %H:%M%z", 0),
        ("2024-01-01 02:00+0200", "%Y-%m-%d %H:%M%z", 0),
    ],
)
def test_formats_keep_nanoseconds_and_zones(text, time_format, nanoseconds, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    assert read([text], time_format=time_format) == [NEW_YEAR + nanoseconds]


def test_a_zone_whose_name_has_several_meanings_is_refused():
    with pytest.raises(ValueError, match="has the zone 'CET'.*Write offsets \\(%z\\), or .*--time-zone"):
        read(["2024-01-01 00:00 CET"], time_format="%Y-%m-%d %H:%M %Z")
    with pytest.raises(ValueError, match="'soon' is not %Y %Z"):
        read(["soon"], time_format="%Y %Z")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"time_format": "%b %d %H:%M:%S"}, "has no year, so January would come before December"),
        ({"time_format": "%s"}, "%s, which is no directive of strptime"),
        ({"time_format": "now"}, "has no directive like %Y"),
        ({"time_format": "%Y", "time_unit": "s"}, "give one of them"),
        ({"time_unit": "w"}, "the time unit is 'w', not one of ns, us, ms, s, min, h, d"),
    ],
)
def test_formats_and_units_that_make_no_sense_are_refused(options, problem):
    with pytest.raises(CorpusError, match=problem):
        EventsReader("what", order="time", **options)
    assert is_time_of_day("%H:%M %Z")
    assert not is_time_of_day("%d %H:%M")


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (1_704_067_200, "seconds since 1970: --time-unit s"),
        (1_704_067_200_000, "milliseconds since 1970: --time-unit ms"),
        (1_704_067_200_000_000, "microseconds since 1970: --time-unit us"),
        (1_704_067_200_000_000_000, "nanoseconds since 1970: --time-unit ns"),
        (20_240_101, "--time-format %Y%m%d"),
        (20_240_101_101_500, "--time-format %Y%m%d%H%M%S"),
        (17, "for example --time-unit s"),
    ],
)
def test_the_unit_of_numbers_is_guessed_from_their_size(value, advice):
    column = OrderColumn()
    column.append(value)
    assert advice in guess_unit(column.values())
