"""Messages on their way to a broker: in order, a limited number at a time, kept until they are acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOST_SENT = 64  # messages that are sent before the first of them is acknowledged, if the broker takes so many


@dataclass(slots=True)
class _Message:
    topic: str
    payload: bytes
    retain: bool
    done: Callable[[], None] | None


class MqttSender:
    """Sends messages with QoS 1. Everything is called in the thread of the connection.

    The window is kept here and not by paho, which looks through all its messages at each acknowledgement. After a
    connection is lost, what was not acknowledged is sent again by the next one, in order.
    """

    def __init__(self) -> None:
        """Begin without a connection."""
        self._client: Any = None
        self._window = 1
        self._queue: deque[_Message] = deque()
        self._sent: dict[int, _Message] = {}  # by number of the message in this connection
        self._latest: dict[str, bytes] = {}  # topic -> what is to be sent when the one before is acknowledged
        self._latest_sent: set[str] = set()

    @property
    def is_empty(self) -> bool:
        """Whether everything has been acknowledged."""
        return not self._queue and not self._sent and not self._latest

    def connected(self, client: Any, window: int, first: tuple[str, bytes]) -> None:
        """Send by `client`, at most `window` messages at a time; `first` is a topic and a retained message for it."""
        self._client, self._window = client, max(1, min(window, MOST_SENT))
        self._queue.appendleft(_Message(*first, True, None))
        self.send()

    def disconnected(self) -> None:
        """Keep what has not been acknowledged for the next connection."""
        self._client = None
        self._queue.extendleft(reversed(self._sent.values()))
        self._sent.clear()

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, done: Callable[[], None] | None = None
    ) -> None:
        """Send a message; `done` is called when the broker has acknowledged it."""
        self._queue.append(_Message(topic, payload, retain, done))
        self.send()

    def publish_latest(self, topic: str, payload: bytes) -> None:
        """Send a retained message of which only the latest counts: at most one of each topic is on its way."""
        self._latest[topic] = payload
        self.send()

    def acknowledged(self, mid: int) -> None:
        """Take the acknowledgement of a message."""
        message = self._sent.pop(mid, None)
        if message is not None and message.done is not None:
            message.done()
        self.send()

    def topic(self, mid: int) -> str:
        """Return the topic of a message that has been sent."""
        return self._sent[mid].topic if mid in self._sent else "a topic"

    def send(self) -> None:
        """Send what the window has room for."""
        while self._client is not None and len(self._sent) < self._window and (message := self._next()) is not None:
            info = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)
            self._sent[info.mid] = message

    def _next(self) -> _Message | None:
        if self._queue:
            return self._queue.popleft()
        topic = next((each for each in self._latest if each not in self._latest_sent), None)
        if topic is None:
            return None
        self._latest_sent.add(topic)
        return _Message(topic, self._latest.pop(topic), True, lambda: self._latest_sent.discard(topic))
