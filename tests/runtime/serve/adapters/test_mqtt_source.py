"""What a source by MQTT acknowledges, keeps and says, step by step, without a broker."""

from __future__ import annotations

import json
from types import SimpleNamespace

from stepcell.runtime.serve.adapters import mqtt
from stepcell.runtime.serve.adapters.base import GAP, NOT_STARTED, REFUSED, REPEATED, SKIPPED, STEPPED, Inbox, Outcome
from stepcell.runtime.serve.adapters.mqtt import MOST_HELD, MqttSource
from stepcell.runtime.serve.adapters.mqtt_topics import TopicTemplate


class Connection:
    """A connection that is lost and made again by the test."""

    status = "plant"

    def __init__(self):
        self.client, self.acknowledged, self.errors, self.watermarks = object(), [], [], {}
        self.sender = SimpleNamespace(publish_latest=self.watermarks.__setitem__)

    def add(self, subscriber):
        pass

    def open(self, fail):
        pass

    def post(self, function):
        function()

    def acknowledge(self, client, mid):
        if client is self.client:
            self.acknowledged.append(mid)
        return client is self.client

    def say_error(self, text):
        self.errors.append(json.loads(text))


class Reading:
    """A source, what its inbox gets, and what became of it."""

    def __init__(self, most=4096):
        self.connection, self.inbox = Connection(), Inbox(most)
        self.source = MqttSource(self.connection, TopicTemplate("in/{stream}", "--mqtt-in"), dict)
        self.source.start(self.inbox, None)

    def receive(self, mid, payload, *, dup=False, qos=1, topic="in/a"):
        message = SimpleNamespace(mid=mid, payload=payload.encode(), dup=dup, qos=qos, topic=topic)
        self.source.received(message)

    def take(self):
        found = []
        while (entry := self.inbox.take(0)) is not None:
            if entry[0] is not None:
                self.inbox.taken(len(entry[1]))
                found += entry[1]
        return found

    def contents(self):
        return [each.content.decode() for each in self.take()]

    def end(self, incoming, kind=STEPPED, seq=None, code=None, expected=None):
        answer = json.dumps({"stream": "a", "seq": seq, "code": code, "expected": expected})
        self.source.committed([Outcome(incoming, kind, answer, "a", seq, code, expected)])

    def lose(self, *, session_present):
        self.connection.client = object()
        self.connection.acknowledged.clear()
        self.source.connected(session_present)

    @property
    def acknowledged(self):
        return self.connection.acknowledged


def test_a_message_is_acknowledged_when_its_record_is_kept_and_not_before():
    reading = Reading()
    for mid, kind in enumerate((STEPPED, REPEATED, SKIPPED), 7):
        reading.receive(mid, "x")
        (incoming,) = reading.take()
        assert (incoming.content, incoming.stream) == (b"x", "a")
        assert mid not in reading.acknowledged
        reading.end(incoming, kind)
        assert reading.acknowledged[-1] == mid


def test_a_message_of_a_lost_connection_is_acknowledged_when_it_comes_again():
    reading = Reading()
    reading.receive(1, "x")
    reading.receive(2, "y")
    kept, waiting = reading.take()
    reading.connection.client = None  # the connection is lost
    reading.end(kept)
    reading.lose(session_present=True)
    assert reading.acknowledged == []
    reading.receive(1, "x", dup=True)
    assert reading.acknowledged == [1]
    reading.receive(2, "y", dup=True)
    assert reading.take() == []
    reading.end(waiting)
    assert reading.acknowledged == [1, 2]


def test_a_number_that_a_broker_without_the_session_gives_again_is_another_message():
    reading = Reading()
    reading.receive(1, "old")
    (old,) = reading.take()
    reading.lose(session_present=False)
    reading.receive(1, "new", dup=True)
    assert [each.content for each in reading.take()] == [b"new"]
    reading.end(old)
    assert reading.acknowledged == []


def test_a_message_behind_a_gap_is_tried_again_as_soon_as_the_missing_one_is_kept():
    reading = Reading()
    for mid in (3, 4, 5):
        reading.receive(mid, str(mid))
    for incoming in reading.take():
        reading.end(incoming, REFUSED, int(incoming.content), GAP, 2)
    assert (reading.acknowledged, len(reading.connection.errors)) == ([], 1)
    reading.receive(6, "2")
    (missing,) = reading.take()
    reading.end(missing, STEPPED, 2)
    assert reading.acknowledged == [6]
    assert reading.contents() == ["3", "4", "5"]
    assert json.loads(reading.connection.watermarks["plant/watermarks/a"]) == {"stream": "a", "seq": 2}


def test_a_message_behind_a_gap_that_its_sender_repeats_is_kept_once():
    reading = Reading()
    for mid in (1, 2):
        reading.receive(mid, "3")
        (incoming,) = reading.take()
        reading.end(incoming, REFUSED, 3, GAP, 2)
    assert reading.acknowledged == [1]


def test_what_no_waiting_helps_is_said_and_acknowledged():
    reading = Reading()
    reading.receive(1, "x")
    (incoming,) = reading.take()
    reading.end(incoming, REFUSED, 1, NOT_STARTED)
    assert reading.acknowledged == [1]
    reading.receive(0, "x", qos=0)
    (incoming,) = reading.take()
    reading.end(incoming, REFUSED, 7, GAP, 1)
    assert [(each["code"], each["dropped"]) for each in reading.connection.errors] == [(NOT_STARTED, True), (GAP, True)]


def test_more_than_the_window_of_a_broker_is_never_held():
    reading = Reading()
    for mid in range(MOST_HELD + 5):
        reading.receive(mid, "x")
        (incoming,) = reading.take()
        reading.end(incoming, REFUSED, mid + 3, GAP, 2)
    assert reading.acknowledged == list(range(MOST_HELD, MOST_HELD + 5))
    assert [each["dropped"] for each in reading.connection.errors] == [False, True]


def test_a_message_that_was_refused_for_another_reason_is_tried_again_after_a_while(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(mqtt, "time", SimpleNamespace(monotonic=lambda: now[0]))
    reading = Reading()
    for mid, seq in ((1, None), (2, 9)):
        reading.receive(mid, "x")
        (incoming,) = reading.take()
        reading.end(incoming, REFUSED, seq, "backend")
    reading.source.tick()
    assert (reading.take(), reading.acknowledged) == ([], [])
    now[0] += 60
    reading.source.tick()
    again = reading.take()
    assert len(again) == 2
    for incoming in again:
        reading.end(incoming)
    assert sorted(reading.acknowledged) == [1, 2]


def test_a_full_inbox_is_filled_in_order_when_there_is_room():
    reading = Reading(most=2)
    for mid in range(5):
        reading.receive(mid, str(mid))
    assert reading.source.tick() < 0.1
    found = []
    for _ in range(5):
        _, records = reading.inbox.take(0)
        reading.inbox.taken(len(records))
        found += records
        reading.source.tick()
    assert [each.content for each in found] == [b"0", b"1", b"2", b"3", b"4"]
    assert reading.source.tick() == 1.0


def test_a_source_that_is_stopped_takes_nothing_and_acknowledges_nothing_new():
    reading = Reading()
    reading.receive(1, "x")
    (incoming,) = reading.take()
    reading.source.stop()
    reading.receive(2, "y")
    assert reading.take() == []
    reading.end(incoming)
    assert reading.acknowledged == [1]
