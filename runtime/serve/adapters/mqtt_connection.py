"""The connection to an MQTT broker: one thread that connects, reads, writes, and connects again."""

from __future__ import annotations

import random
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Protocol

from ...common.errors import InputError, StepcellError
from .mqtt_client import CONNECT_TIMEOUT, connect, new_client, subscribe_options
from .mqtt_options import MqttOptions, import_paho
from .mqtt_sender import MqttSender

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

_SHORTEST_DELAY, _LONGEST_DELAY, _STABLE = 0.25, 30.0, 10.0  # seconds
_MOST_SENT = 65_535  # that a broker takes which does not say how many
_FATAL = frozenset((0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C))  # version, client id, password, not allowed, banned, method


class Subscriber(Protocol):
    """Takes messages of a connection. Everything is called in the thread of the connection."""

    @property
    def subscription(self) -> str:
        """Topic to subscribe to."""

    def matches(self, topic: str) -> bool:
        """Tell whether a message of `topic` is for it."""

    def connected(self, session_present: bool) -> None:
        """Take up a new connection; without a session the broker has kept nothing."""

    def received(self, message: MQTTMessage) -> None:
        """Take a message; `acknowledge` of the connection acknowledges it."""

    def tick(self) -> float:
        """Do what is due, and return in how many seconds to be called again, at the latest."""


class MqttConnection:
    """A connection that source, output and Home Assistant share.

    Each connection has a new client of paho: the number of a message is valid within one connection alone, and nothing
    of an earlier one may be mistaken for it.

    Attributes:
        options: The options.
        client_id: Names the session that the broker keeps.
        status: The topic under which status, watermarks and errors stand.
        sender: Sends messages; for the thread of the connection.
        is_connected: Whether there is a connection.
        problem: Why there is none; "": there is one.
        failure: Why there will be none any more; None: it is tried for ever.
    """

    def __init__(self, options: MqttOptions, client_id: str, tell: Callable[[str], None]) -> None:
        """Prepare a connection; the first user opens it.

        Raises:
            MissingPackageError, InputError, OptionError: paho-mqtt, the password or the certificates are missing.
        """
        import_paho()
        self.options, self.client_id = options, options.client_id or client_id
        self.status = options.status or f"stepcell/{self.client_id}"
        self.sender = MqttSender()
        self.is_connected, self.problem = False, "it is not connected yet"
        self.failure: StepcellError | None = None
        self._credentials = options.credentials()
        self._tls, self._tell = options.tls_context(), tell
        self._subscribers: list[Subscriber] = []
        self._client: Client | None = None
        self._work: deque[Callable[[], None]] = deque()
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._is_woken = False
        self._users, self._stopping, self._deadline = 0, False, 0.0
        self._was_connected, self._told = False, ""
        self._thread: Thread | None = None
        self._fail: Callable[[StepcellError], None] | None = None

    # Called from any thread.

    def add(self, subscriber: Subscriber) -> None:
        """Let a subscriber take messages; before `open`."""
        self._subscribers.append(subscriber)

    def open(self, fail: Callable[[StepcellError], None] | None = None) -> None:
        """Begin, or count another user of the connection; `fail` takes the error if there can be no connection."""
        self._users += 1
        self._fail = fail or self._fail
        if fail is not None and self.failure is not None:
            fail(self.failure)
        if self._thread is None:
            self._thread = Thread(target=self._run, name="stepcell-mqtt", daemon=True)
            self._thread.start()

    def post(self, function: Callable[[], None]) -> None:
        """Call a function in the thread of the connection, soon."""
        self._work.append(function)
        if not self._is_woken:
            self._is_woken = True
            with suppress(OSError):  # it is full, and so wakes
                self._waker.send(b"\0")

    def close(self, timeout: float = 5.0) -> None:
        """Send what there is, for at most `timeout` seconds; after the last user has closed it, take leave and end."""
        if self._thread is None:
            return
        self._deadline = self._deadline or time.monotonic() + timeout  # one for all users
        self._wait_until_sent(self._deadline)
        self._users -= 1
        if self._users > 0:
            return
        if self.is_connected:
            self.post(lambda: self.sender.publish(f"{self.status}/status", b"offline", retain=True))
            self._wait_until_sent(time.monotonic() + 1)
        self._stopping = True
        self.post(lambda: None)
        self._thread.join(CONNECT_TIMEOUT + 5)

    def _wait_until_sent(self, deadline: float) -> None:
        assert self._thread is not None
        is_sent = Event()

        def look() -> None:
            if self.sender.is_empty:
                is_sent.set()

        while self._thread.is_alive() and time.monotonic() < deadline and not is_sent.is_set():
            self.post(look)
            is_sent.wait(0.01)

    # Called in the thread of the connection.

    def acknowledge(self, client: Any, mid: int) -> bool:
        """Acknowledge the message `mid` that came by `client`; return False if that connection has gone."""
        current = self._client
        if current is None or client is not current or not self.is_connected:
            return False
        current.ack(mid, 1)
        return True

    def say_error(self, text: str) -> None:
        """Publish an error, JSON, that is no answer."""
        self.sender.publish(f"{self.status}/errors", text.encode())

    @property
    def client(self) -> Any:
        """The client of this connection, for `acknowledge`."""
        return self._client

    def _run(self) -> None:
        delay = _SHORTEST_DELAY
        try:
            while not self._stopping:
                began = time.monotonic()
                try:
                    self._serve(self._connect())
                except StepcellError:
                    raise
                except OSError as error:  # those of TLS and of names are of this kind
                    self._lose(str(error.strerror or error))
                self._lose(self.problem)
                delay = _SHORTEST_DELAY if time.monotonic() - began > _STABLE else min(delay * 2, _LONGEST_DELAY)
                self._wait(delay * random.uniform(0.75, 1.25))
        except StepcellError as error:
            self._end(error)
        except Exception as error:  # a fault of ours must not end in silence
            self._end(InputError(f"The connection to {self.options.address} has failed: {error!r}."))

    def _end(self, error: StepcellError) -> None:
        self._told = str(error)
        self._lose(str(error))
        self.failure = error
        if self._fail is None:  # there are outputs alone; the next answer ends the service
            self._tell(str(error))
        else:
            self._fail(error)

    def _connect(self) -> Client:
        client = self._client = new_client(self.client_id, f"{self.status}/status", self._credentials, self._tls)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_publish = self._on_message, self._on_publish
        client.on_subscribe = self._on_subscribe
        connect(client, self.options.host, self.options.port)
        return client

    def _serve(self, client: Client) -> None:
        """Read and write until the connection is lost."""
        found: Any = client.socket()
        if found is None:
            return
        quick = getattr(socket, "TCP_QUICKACK", None)
        with selectors.DefaultSelector() as selector:
            selector.register(found, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while self._is_current(client):
                if self._stopping:
                    self._take_leave(client)
                    return
                if client.want_write():
                    client.loop_write()
                    if not self._is_current(client):
                        return
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.want_write() else 0)
                if selector.get_key(found).events != events:
                    selector.modify(found, events)
                has_more = hasattr(found, "pending") and found.pending() > 0  # decrypted already
                timeout = 0.0 if has_more else self._tick()
                ready = {key.fileobj: mask for key, mask in selector.select(timeout)}
                if self._woken in ready:
                    self._do_work()
                if self._is_current(client) and (has_more or ready.get(found, 0) & selectors.EVENT_READ):
                    client.loop_read()
                    if quick is not None and self._is_current(client):
                        # A broker without set_tcp_nodelay waits for it before it sends more: 40 ms if it is delayed.
                        found.setsockopt(socket.IPPROTO_TCP, quick, 1)
                if self._is_current(client) and ready.get(found, 0) & selectors.EVENT_WRITE:
                    client.loop_write()
                if self._is_current(client):
                    client.loop_misc()

    def _is_current(self, client: Client) -> bool:
        return client is self._client and client.socket() is not None

    def _take_leave(self, client: Client) -> None:
        client.disconnect()
        deadline = time.monotonic() + 1
        while self._is_current(client) and client.want_write() and time.monotonic() < deadline:
            client.loop_write()
            time.sleep(0.001)

    def _wait(self, seconds: float) -> None:
        """Wait before the next try; what is posted meanwhile is done."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._stopping and (left := deadline - time.monotonic()) > 0:
                if selector.select(min(left, self._tick())):
                    self._do_work()

    def _tick(self) -> float:
        return min([1.0, *(subscriber.tick() for subscriber in self._subscribers)])

    def _do_work(self) -> None:
        with suppress(OSError):
            self._woken.recv(4096)
        self._is_woken = False  # before the work, so that what is posted meanwhile wakes again
        while self._work:
            self._work.popleft()()

    def _lose(self, reason: str) -> None:
        """Drop the connection, if there is one."""
        client, self._client = self._client, None
        if client is None:
            return
        self.is_connected, self.problem = False, reason
        self.sender.disconnected()
        client.on_disconnect = None
        if (found := client.socket()) is not None:
            found.close()
        if not self._stopping and reason != self._told:
            self._told = reason
            self._tell(f"MQTT: no connection to {self.options.address}: {reason}. Trying again.")

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            if reason.value in _FATAL and not self._was_connected:
                raise InputError(
                    f"{self.options.address} refuses the client {self.client_id}: {reason}. Check --mqtt-user, "
                    f"--mqtt-password-file and --mqtt-client-id."
                )
            self._lose(str(reason))
            return
        self.is_connected, self.problem, self._told = True, "", ""
        self._was_connected = self._was_connected or not self._subscribers
        self._tell(
            f"MQTT: connected to {self.options.address} as {self.client_id}; its status, watermarks and errors are "
            f"under {self.status}/"
        )
        for subscriber in self._subscribers:
            client.subscribe(subscriber.subscription, options=subscribe_options())
            subscriber.connected(flags.session_present)
        window = getattr(properties, "ReceiveMaximum", _MOST_SENT)
        self.sender.connected(client, window, (f"{self.status}/status", b"online"))

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if client is self._client:
            self._lose(str(reason) if flags.is_disconnect_packet_from_server else "it was lost")

    def _on_subscribe(self, client: Any, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        refused = [reason for reason in reasons if reason.is_failure]
        if refused:
            topics = " or ".join(each.subscription for each in self._subscribers)
            problem = f"{self.options.address} does not let {self.client_id} subscribe to {topics}: {refused[0]}"
            if not self._was_connected:
                raise InputError(f"{problem}.")
            self._lose(problem)
        self._was_connected = True

    def _on_message(self, client: Any, data: Any, message: MQTTMessage) -> None:
        topic = ""
        with suppress(UnicodeDecodeError):
            topic = message.topic
        for subscriber in self._subscribers:
            if topic and subscriber.matches(topic):
                subscriber.received(message)
                return
        if message.qos:  # of a subscription of former options, which the session has kept
            self.acknowledge(client, message.mid)

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._lose(f"it does not take {self.sender.topic(mid)} ({reason})")
        else:
            self.sender.acknowledged(mid)
