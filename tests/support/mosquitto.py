"""A Mosquitto of its own for a test: on a free port of loopback, restarted or killed at will."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT = 20.0  # seconds for what takes milliseconds


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(condition: Callable[[], Any], what: str = "", seconds: float = WAIT) -> Any:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"this did not come within {seconds} s: {what or condition}")


class Broker:
    """A broker with persistence in `folder`; `lines` are added to its configuration."""

    def __init__(self, folder: Path, *lines: str, nodelay: bool = True) -> None:
        # Debian has it in /usr/sbin, which is not on the path of everybody.
        found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        assert found, "These tests need the broker mosquitto: apt-get install mosquitto (.ci/run does that)"
        self.port = free_port()
        configuration = folder / "mosquitto.conf"
        whole = [f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/"]
        whole += [f"set_tcp_nodelay {str(nodelay).lower()}", "user root" if os.getuid() == 0 else "", *lines]
        if not any(line.startswith("allow_anonymous") for line in lines):
            whole.append("allow_anonymous true")
        configuration.write_text("\n".join(whole) + "\n")
        self._command = [found, "-c", str(configuration)]
        self._log = folder / "mosquitto.log"
        self.start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_for(self._answers, f"mosquitto at port {self.port}: {self._log.read_text()}")

    def stop(self) -> None:
        """End it cleanly: it writes its sessions and retained messages. A signal right after its start may be lost."""

        def has_ended() -> bool:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            return self._process.returncode is not None

        wait_for(has_ended, "mosquitto ends")

    def kill(self) -> None:
        """End it so that it forgets everything since it was started."""
        self._process.kill()
        self._process.wait(WAIT)

    def freeze(self) -> None:
        """Let it keep its connections and do nothing, as a network that is gone."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def client(self, *topics: str, **more: Any) -> Peer:
        return Peer(self.port, *topics, **more)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class Peer:
    """Somebody else at a broker: it notes what is published, and publishes."""

    def __init__(
        self, port: int, *topics: str, user: str | None = None, password: str | None = None, client_id: str = ""
    ) -> None:
        self.messages: list[MQTTMessage] = []
        self._ready = 0
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(user, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_socket_open = lambda client, data, found: found.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self._client.on_message = lambda client, data, message: self.messages.append(message)
        self._client.on_connect = lambda client, *_: [client.subscribe(topic, qos=1) for topic in topics]
        self._client.on_subscribe = self._subscribed
        self._client.max_inflight_messages = 20
        properties = Properties(PacketTypes.CONNECT)
        if client_id:  # the broker keeps messages for it
            properties.SessionExpiryInterval = 3_600
        self._client.connect("127.0.0.1", port, clean_start=not client_id, properties=properties)
        self._client.loop_start()
        wait_for(lambda: self._client.is_connected() and self._ready >= len(topics), "a connection of the test")

    def _subscribed(self, *_: object) -> None:
        self._ready += 1

    @property
    def is_connected(self) -> bool:
        return bool(self._client.is_connected())

    def send(self, topic: str, payload: bytes | str) -> None:
        """Publish as soon as there is a connection."""
        self._client.publish(topic, payload, qos=1)

    def publish(self, topic: str, payload: bytes | str, qos: int = 1, retain: bool = False) -> None:
        """Publish, and wait until the broker has it."""
        self._client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(WAIT)

    def publish_all(self, messages: list[tuple[str, bytes | str]]) -> None:
        infos = [self._client.publish(topic, payload, qos=1) for topic, payload in messages]
        for info in infos:
            info.wait_for_publish(WAIT)

    def payloads(self, topic: str) -> list[bytes]:
        return [message.payload for message in list(self.messages) if message.topic == topic]

    def wait(self, topic: str, count: int = 1) -> list[bytes]:
        """Return the payloads of a topic once there are so many."""
        wait_for(lambda: len(self.payloads(topic)) >= count, f"{count} messages of {topic}, not {self.messages}")
        return self.payloads(topic)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
