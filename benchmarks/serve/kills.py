"""Kill `stepcell serve` with kill -9 at random moments while records come, and compare all answers with a quiet run.

    python benchmarks/serve/kills.py                              # 200 kills with a file
    python benchmarks/serve/kills.py --source rotated --kills 50
    python benchmarks/serve/kills.py --source http --kills 100
    python benchmarks/serve/kills.py --source mqtt --kills 50     # the broker is restarted too

- file: a log grows; its answers are appended to a file, which is rotated by size. Some lines are no records.
- rotated: the same, and the log is renamed while it is read and while nothing reads it; lines have no numbers.
- http: a sender for each stream repeats its record until it is answered; two send several at a time.
- mqtt: records and answers go by a broker, which is restarted at random too.
- mqtt-loss: the broker is killed at random and forgets what it had acknowledged; a producer follows the watermarks.

The answers have to be byte-identical: none missing, none wrong, none out of order; none twice in a file of answers.
Prints a row for each source; the exit code is 1 if a number is not 0.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from http_trial import HttpTrial
from mqtt_trial import LossyMqttTrial, MqttTrial
from trial import STREAMS, Server, compare, make_record, size, to_line, undisturbed, wait_for


class FileTrial:
    """A log that grows, and the file of its answers.

    A trial of another source has the same public methods.
    """

    may_repeat = False

    def __init__(self, folder: Path, seed: int, *, rotates: bool = False) -> None:
        """Begin with an empty log in `folder`."""
        self.random, self.folder, self.log, self.out = random.Random(seed), folder, folder / "log", folder / "out"
        self.rotates, self.lines = rotates, list[str]()
        self.log.touch()

    def options(self) -> list[str]:
        """Return the options of the next run."""
        self._before = self._written()
        options = ["--file", str(self.log), "--follow", "--out", str(self.out), "--out-rotate", "100KB"]
        return [*options, "--commit-records", str(self.random.choice([1, 5, 32, 500]))]

    def is_serving(self) -> bool:
        """Return whether answers have come since `options` was called."""
        return self._written() != self._before

    def send(self) -> None:
        """Let some records come. The server may be killed at any time."""
        for _ in range(self.random.randint(1, 6)):
            with open(self.log, "a") as file:
                for _ in range(self.random.randint(1, 150)):
                    self.lines.append(self._line(len(self.lines)))
                    half = len(self.lines[-1]) // 2
                    file.write(self.lines[-1][:half])
                    if self.random.random() < 0.05:
                        file.flush()
                    file.write(self.lines[-1][half:] + "\n")
            time.sleep(self.random.uniform(0, 0.03))
            if self.random.random() < 0.2:
                self._rotate()

    def after_kill(self) -> None:
        """Do what may happen while no server is running."""
        for _ in range(self.random.randint(0, 2)):
            self._rotate()
            self.send()

    def answers(self, server: Server) -> list[str]:
        """Return all answers, once they have come."""
        expected = len(self.lines)
        wait_for(lambda: self._count() >= expected, server.process, 0.2)
        return self._content().splitlines()

    def expected(self) -> list[str]:
        """Return the answers of a quiet run."""
        return undisturbed(self.lines, self.folder / "quiet")

    def close(self) -> None:
        """End what it has started: nothing."""

    def _line(self, number: int) -> str:
        record = make_record(number)
        if self.rotates:  # the answers tell each other apart by a field that is passed on
            return to_line({"stream": record["stream"], "symbol": record["symbol"], "id": number})
        if number % 97 == 96:
            return f"no record {number}"
        if (number % STREAMS) % 2:
            del record["seq"]
        return to_line({**record, "id": number})

    def _rotate(self) -> None:
        if not self.rotates or not self._written():  # before its first answer, a service knows of no file
            return
        older = [each for each in self.folder.glob("log.*") if each.suffix[1:].isdigit()]
        for each in sorted(older, key=lambda one: -int(one.suffix[1:])):
            each.rename(each.with_name(f"log.{int(each.suffix[1:]) + 1}"))
        self.log.rename(self.folder / "log.1")
        self.log.touch()

    def _written(self) -> int:
        return sum(size(each) for each in self._outs())

    def _outs(self) -> list[Path]:
        return [*sorted(self.folder.glob("out.*")), self.out]

    def _content(self) -> str:
        return "".join(each.read_text() for each in self._outs() if each.exists())

    def _count(self) -> int:
        return self._content().count("\n")


TRIALS = {
    "file": FileTrial,
    "rotated": lambda folder, seed: FileTrial(folder, seed, rotates=True),
    "http": HttpTrial,
    "mqtt": MqttTrial,
    "mqtt-loss": LossyMqttTrial,
}


def run(source: str, kills: int, seed: int) -> bool:
    """Kill a server again and again; print the row of the source, and return whether all is well."""
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        trial, began = TRIALS[source](Path(name), seed), time.monotonic()
        chance = random.Random(seed + 1)
        early = 0
        for _ in range(kills):
            server = Server(Path(name), trial.options())
            if chance.random() < 0.25:  # while it is starting
                trial.send()
                time.sleep(chance.uniform(0, 1.5))
                early += 1
            else:
                trial.send()
                if not wait_for(trial.is_serving, server.process):
                    raise RuntimeError(f"serve does not answer:\n{server.err.read_text()[-2000:]}")
                for _ in range(chance.randint(0, 3)):
                    trial.send()
                time.sleep(chance.uniform(0, 0.05))
            server.kill()
            trial.after_kill()
        server = Server(Path(name), trial.options())
        trial.send()
        found = trial.answers(server)
        server.stop()
        trial.close()
        expected = trial.expected()
        counts = compare(found, expected)
        if trial.may_repeat:
            print(f"{counts.pop('repeated')} came again, which the contract allows here")
        words = ", ".join(f"{count} {what}" for what, count in counts.items())
        moments = f"{kills} kills ({early} at random moments of the start)"
        seconds = time.monotonic() - began
        print(f"{source}: {moments}, {len(expected)} answers: {words}; {seconds:.0f} s", flush=True)
        return not any(counts.values())


def main() -> int:
    """Run the trials that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=TRIALS, action="append", help="[file]")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    results = [run(source, wanted.kills, wanted.seed) for source in wanted.source or ["file"]]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
