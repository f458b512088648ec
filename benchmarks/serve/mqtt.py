"""Measure `stepcell serve` by MQTT on loopback: records a second, and the time from a record to its answer.

    python benchmarks/serve/mqtt.py --model build/lstm50.tflite

- throughput: so many records wait at the broker while the service is away, with numbers, of a few streams. The time
  counts from its connection to its last watermark; every answer is published. Also per CPU-second of the service.
- latency: one record after the other, each published when the answer to the one before has come by another connection.

Each is measured with `set_tcp_nodelay true` in the configuration of the broker, and without.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from trial import MODEL, Server, wait_for

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # of the package `support`

from support.mosquitto import Broker, Peer

from stepcell.runtime import load

STREAMS = 7
STATUS = "bench"
OPTIONS = ["--mqtt-in", "m/{stream}/events", "--mqtt-out", "m/{stream}/answers", "--mqtt-status", STATUS]


class Measurement:
    """A broker, and a service at it."""

    def __init__(self, folder: Path, model: Path, *, nodelay: bool) -> None:
        """Start the broker, and let it know the session of the service."""
        place = folder / "broker"
        place.mkdir()
        self.symbols = load(model).vocabulary.symbols
        lines = ["max_queued_messages 0", "max_inflight_messages 1000"]
        self.broker = Broker(place, *lines, nodelay=nodelay)
        self.peer, self.folder, self.model = Peer(self.broker.port, f"{STATUS}/#"), folder, model
        self.sent = [0] * STREAMS
        self.serve().stop()

    def serve(self) -> Server:
        """Start the service, and wait until it is connected."""
        before = self._connections()
        server = Server(self.folder, ["--mqtt", self.broker.url, *OPTIONS], self.model)
        if not wait_for(lambda: self._connections() > before, server.process, 0.001):
            raise RuntimeError(server.err.read_text())
        return server

    def throughput(self, count: int) -> tuple[float, float]:
        """Return records a second, and per CPU-second of the service."""
        self.peer.publish_all([self._record(number % STREAMS) for number in range(count)])
        server = self.serve()
        began, cpu = time.perf_counter(), cpu_seconds(server.process.pid)
        if not wait_for(self._is_done, server.process, 0.01):
            raise RuntimeError(server.err.read_text())
        seconds, cpu = time.perf_counter() - began, cpu_seconds(server.process.pid) - cpu
        server.stop()
        return count / seconds, count / cpu

    def latency(self, count: int) -> list[float]:
        """Return the seconds from each record to its answer, sorted."""
        server, found = self.serve(), []
        with Peer(self.broker.port, "m/+/answers") as peer:
            for number in range(count):
                topic, payload = self._record(number % STREAMS)
                before, began = len(peer.messages), time.perf_counter()
                self.peer.send(topic, payload)
                while len(peer.messages) == before:
                    time.sleep(0.00002)
                found.append(time.perf_counter() - began)
        server.stop()
        return sorted(found)

    def close(self) -> None:
        """End the broker."""
        self.peer.close()
        self.broker.close()

    def _record(self, stream: int) -> tuple[str, str]:
        seq = self.sent[stream]
        self.sent[stream] += 1
        return f"m/s{stream}/events", json.dumps({"seq": seq, "symbol": self.symbols[seq * 7 % len(self.symbols)]})

    def _connections(self) -> int:
        return self.peer.payloads(f"{STATUS}/status").count(b"online")

    def _is_done(self) -> bool:
        for stream, sent in enumerate(self.sent):
            found = self.peer.payloads(f"{STATUS}/watermarks/s{stream}")
            if not found or json.loads(found[-1])["seq"] != sent - 1:
                return False
        return True


def cpu_seconds(pid: int) -> float:
    """Return what a process has used of its processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Print a row for each configuration of the broker."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--round-trips", type=int, default=1_000)
    wanted = parser.parse_args()
    print(f"{wanted.model.name}\n{'':<22}records/s  per CPU-s  latency p50 ms  p99 ms")
    for nodelay in (True, False):
        with tempfile.TemporaryDirectory(prefix="mqtt-") as name:
            measurement = Measurement(Path(name), wanted.model, nodelay=nodelay)
            rate, per_cpu = measurement.throughput(wanted.records)
            times = measurement.latency(wanted.round_trips)
            measurement.close()
        p50, p99 = statistics.median(times) * 1e3, times[int(len(times) * 0.99)] * 1e3
        title = "set_tcp_nodelay true" if nodelay else "as Mosquitto is"
        print(f"{title:<22}{rate:>9,.0f}{per_cpu:>11,.0f}{p50:>16.2f}{p99:>8.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
