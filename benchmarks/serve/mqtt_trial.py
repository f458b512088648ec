"""Records and answers by MQTT, while the server is killed and the broker restarted."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from trial import PATIENCE, STREAMS, Server, make_record, size, to_line, undisturbed, wait_for

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # of the package `support`

from support.mosquitto import Broker, Peer

SENT_AT_ONCE = 150


class MqttTrial:
    """A producer that follows the broker through its restarts, and a subscriber that the broker keeps answers for.

    All records have numbers, so that each is stepped once. Answers may come again, the same bytes. Within a stream they
    come in order.
    """

    may_repeat = False  # `answers` counts and drops repeats

    def __init__(self, folder: Path, seed: int) -> None:
        """Start a broker in `folder`."""
        self.random, self.folder, self.lines = random.Random(seed), folder, list[str]()
        place = folder / "broker"
        place.mkdir()
        # More messages wait than by default, or the broker would drop them while the server is down.
        self.broker = Broker(place, "max_queued_messages 0", "max_inflight_messages 200")
        self.subscriber = Peer(self.broker.port, "m/+/answers", client_id="reader")
        self.producer = Peer(self.broker.port)
        self.restarts = 0
        # A broker keeps nothing for a session that it does not know yet.
        with Peer(self.broker.port, "stepcell/+/status") as looker:
            server = Server(folder, self.options())
            if not wait_for(lambda: bool(looker.messages), server.process):
                raise RuntimeError(server.err.read_text())
            server.kill()

    def options(self) -> list[str]:
        """Return the options of the next run."""
        self._before = len(self.subscriber.messages)
        options = ["--mqtt", self.broker.url, "--mqtt-in", "m/{stream}/events", "--mqtt-out", "m/{stream}/answers"]
        return [*options, "--commit-records", str(self.random.choice([1, 5, 32, 500]))]

    def is_serving(self) -> bool:
        """Return whether answers have come since `options` was called."""
        return len(self.subscriber.messages) > self._before

    def send(self) -> None:
        """Let some records come. The server may be killed at any time."""
        for _ in range(self.random.randint(1, SENT_AT_ONCE)):
            record = make_record(len(self.lines))
            self.lines.append(to_line(record))
            stream = record.pop("stream")
            self.producer.send(f"m/{stream}/events", to_line(record))
        if self.random.random() < 0.15:
            self._restart()

    def after_kill(self) -> None:
        """Do what may happen while no server is running."""
        if self.random.random() < 0.3:
            self._restart()
        if self.random.random() < 0.5:
            self.send()

    def answers(self, server: Server) -> list[str]:
        """Return all answers by stream, once they have come."""
        expected = len(self.lines)
        wait_for(lambda: len(self._found()) >= expected, server.process, 0.2)
        found = self._found()
        repeated = len(self.subscriber.messages) - len(found)
        print(f"mqtt: {self.restarts} restarts of the broker; {repeated} answers came again, as the contract allows")
        return by_stream(found)

    def expected(self) -> list[str]:
        """Return the answers of a quiet run."""
        return by_stream(undisturbed(self.lines, self.folder / "quiet"))

    def close(self) -> None:
        """End the broker."""
        self.subscriber.close()
        self.producer.close()
        self.broker.close()

    def _found(self) -> list[str]:
        """Return each answer once, in the order in which they came first."""
        return list(dict.fromkeys(message.payload.decode() for message in list(self.subscriber.messages)))

    def _restart(self) -> None:
        self.broker.stop()
        self.broker.start()
        self.restarts += 1
        if not wait_for(lambda: self.producer.is_connected and self.subscriber.is_connected):
            raise RuntimeError(f"no connection to the broker in {PATIENCE} s")


class LossyMqttTrial(MqttTrial):
    """The broker is killed too, and loses what it had acknowledged; a producer sends again from the watermarks.

    Answers are appended to a file, because the broker loses those for a subscriber as well.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        """Start a broker in `folder`."""
        super().__init__(folder, seed)
        self.out, self._next_look = folder / "out", 0.0
        self.reader = Peer(self.broker.port, "stepcell/+/watermarks/+")
        # The first record of a stream sets its number, so that it must not be one behind a lost one.
        self.lines = [to_line(make_record(number)) for number in range(STREAMS)]
        server = Server(folder, self.options())
        if not wait_for(lambda: self._send_again() == 0, server.process, 0.1):
            raise RuntimeError(server.err.read_text())
        server.kill()

    def options(self) -> list[str]:
        """Return the options of the next run."""
        options = super().options()
        self._before = size(self.folder / "out")
        place = options.index("--mqtt-out")
        return [*options[:place], *options[place + 2 :], "--out", str(self.folder / "out")]

    def is_serving(self) -> bool:
        """Return whether answers have come since `options` was called; send again what has been lost."""
        self._send_again()
        return size(self.out) > self._before

    def answers(self, server: Server) -> list[str]:
        """Return all answers by stream, once they have come."""
        wait_for(lambda: self._send_again() == 0, server.process, 0.5)
        print(f"mqtt: the broker was killed {self.restarts} times")
        return by_stream(self.out.read_text().splitlines())

    def close(self) -> None:
        """End the broker."""
        self.reader.close()
        super().close()

    def _send_again(self) -> int:
        """Send all records behind the watermarks, at most twice a second; return their number."""
        if time.monotonic() < self._next_look:
            return -1
        self._next_look = time.monotonic() + 0.5
        known = {found["stream"]: found["seq"] for found in map(json.loads, self._watermarks())}
        lost = [each for each in map(json.loads, self.lines) if each["seq"] > known.get(each["stream"], -1)]
        for record in lost[:2_000]:
            self.producer.send(f"m/{record.pop('stream')}/events", to_line(record))
        return len(lost)

    def _watermarks(self) -> list[bytes]:
        return [message.payload for message in list(self.reader.messages)]

    def _restart(self) -> None:
        self.broker.kill()
        self.broker.start()
        self.restarts += 1
        if not wait_for(lambda: self.producer.is_connected and self.reader.is_connected):
            raise RuntimeError(f"no connection to the broker in {PATIENCE} s")


def by_stream(answers: list[str]) -> list[str]:
    """Return answers sorted by stream; within one they keep their order."""
    return sorted(answers, key=lambda answer: str(json.loads(answer)["stream"]))
