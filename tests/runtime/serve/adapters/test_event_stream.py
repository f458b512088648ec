"""Answers as server-sent events."""

from __future__ import annotations

import json
import socket
import time

import pytest
from support.http_serving import HttpService
from support.models import DATA

from stepcell.runtime import load
from stepcell.runtime.serve.adapters import event_stream, http_api

MODEL = load(DATA / "memory.tflite", backend="numpy")


@pytest.fixture
def served(tmp_path):
    with HttpService(tmp_path / "state.db", MODEL) as served:
        yield served


class Events:
    """The events of a request, one after the other: (id, data)."""

    def __init__(self, served, query="", last_id=""):
        self.connection = served.connect()
        headers = {"Last-Event-ID": last_id} if last_id else {}
        self.connection.request("GET", f"/v1/answers{query}", headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        assert self.response.getheader("content-type") == "text/event-stream; charset=utf-8"

    def lines(self):
        found = []
        while (line := self.response.readline()) != b"\n":
            if not line:
                raise EOFError
            found.append(line.decode().rstrip("\n"))
        return found

    def __next__(self):
        while True:
            fields = dict(line.split(": ", 1) for line in self.lines() if not line.startswith(":"))
            if "data" in fields:
                return fields.get("id"), fields["data"]

    def next(self, count):
        return [next(self) for _ in range(count)]

    def close(self):
        self.connection.close()


def step(served, stream, *symbols):
    """Step symbols one by one; return the texts of the answers."""
    return [served.raw("POST", f"/v1/streams/{stream}/step", {"symbol": symbol})[1].decode() for symbol in symbols]


def test_a_reader_gets_the_answers_of_all_streams_as_they_are(served):
    events = Events(served)
    texts = [*step(served, "press", "3", "x"), *step(served, "saw", "4")]
    assert [text for _, text in events.next(3)] == texts
    assert json.loads(texts[1])["code"] == "unknown-symbol"


def test_a_reader_of_one_stream_gets_the_answers_of_that_stream(served):
    events = Events(served, "?stream=saw")
    step(served, "press", "3", "0")
    (text,) = step(served, "saw", "4")
    assert next(events)[1] == text


def test_repeats_and_refused_records_are_no_events(served):
    events = Events(served)
    path = "/v1/streams/press/step"
    first = served.raw("POST", path, {"seq": 1, "symbol": "3"})[1].decode()
    served.raw("POST", path, {"seq": 1, "symbol": "3"})
    served.raw("POST", path, {"seq": 9, "symbol": "3"})
    last = served.raw("POST", path, {"seq": 2, "symbol": "0"})[1].decode()
    assert [text for _, text in events.next(2)] == [first, last]


def test_a_reader_that_comes_back_goes_on_where_it_was(served):
    events = Events(served)
    texts = step(served, "press", *"3012")
    last_id = events.next(2)[1][0]
    events.close()
    texts += step(served, "press", "4")
    again = Events(served, last_id=last_id)
    assert [text for _, text in again.next(3)] == texts[2:]


def test_a_reader_of_an_earlier_run_gets_all_of_this_run(served):
    texts = step(served, "press", *"301")
    assert [text for _, text in Events(served, last_id="0123abcd-7").next(3)] == texts


def test_a_reader_may_begin_with_the_last_answers(served):
    before = Events(served)
    texts = step(served, "press", *"3012")
    before.next(4)  # the last event may come after the response
    assert [text for _, text in Events(served, "?last=2").next(2)] == texts[-2:]
    events = Events(served)
    texts = step(served, "press", "4")
    assert next(events)[1] == texts[0]
    assert served.ask("GET", "/v1/answers?last=-1")[0] == 400


def test_there_is_a_sign_of_life(served, monkeypatch):
    monkeypatch.setattr(event_stream, "BEAT_SECONDS", 0.05)
    events = Events(served)
    assert events.lines() == ["retry: 1000"]
    assert events.lines() == [": alive"]


def test_the_end_of_the_service_ends_the_events(served):
    events = Events(served)
    texts = step(served, "press", "3")
    served.stop()
    assert next(events)[1] == texts[0]
    with pytest.raises((EOFError, ConnectionError, ValueError)):
        next(events)


def test_readers_that_have_gone_are_forgotten_and_there_may_be_only_so_many(served, monkeypatch):
    monkeypatch.setattr(http_api, "MOST_READERS", 2)
    events = [Events(served) for _ in range(2)]
    status, body, headers = served.raw("GET", "/v1/answers")
    assert (status, json.loads(body)["code"], headers["retry-after"]) == (503, "full", "1")
    events[0].close()
    begin = time.monotonic()
    while served.raw("GET", "/v1/status") and "stepcell_event_readers 2" in served.ask("GET", "/metrics")[1]:
        assert time.monotonic() - begin < 5
    Events(served)


def slow_reader(served, query):
    """A reader that takes nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(served.source.address)
    connection.sendall(f"GET /v1/answers{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    return connection


def flood(served):
    """Step records with long answers; yield the number of each round."""
    many = json.dumps([{"symbol": "3", "note": "x" * 10_000}] * 100)
    for number in range(100):
        assert served.raw("POST", "/v1/streams/press/step", many)[0] == 200
        yield number


def test_a_reader_that_does_not_read_is_dropped_and_disturbs_no_one(served):
    reader, other = slow_reader(served, ""), Events(served, "?stream=saw")
    for _ in flood(served):
        if "stepcell_event_readers_dropped_total 1" in served.ask("GET", "/metrics")[1]:
            break
    else:
        pytest.fail("it was not dropped")
    (text,) = step(served, "saw", "3")
    assert next(other)[1] == text
    reader.close()


@pytest.mark.slow
def test_a_reader_that_asks_for_the_newest_misses_some_in_place_of_being_dropped(served):
    reader = slow_reader(served, "?newest")
    for number in flood(served):
        if number == 40:  # 40 MB of answers: more than the system keeps for a connection
            break
    last = step(served, "press", "3")[0]
    assert "stepcell_event_readers_dropped_total 0" in served.ask("GET", "/metrics")[1]
    reader.settimeout(20)
    found, has_missed = b"", False
    while last.encode() not in found:
        found = found[-20_000:] + reader.recv(1 << 20)
        has_missed |= b"event: missed\ndata: " in found
    assert has_missed
    reader.close()
