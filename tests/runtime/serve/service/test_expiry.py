"""Streams that were not used for a long time are forgotten, and begin anew if they come back."""

from __future__ import annotations

import sqlite3
import time

import pytest
from support.models import DATA
from support.serving import ListOutput, ListSource, new_service, serve_records

from stepcell.runtime import load
from stepcell.runtime.common.errors import OptionError, OutputError
from stepcell.runtime.serve.service import expiry as module
from stepcell.runtime.serve.service.expiry import Expiry
from stepcell.runtime.serve.service.options import ServeOptions
from stepcell.runtime.serve.service.store import ServiceStore

MODEL = load(DATA / "memory.tflite", backend="numpy")
DAY = 86_400.0


class Clocks:
    """A clock that can be set, and one that cannot."""

    def __init__(self):
        self.wall, self.steady = time.time(), 1000.0

    def go(self, seconds):
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def store(tmp_path):
    return tmp_path / "state.db"


def record(stream, symbol, seq=None):
    return {"stream": stream, "symbol": symbol, **({} if seq is None else {"seq": seq})}


def made_older(store, seconds, key=None):
    with sqlite3.connect(store) as database:
        chosen = "" if key is None else f" WHERE key = CAST('{key}' AS BLOB)"
        database.execute(f"UPDATE streams SET used = used - {seconds}{chosen}")


def keys(opened):
    return set(opened.keys())


@pytest.fixture
def opened(store):
    """A store of the streams "old", not used for ten days, and "new"."""
    serve_records(store, [record("old", "3", 7), record("new", "4", 1)], MODEL)
    made_older(store, 10 * DAY, "old")
    with ServiceStore(store, MODEL.file) as found:
        yield found


def expiry_of(opened, seconds, clocks):
    service = new_service(MODEL, opened, [ListSource([])], [ListOutput()], forget_after="9d")
    return service, Expiry(service, seconds, lambda: clocks.wall, lambda: clocks.steady)


def test_a_stream_that_was_not_used_is_forgotten_and_counted(opened):
    clocks = Clocks()
    service, expiry = expiry_of(opened, 9 * DAY, clocks)
    expiry.look()
    assert keys(opened) == {"old", "new"}  # the clock may be set in the first minute
    clocks.go(60)
    expiry.look()
    assert keys(opened) == {"new"}
    assert service.status.forgotten == 1
    assert service.told == ["Streams that were not used for 9d are forgotten."]


def test_a_stream_that_comes_back_begins_anew_and_its_first_number_counts(store):
    serve_records(store, [record("a", "4", 7), record("a", "0", 8)], MODEL)
    made_older(store, DAY)
    clocks = Clocks()
    with ServiceStore(store, MODEL.file) as opened:
        _, expiry = expiry_of(opened, 3600, clocks)
        clocks.go(180)
        expiry.look()
    (answer,) = serve_records(store, [record("a", "4", 2)], MODEL)
    assert (answer["seq"], answer["probability"]) == (2, round(MODEL.stream().step("4").probability, 6))


def test_streams_in_memory_are_forgotten_there_too(opened):
    clocks = Clocks()
    service, expiry = expiry_of(opened, 9 * DAY, clocks)
    assert service.engine.streams.known("old") is not None
    clocks.go(60)
    expiry.look()
    assert service.engine.streams.known("old") is None
    assert service.engine.streams.known("new") is not None


def test_many_streams_are_forgotten_a_few_at_a_time(opened, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 10)
    one = opened.get("old")
    opened.put({str(number): one for number in range(25)})
    opened.database.execute(f"UPDATE streams SET used = used - {10 * DAY} WHERE key <> CAST('new' AS BLOB)")
    clocks = Clocks()
    service, expiry = expiry_of(opened, 9 * DAY, clocks)
    clocks.go(60)
    left = []
    for _ in range(4):
        expiry.look()
        left.append(len(keys(opened)))
    assert left == [17, 7, 1, 1]
    assert service.status.forgotten == 26


def test_a_stream_that_moves_meanwhile_stays(opened, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 1)
    opened.put({"other": opened.get("old")})
    opened.database.execute(f"UPDATE streams SET used = used - {10 * DAY}")
    clocks = Clocks()
    service, expiry = expiry_of(opened, 9 * DAY, clocks)
    clocks.go(60)
    expiry.look()
    (moved, kept) = sorted(keys(opened))[:2]
    service.engine.streams.note(moved)
    service.engine.streams.touch(moved)  # stepped, and not kept yet
    opened.put({kept: opened.get(kept)})  # used again since the search
    for _ in range(3):
        expiry.look()
    assert keys(opened) == {moved, kept}


@pytest.mark.parametrize("jump", [365 * DAY, 20_000 * DAY])
def test_a_clock_that_is_set_forward_makes_no_stream_older(store, jump):
    """A machine without a battery begins in the past, steps, and reaches a time server."""
    clocks = Clocks()
    clocks.wall -= jump
    serve_records(store, [record("before", "3")], MODEL)
    with ServiceStore(store, MODEL.file) as opened:
        service, expiry = expiry_of(opened, 30 * DAY, clocks)
        clocks.go(10)
        opened.put({"now": opened.get("before")})
        opened.database.execute("UPDATE streams SET used = ? WHERE key = CAST('now' AS BLOB)", (clocks.wall,))
        clocks.go(20)
        clocks.wall += jump
        for _ in range(3):
            clocks.go(3600)
            expiry.look()
        assert keys(opened) == {"before", "now"}
        clocks.go(31 * DAY)
        expiry.look()
        assert keys(opened) == set()
        assert service.status.forgotten == 2


def test_after_a_clock_was_set_back_streams_stay_for_longer(opened):
    clocks = Clocks()
    _, expiry = expiry_of(opened, 9 * DAY, clocks)
    clocks.go(30)
    clocks.wall -= 5 * DAY
    clocks.go(4000)
    expiry.look()
    assert keys(opened) == {"old", "new"}
    clocks.go(6 * DAY)
    expiry.look()
    assert keys(opened) == {"new"}


def test_a_store_that_cannot_be_written_keeps_its_streams_and_the_service_goes_on(opened):
    clocks = Clocks()
    service, expiry = expiry_of(opened, 9 * DAY, clocks)
    clocks.go(60)

    def full(statements):
        raise OutputError("Cannot use the store: disk full.")

    write, service.write = service.write, full
    expiry.look()
    assert (keys(opened), service.status.forgotten) == ({"old", "new"}, 0)
    service.write = write
    clocks.go(DAY)
    expiry.look()
    assert keys(opened) == {"new"}


def test_the_time_is_one_with_a_unit(tmp_path):
    assert ServeOptions(tmp_path, forget_after="1.5h").forget_after_seconds == 5400
    for wrong in ("30", "soon", "-1d"):
        with pytest.raises(OptionError, match=f"--forget-after: '{wrong}' is no time"):
            ServeOptions(tmp_path, forget_after=wrong)


def test_while_a_new_model_takes_over_nothing_is_forgotten(opened):
    clocks = Clocks()
    service, expiry = expiry_of(opened, 9 * DAY, clocks)
    clocks.go(60)
    service.handover = object()
    expiry.look()
    assert keys(opened) == {"old", "new"}
    service.handover = None
    expiry.look()
    assert keys(opened) == {"new"}
