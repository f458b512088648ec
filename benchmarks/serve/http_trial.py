"""Senders by HTTP that repeat a record until it is answered, whatever happens to the server."""

from __future__ import annotations

import http.client
import json
import random
import socket
import time
from pathlib import Path
from threading import Event, Thread

from trial import STREAMS, Server, make_record, to_line, undisturbed, wait_for

_ARRAYS = 2  # streams whose records are sent several at a time
_AHEAD = 100  # records that may wait to be sent
_PAUSE = 0.02  # seconds before a record is sent again
_DECODER = json.JSONDecoder()


class Sender(Thread):
    """Sends the records of one stream in order, the next one after the answer to the one before.

    Attributes:
        answers: The answers, in order; None where it was only said that the record had been stepped before.
        target: How many records to send.
        problems: Responses that should not have come.
    """

    def __init__(self, port: int, stream: int, *, in_arrays: bool) -> None:
        """Send to a port of this machine; begin with `start`."""
        super().__init__(daemon=True)
        self._port, self._stream, self._in_arrays = port, stream, in_arrays
        self._chance = random.Random(stream)
        self._ended = Event()
        self.answers, self.target, self.problems = list[str | None](), 0, list[str]()

    def run(self) -> None:
        """Send until `end`."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        size = 1
        while not self._ended.is_set():
            first = len(self.answers)
            if first >= self.target:
                time.sleep(0.005)
                continue
            records = [record_of(self._stream, seq) for seq in range(first, min(first + size, self.target))]
            body = to_line(records[0]) if not self._in_arrays else json.dumps(records)
            try:
                connection.request("POST", f"/v1/streams/s{self._stream}/step", body)
                response = connection.getresponse()
                text = response.read().decode()
            except (OSError, http.client.HTTPException):
                connection.close()
                time.sleep(_PAUSE)  # and then the same records again
                continue
            if response.status == 503:
                time.sleep(_PAUSE)
            elif response.status != 200:
                self.problems.append(f"{response.status} {text}")
                time.sleep(_PAUSE)
            else:
                self.answers += items_of(text) if self._in_arrays else [answer_in(text)]
                size = self._chance.randint(1, 40) if self._in_arrays else 1
        connection.close()

    def end(self) -> None:
        """Send nothing more."""
        self._ended.set()
        self.join()


class HttpTrial:
    """A sender for each stream. The answers are those of the responses; a file has all of them too."""

    may_repeat = False

    def __init__(self, folder: Path, seed: int) -> None:
        """Begin to send to a free port."""
        self.random, self.folder, self.out = random.Random(seed), folder, folder / "out"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.senders = [Sender(self.port, stream, in_arrays=stream < _ARRAYS) for stream in range(STREAMS)]
        for sender in self.senders:
            sender.start()

    def options(self) -> list[str]:
        """Return the options of the next run."""
        self._before = self._count()
        options = ["--http", f"127.0.0.1:{self.port}", "--out", str(self.out)]
        return [*options, "--commit-records", str(self.random.choice([1, 5, 32, 500]))]

    def is_serving(self) -> bool:
        """Return whether answers have come since `options` was called."""
        return self._count() > self._before

    def send(self) -> None:
        """Let some records come. The server may be killed at any time."""
        for _ in range(self.random.randint(1, 6)):
            for sender in self.senders:
                if sender.target - len(sender.answers) < _AHEAD:
                    sender.target += self.random.randint(1, 30)
            time.sleep(self.random.uniform(0, 0.03))

    def after_kill(self) -> None:
        """Do what may happen while no server is running."""
        if self.random.random() < 0.5:
            self.send()

    def answers(self, server: Server) -> list[str]:
        """Return all answers, once they have come; those that only a file has from there."""
        if not wait_for(lambda: all(len(each.answers) >= each.target for each in self.senders), server.process, 0.2):
            raise RuntimeError(f"{sum(each.target for each in self.senders) - self._count()} records are not answered")
        for sender in self.senders:
            sender.end()
        problems = [problem for sender in self.senders for problem in sender.problems]
        if problems:
            raise RuntimeError("\n".join(problems[:10]))
        lines = self.out.read_text().splitlines()
        kept = {(each["stream"], each["seq"]): line for line in lines if (each := json.loads(line))}
        if len(kept) != len(lines):
            raise RuntimeError(f"{len(lines) - len(kept)} answers are in the file of answers twice")
        found = []
        for sender_number, sender in enumerate(self.senders):
            for seq, answer in enumerate(sender.answers):
                in_file = kept.get((f"s{sender_number}", seq), "missing")
                found.append(in_file if answer is None else answer)
                if answer is not None and answer != in_file:
                    raise RuntimeError(f"a response and the file differ: {answer} {in_file}")
        repeated = sum(answer is None for sender in self.senders for answer in sender.answers)
        print(f"http: {repeated} records of arrays were only said to be repeated; their answers are in the file")
        return found

    def close(self) -> None:
        """End what it has started: nothing."""

    def expected(self) -> list[str]:
        """Return the answers of a quiet run."""
        lines = [
            to_line(record_of(number, seq)) for number, each in enumerate(self.senders) for seq in range(each.target)
        ]
        return undisturbed(lines, self.folder / "quiet")

    def _count(self) -> int:
        return sum(len(each.answers) for each in self.senders)


def record_of(stream: int, seq: int) -> dict[str, object]:
    """Return the record with this number of a stream."""
    return make_record(seq * STREAMS + stream)


def answer_in(text: str) -> str | None:
    """Return an answer; None: the record was only said to be repeated."""
    return None if text.endswith('"repeated": true}') else text


def items_of(text: str) -> list[str | None]:
    """Return the items of an array as they were sent."""
    found, place = [], 1
    while place < len(text):
        _, end = _DECODER.raw_decode(text, place)
        found.append(answer_in(text[place:end]))
        place = end + 1
    return found
