"""Many streams on all cores of a machine: N processes of stepcell serve, each with the keys of its shard and a store.

    python examples/shards/shards.py model.tflite events --shards 4 < records.jsonl

Records are JSON lines with `stream` and `seq`, as docs/serve.md describes them. Each goes to the shard of its stream,
and the answers of shard K are in events/K.jsonl. After a kill, give the same command and the records again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def shard_of(key: str, shards: int) -> int:
    """Return the shard of a key: the same in every process, on every machine, in every version of Python.

    `hash(key)` is another number in each process.
    """
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % shards


def key_of(line: bytes) -> str:
    """Return the stream of a record; "" where it names none or cannot be read, which the service then says."""
    try:
        key = json.loads(line)["stream"]
    except (ValueError, LookupError, TypeError):
        return ""
    return "" if key is None else str(key)


def open_folder(folder: Path, shards: int) -> None:
    """Make the folder of the stores; with another number of shards most keys would lose their states."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "shards"
    if not file.exists():
        written = folder / "shards.new"
        written.write_text(str(shards))
        written.replace(file)  # whole or not at all
    if (found := int(file.read_text())) != shards:
        raise SystemExit(f"{folder} has {found} shards, not {shards}: give --shards {found}, or another folder.")


def start(model: str, folder: Path, number: int, options: list[str]) -> subprocess.Popen[bytes]:
    """Start the service of a shard; its answers are appended to a file, each once."""
    store, answers = folder / f"{number}.db", folder / f"{number}.jsonl"
    command = [sys.executable, "-m", "stepcell.cli", "serve", model, "--store", store, "--out", answers, *options]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def distribute(lines: Iterable[bytes], services: list[subprocess.Popen[bytes]]) -> None:
    """Give each record to the service of its stream, in order.

    Raises:
        BrokenPipeError: A service has ended.
    """
    for line in lines:
        if line.strip():
            pipe = services[shard_of(key_of(line), len(services))].stdin
            assert pipe is not None
            pipe.write(line if line.endswith(b"\n") else line + b"\n")


def main() -> None:
    """Start the services, give them the records, and wait for their ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shards", type=int, default=4)
    given, options = parser.parse_known_args()  # the others are options of stepcell serve
    if given.shards < 1:
        parser.error(f"--shards is {given.shards}, and counts processes: 1 or more")
    open_folder(given.folder, given.shards)
    services = [start(given.model, given.folder, number, options) for number in range(given.shards)]
    with suppress(BrokenPipeError):  # its exit code says it below
        distribute(sys.stdin.buffer, services)
    for one in services:
        with suppress(BrokenPipeError):
            one.stdin.close()
    ended = {number: one.wait() for number, one in enumerate(services)}
    failed = [str(number) for number, code in ended.items() if code]
    if failed:
        raise SystemExit(f"Shards {', '.join(failed)} have ended early. Give the same command and records again.")


if __name__ == "__main__":
    main()
