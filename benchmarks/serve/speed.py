"""Speed of `stepcell serve`: records per second of processor time, latency, idle processor, memory, a long run.

    python benchmarks/serve/speed.py                       # all but the long run
    python benchmarks/serve/speed.py throughput latency --source stdin
    python benchmarks/serve/speed.py soak --records 5000000

The model is an LSTM of 100 symbols and 50 units with Keras's own initial weights, unless --model names another one of
symbols "0" to "99". Processor time is that of the server alone, without its start. Machines are noisy: latencies mean
something on an idle one.

- throughput: N records, each of them answered, of 8 streams in turn, and of one. stdin: JSON lines. file: the same,
  answers to a file. http: single records over four connections that stay open. mqtt: QoS 1 both ways, a broker of its
  own.
- latency: one record, sent when the answer to the one before has come.
- idle: processor time of a server to which nothing comes, with all adapters.
- memory: resident memory with 10,000 streams; then with 100,000, of which 10,000 are in memory at a time.
- soak: resident memory while N records come, which may not grow.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from trial import PATIENCE, wait_for

BENCHMARKS = Path(__file__).resolve().parents[1]
MAKE = "import sys; from pathlib import Path; from step import *; s = build_step_function(build(100, 50)); "
MAKE += "write(s, 'tflite', 'float32', Path(sys.argv[1]))"
TICK = os.sysconf("SC_CLK_TCK")


def make_model(folder: Path) -> Path:
    """Write the model."""
    environment = {**os.environ, "PYTHONPATH": f"{BENCHMARKS}:{os.environ.get('PYTHONPATH', '')}"}
    subprocess.run([sys.executable, "-c", MAKE, folder], env=environment, check=True, stderr=subprocess.DEVNULL)
    return folder / "bench.float32.tflite"


def record(number: int, streams: int) -> dict[str, Any]:
    """Return a record of one of so many streams, in turn."""
    symbol = str(random.Random(number).randrange(100))
    return {"stream": f"stream{number % streams}", "seq": number // streams, "symbol": symbol}


class Server:
    """A server, and what it has used."""

    def __init__(self, model: Path, folder: Path, *options: str, **pipes: Any) -> None:
        """Start it."""
        command = [sys.executable, "-m", "stepcell.cli", "serve", str(model), "--store", str(folder / "state.db")]
        self.err = folder / "err"
        with open(self.err, "wb") as err:
            self.process: Any = subprocess.Popen([*command, *options], stderr=err, **pipes)

    def seconds(self) -> float:
        """Return its processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self) -> float:
        """Return its resident memory in MB."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(PATIENCE)


class Exchange:
    """A server with one source, into which records go and from which answers come."""

    options: tuple[str, ...] = ()

    def __init__(self, model: Path, folder: Path) -> None:
        """Start the server."""
        self.folder = folder
        self.server = Server(model, folder, *self.options, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line: bytes) -> None:
        """Send a record and wait for the answer."""
        self.server.process.stdin.write(line)
        self.server.process.stdin.flush()
        self.server.process.stdout.readline()

    def ask_all(self, lines: list[bytes]) -> None:
        """Send records as fast as they are taken, and wait for all answers."""
        process = self.server.process

        def send() -> None:
            process.stdin.write(b"".join(lines))
            process.stdin.flush()

        sender = Thread(target=send)
        sender.start()
        for _ in lines:
            process.stdout.readline()
        sender.join()

    def close(self) -> None:
        """End the server."""
        self.server.stop()


class FileExchange(Exchange):
    """Records in a file that is followed, answers in another one."""

    def __init__(self, model: Path, folder: Path) -> None:
        """Start the server."""
        self.log, self.out, self.answers = folder / "in", folder / "out", 0
        self.log.touch()
        self.options = ("--file", str(self.log), "--follow", "--out", str(self.out))
        super().__init__(model, folder)

    def ask(self, line: bytes) -> None:
        """See `Exchange.ask`."""
        self.ask_all([line])

    def ask_all(self, lines: list[bytes]) -> None:
        """See `Exchange.ask_all`."""
        with open(self.log, "ab") as file:
            file.write(b"".join(lines))
        if not self.answers:
            wait_for(self.out.exists)
            self.reader = open(self.out, "rb")  # noqa: SIM115 - closed with the process
        self.answers += len(lines)
        left = len(lines)
        while left:
            found = self.reader.read().count(b"\n")
            left -= found
            if not found:
                time.sleep(0.0005)


class HttpExchange(Exchange):
    """One record a request, over connections that stay open."""

    def __init__(self, model: Path, folder: Path) -> None:
        """Start the server and connect."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = probe.getsockname()
        self.options = ("--http", f"127.0.0.1:{self.address[1]}")
        super().__init__(model, folder)
        wait_for(self._is_open, self.server.process)
        self.connections = [socket.create_connection(self.address) for _ in range(4)]
        for each in self.connections:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, line: bytes) -> None:
        """See `Exchange.ask`."""
        self._post(self.connections[0], line)

    def ask_all(self, lines: list[bytes]) -> None:
        """See `Exchange.ask_all`: each connection has streams of its own."""
        shares = [[line for place, line in enumerate(lines) if place % 4 == number] for number in range(4)]
        threads = [
            Thread(target=lambda one=one, share=share: [self._post(one, line) for line in share])
            for one, share in zip(self.connections, shares, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _post(self, connection: socket.socket, line: bytes) -> None:
        stream = json.loads(line)["stream"].encode()
        head = b"POST /v1/streams/%b/step HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % (stream, len(line)) + line)
        answer = connection.recv(65536)
        while b"\r\n\r\n" not in answer or not answer.rstrip().endswith(b"}"):
            answer += connection.recv(65536)
        if b" 200 " not in answer[:20]:
            raise RuntimeError(answer.decode())

    def _is_open(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(self.address) == 0


class MqttExchange(Exchange):
    """Messages by way of a broker of its own."""

    def __init__(self, model: Path, folder: Path) -> None:
        """Start broker and server, and connect."""
        sys.path.insert(0, str(BENCHMARKS.parent / "tests"))
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
        from support.mosquitto import Broker

        self.broker = Broker(folder, "max_queued_messages 0")
        self.options = (
            "--mqtt", self.broker.url, "--mqtt-in", "in/{stream}", "--mqtt-out", "out/{stream}",
        )  # fmt: skip
        super().__init__(model, folder)
        self.came, ready = 0, []
        self.client = Client(CallbackAPIVersion.VERSION2, "speed")
        self.client.max_inflight_messages_set(1000)
        self.client.on_socket_open = lambda client, data, one: one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.on_message = self._count
        self.client.on_subscribe = lambda *_: ready.append(1)
        self.client.connect("127.0.0.1", self.broker.port)
        self.client.subscribe("out/+", 1)
        self.client.loop_start()
        wait_for(lambda: bool(ready))
        time.sleep(3)  # until the server has subscribed

    def ask(self, line: bytes) -> None:
        """See `Exchange.ask`."""
        before = self.came
        self.client.publish(f"in/{json.loads(line)['stream']}", line, 1)
        while self.came == before:
            time.sleep(0.00005)

    def ask_all(self, lines: list[bytes]) -> None:
        """See `Exchange.ask_all`."""
        target = self.came + len(lines)
        for line in lines:
            self.client.publish(f"in/{json.loads(line)['stream']}", line, 1)
        wait_for(lambda: self.came >= target, self.server.process)

    def close(self) -> None:
        """See `Exchange.close`."""
        super().close()
        self.client.loop_stop()
        self.broker.stop()

    def _count(self, *_: Any) -> None:
        self.came += 1


EXCHANGES = {"stdin": Exchange, "file": FileExchange, "http": HttpExchange, "mqtt": MqttExchange}
RECORDS = {"stdin": 100_000, "file": 100_000, "http": 8_000, "mqtt": 8_000}


@contextmanager
def exchange(source: str, model: Path) -> Iterator[Any]:
    """Start a server with one source, which has answered."""
    with tempfile.TemporaryDirectory(prefix="speed-") as name:
        one = EXCHANGES[source](model, Path(name))
        try:
            one.ask(line_of(record(0, 1) | {"stream": "first"}))
            yield one
        finally:
            one.close()


def line_of(found: dict[str, Any]) -> bytes:
    """Return a record as a line."""
    return json.dumps(found).encode() + b"\n"


def throughput(model: Path, sources: list[str], records: int | None) -> None:
    """Print the records per second of processor time."""
    for source in sources:
        for streams in (1, 8) if source in ("stdin", "file") else (8,):
            count = records or RECORDS[source]
            lines = [line_of(record(number, streams)) for number in range(count)]
            with exchange(source, model) as one:
                seconds, began = one.server.seconds(), time.monotonic()
                one.ask_all(lines)
                used, passed = one.server.seconds() - seconds, time.monotonic() - began
            rates = f"{count / used:,.0f} records per CPU-second, {count / passed:,.0f} a second"
            print(f"throughput {source}, streams in turn: {streams}: {rates}", flush=True)


def latency(model: Path, sources: list[str], records: int | None) -> None:
    """Print the latency of single records."""
    for source in sources:
        times = []
        with exchange(source, model) as one:
            for number in range(records or 1000):
                line = line_of(record(number, 8))
                began = time.perf_counter()
                one.ask(line)
                times.append(1e3 * (time.perf_counter() - began))
        times.sort()
        high = times[int(len(times) * 0.99)]
        print(f"latency {source}: p50 {statistics.median(times):.3f} ms, p99 {high:.3f} ms, lowest {times[0]:.3f} ms")


def idle(model: Path, sources: list[str], records: int | None) -> None:
    """Print the share of a processor that a server takes to which nothing comes."""
    for source in sources:
        with exchange(source, model) as one:
            time.sleep(2.0)
            seconds, began = one.server.seconds(), time.monotonic()
            time.sleep(30.0)
            share = (one.server.seconds() - seconds) / (time.monotonic() - began)
        print(f"idle {source}: {100 * share:.2f} % of a processor")


def memory(model: Path, sources: list[str], records: int | None) -> None:
    """Print the resident memory with many streams."""
    with exchange("stdin", model) as one:
        one.ask_all([line_of(record(number, 10_000)) for number in range(20_000)])
        print(f"memory: {one.server.memory():.0f} MB with 10,000 streams")
        seconds = one.server.seconds()
        one.ask_all([line_of(record(number, 100_000)) for number in range(20_000, 100_000)])
        print(f"memory: {one.server.memory():.0f} MB with 100,000 known streams, of which 10,000 are in memory")
        new = one.server.seconds() - seconds
        chance = random.Random(0)
        known = chance.sample(range(20_000, 100_000), 20_000)
        seconds = one.server.seconds()
        one.ask_all([line_of(record(number, 100_000) | {"seq": 1}) for number in known])
        used = one.server.seconds() - seconds
        print(f"memory: {80_000 / new:,.0f} new streams, {20_000 / used:,.0f} known ones at random, per CPU-second")


def soak(model: Path, sources: list[str], records: int | None) -> None:
    """Let many records come, and print how memory grows."""
    count, at_once = records or 1_000_000, 50_000
    with exchange("stdin", model) as one:
        rest = None
        for first in range(0, count, at_once):
            one.ask_all([line_of(record(number, 100)) for number in range(first, min(first + at_once, count))])
            rest = one.server.memory() if first == 2 * at_once else rest
        size = (one.folder / "state.db").stat().st_size + (one.folder / "state.db-wal").stat().st_size
        grown = "too few to tell" if rest is None else f"{one.server.memory() - rest:+.1f} MB after the first 150,000"
        print(f"soak: {count:,} records; memory {one.server.memory():.0f} MB, {grown}; store {size / 1e6:.1f} MB")


MEASURES: dict[str, Callable[[Path, list[str], int | None], None]] = {
    "throughput": throughput, "latency": latency, "idle": idle, "memory": memory, "soak": soak,
}  # fmt: skip


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", nargs="*", choices=[*MEASURES, []], help="[all but soak]")
    parser.add_argument("--source", choices=EXCHANGES, action="append", help="[all]")
    parser.add_argument("--records", type=int)
    parser.add_argument("--model", type=Path)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        model = wanted.model or make_model(Path(name))
        for measure in wanted.measure or list(MEASURES)[:-1]:
            MEASURES[measure](model, wanted.source or list(EXCHANGES), wanted.records)
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
