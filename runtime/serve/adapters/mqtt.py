"""Records that come by MQTT, and answers that go by it."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from ...common.errors import OutputError
from ..lines import LONGEST
from .base import NOT_STARTED, REFUSED, REPEATED, Answered, Cursor, Inbox, Incoming, Json, Outcome
from .mqtt_client import RECEIVE_MAXIMUM
from .mqtt_connection import MqttConnection
from .mqtt_topics import TopicTemplate, encode_name

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

MOST_HELD = RECEIVE_MAXIMUM // 2  # messages behind a gap; more, and there is no room for the one that is missing
MOST_WAITING = 100_000  # answers in memory for a broker that is away; then no more records are taken
_RETRY = 5.0  # seconds after which the first message behind a gap is tried again, though its stream has not moved here
_FULL = 0.01  # seconds until a full inbox is tried again


class _Delivery:
    """A message that the broker has not been told of; `mid` is its number in the connection of `client`."""

    __slots__ = ("client", "is_done", "mid")

    def __init__(self, client: Any, mid: int) -> None:
        self.client, self.mid, self.is_done = client, mid, False


class MqttSource:
    """Reads the topics of a template. A message is acknowledged after its state and answer have been kept.

    A refused message is neither acknowledged nor lost: it is kept here, and tried again. One behind a gap is tried when
    its stream has moved to its number. What is not public runs in the thread of the connection.
    """

    can_wait = True

    def __init__(
        self, connection: MqttConnection, template: TopicTemplate, watermarks: Callable[[Any], Mapping[str, int]]
    ) -> None:
        """Read the topics of `template`; `watermarks` returns the last number of each stream of a `Service`."""
        self.name = f"mqtt:{template.text}"
        self.subscription, self.matches = template.subscription, template.matches
        self._connection, self._template, self._ask = connection, template, watermarks
        self._inbox: Inbox | None = None
        self._stopped = self._asks = False
        self._arrived: deque[Incoming] = deque()  # what the inbox has not taken yet
        self._open: dict[int, _Delivery] = {}  # by number of the message: what the broker keeps for us
        self._held: dict[str, dict[int, Incoming]] = {}  # stream -> seq -> message that was refused
        self._later: deque[Incoming] = deque()  # refused messages without a number
        self._held_count = 0
        self._said: dict[str | None, tuple[str | None, int | None, bool]] = {}  # stream -> the last error of it
        self._retry_at = 0.0
        connection.add(self)

    def start(self, inbox: Inbox, position: Json) -> None:
        """See `Source.start`; the broker knows where to go on."""
        self._inbox = inbox
        self._connection.open(partial(inbox.fail, self))

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """See `Source.committed`."""
        self._connection.post(partial(self._settle, outcomes))

    def stop(self) -> None:
        """See `Source.stop`; what comes from now on is not acknowledged, and comes again."""
        self._stopped = True

    def close(self) -> None:
        """See `Source.close`."""
        self._connection.close()

    def connected(self, session_present: bool) -> None:
        """See `Subscriber.connected`."""
        if not session_present:  # numbers of messages begin anew, and the retained watermarks may be gone
            self._open.clear()
            self._asks = True

    def received(self, message: MQTTMessage) -> None:
        """See `Subscriber.received`."""
        if self._stopped:
            return
        client, delivery = self._connection.client, None
        if message.qos:
            known = self._open.get(message.mid) if message.dup else None
            if known is not None:  # it is here already, or has been stepped and could not be acknowledged
                known.client = client
                if known.is_done:
                    self._acknowledge(known)
                return
            delivery = self._open[message.mid] = _Delivery(client, message.mid)
        content, error = bytes(message.payload).rstrip(b"\r\n"), None
        if len(content) > LONGEST:
            content, error = b"", f"The message is longer than {LONGEST:,} bytes."
        self._arrived.append(Incoming(content, self._template.stream(message.topic), token=delivery, error=error))
        self._put()

    def tick(self) -> float:
        """See `Subscriber.tick`."""
        if self._asks and self._inbox is not None:
            self._asks = False
            self._inbox.call(self._ask).add_done_callback(self._answered)
        now = time.monotonic()
        if self._held_count and now >= self._retry_at:  # another source may have moved the stream, or it was forgotten
            self._retry_at = now + _RETRY
            for stream, held in list(self._held.items()):
                self._release(stream, min(held))
            self._held_count -= len(self._later)
            self._arrived.extend(self._later)
            self._later.clear()
        self._put()
        return _FULL if self._arrived else 1.0

    def _put(self) -> None:
        while self._arrived and self._inbox is not None and self._inbox.try_put(self, (self._arrived[0],)):
            self._arrived.popleft()

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        moved: dict[str, int] = {}
        for outcome in outcomes:
            stream, seq = outcome.stream, outcome.seq
            if outcome.kind == REFUSED:
                self._hold(outcome)
                continue
            self._acknowledge(outcome.incoming.token)
            if stream is not None and seq is not None:
                if outcome.kind != REPEATED:
                    moved[stream] = seq
                    self._said.pop(stream, None)
                if stream in self._held:
                    self._release(stream, seq + 1)
        self._publish_watermarks(moved)
        self._put()

    def _hold(self, outcome: Outcome) -> None:
        """Keep a refused message, and say so once."""
        stream, seq, incoming = outcome.stream, outcome.seq, outcome.incoming
        # Without an acknowledgement to wait with, or where waiting does not help, it is over. Nor may the window of
        # the broker fill with held messages: then the one that is missing could not come.
        is_over = incoming.token is None or outcome.code == NOT_STARTED or self._held_count >= MOST_HELD
        said = (outcome.code, outcome.expected, is_over)
        if self._said.get(stream) != said:
            self._said[stream] = said
            self._connection.say_error(json.dumps({**outcome.values, "dropped": is_over}, ensure_ascii=False))
        if not self._held_count:
            self._retry_at = time.monotonic() + _RETRY
        if is_over:
            self._acknowledge(incoming.token)
        elif stream is None or seq is None:
            self._later.append(incoming)
            self._held_count += 1
        else:
            before = self._held.setdefault(stream, {}).get(seq)
            self._held[stream][seq] = incoming
            if before is None:
                self._held_count += 1
            elif before.token is not incoming.token:  # its sender has sent it again
                self._acknowledge(before.token)

    def _release(self, stream: str, seq: int) -> None:
        """Try messages of a stream again: those up to `seq`, and the ones that follow without a gap."""
        held = self._held[stream]
        for number in sorted(held):
            if number > seq:
                break
            self._arrived.append(held.pop(number))
            self._held_count -= 1
            seq = max(seq, number + 1)
        if not held:
            del self._held[stream]

    def _acknowledge(self, delivery: _Delivery | None) -> None:
        if delivery is None:
            return
        delivery.is_done = True
        if self._connection.acknowledge(delivery.client, delivery.mid) and self._open.get(delivery.mid) is delivery:
            del self._open[delivery.mid]

    def _answered(self, asked: Future[Mapping[str, int]]) -> None:
        if not asked.cancelled() and asked.exception() is None:
            self._connection.post(partial(self._publish_watermarks, asked.result()))

    def _publish_watermarks(self, numbers: Mapping[str, int]) -> None:
        for stream, seq in numbers.items():
            topic = f"{self._connection.status}/watermarks/{encode_name(stream)}"
            self._connection.sender.publish_latest(topic, json.dumps({"stream": stream, "seq": seq}).encode())


class MqttOutput:
    """Publishes answers with QoS 1. All answers of a group are delivered when the broker has acknowledged them."""

    name = "mqtt-out"

    def __init__(self, connection: MqttConnection, template: TopicTemplate) -> None:
        """Publish the answer of a stream on its topic of `template`."""
        self._connection, self._template = connection, template
        self._cursor = Cursor(0)
        self._given = self._taken = 0  # numbers of answers
        self._is_starting = True
        self._groups: deque[list[int]] = deque()  # number of each group, and of its answers that are on their way

    def start(self, cursor: Cursor) -> None:
        """See `Output.start`."""
        self._cursor = cursor
        self._connection.open()

    def deliver(self, group: int, answers: Sequence[Answered]) -> None:
        """See `Output.deliver`; an answer that the broker does not take stays in the store."""
        connection = self._connection
        if connection.failure is not None:
            raise connection.failure
        if (
            not self._is_starting and self._given - self._taken > MOST_WAITING
        ):  # they are in the store, and need not fill the memory too
            reason = connection.problem or "it is slower than they come"
            raise OutputError(f"{MOST_WAITING:,} answers wait for {connection.options.address} ({reason}).")
        self._given += len(answers)
        connection.post(partial(self._publish, group, answers))

    def cursor(self) -> Cursor:
        """See `Output.cursor`; it is asked for when what was left from before has been given."""
        self._is_starting = False
        return self._cursor

    def close(self) -> None:
        """See `Output.close`; waits for the broker for a few seconds."""
        self._connection.close()

    def _publish(self, group: int, answers: Sequence[Answered]) -> None:
        entry = [group, len(answers)]
        self._groups.append(entry)
        for answer in answers:
            done = partial(self._published, entry)
            is_event = answer.text.startswith('{"event":')  # of the service, not of a stream
            topic = f"{self._connection.status}/events" if is_event else self._template.topic(answer.stream)
            self._connection.sender.publish(topic, answer.text.encode(), done=done)
        self._advance()

    def _published(self, entry: list[int]) -> None:
        self._taken += 1
        entry[1] -= 1
        self._advance()

    def _advance(self) -> None:
        while self._groups and self._groups[0][1] == 0:
            self._cursor = Cursor(self._groups.popleft()[0])
