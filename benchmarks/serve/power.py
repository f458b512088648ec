"""Cut the power of `stepcell serve` at random moments: what was not synced is lost, as on a real disk.

    sudo python benchmarks/serve/power.py             # 20 cuts
    sudo python benchmarks/serve/power.py --control   # the same without syncs, which has to lose records

Store and answers lie in an ext4 file system of their own, in an image that is mounted by loop. At a random moment the
server is stopped, and the image is copied as it is: pages that nothing has synced are not in it. A mount of the copy is
the disk after the power failure. Each answer that could be read before it belongs to a record that was acknowledged,
so that the store has to know of it; and a server that goes on there has to complete the answers byte for byte.

It needs Linux, root and a loop device, and says so where one is missing. A disk that lies about its syncs, or loses
blocks that it has taken without one, is not simulated. The exit code is 1 if a cut has lost anything.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from trial import MODEL, Server, compare, make_record, to_line, undisturbed, wait_for

BYTES = 64 * 2**20  # of the file system
NO_SYNC = "int fsync(int file) { return 0; } int fdatasync(int file) { return 0; }"


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[None]:
    """Mount an image for the block."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def copy_at_rest(image: Path, target: Path) -> None:
    """Copy an image, again and again until nothing was written to it meanwhile."""
    shutil.copyfile(image, target)
    while True:
        again = target.with_suffix(".again")
        shutil.copyfile(image, again)
        if subprocess.run(["cmp", "-s", target, again], check=False).returncode == 0:
            return
        again.replace(target)


def content(disk: Path) -> str:
    """Return all answers in the files of a disk."""
    return "".join(file.read_text() for file in [*sorted(disk.glob("out.*")), disk / "out"] if file.exists())


def acknowledged(disk: Path, log: Path) -> int:
    """Return how many lines the store on a disk knows of."""
    with closing(sqlite3.connect(disk / "state.db")) as database, suppress(sqlite3.DatabaseError):
        rows = database.execute("SELECT position FROM positions WHERE source = ?", (f"file:{log}",)).fetchall()
        return int(json.loads(rows[0][0])[1]["line"]) if rows else 0
    return 0


def cut(folder: Path, chance: random.Random) -> tuple[bool, str]:
    """Cut the power once; return whether nothing was lost, and what was seen."""
    image, after, log, disk = folder / "image", folder / "after", folder / "log", folder / "disk"
    with open(image, "wb") as file:
        file.truncate(BYTES)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    lines: list[str] = []

    def send() -> None:
        with open(log, "a") as file:
            for _ in range(chance.randint(1, 300)):
                lines.append(to_line(make_record(len(lines))))
                file.write(lines[-1] + "\n")

    def options(disk: Path) -> list[str]:
        return ["--file", str(log), "--follow", "--out", str(disk / "out"), "--out-rotate", "100KB"]

    log.touch()
    with mounted(image, disk):
        server = Server(disk, options(disk))
        try:
            send()
            wait_for(lambda: (disk / "out").exists() and (disk / "out").stat().st_size > 0, server.process)
            for _ in range(chance.randint(1, 40)):
                send()
                time.sleep(chance.uniform(0, 0.1))
            server.process.send_signal(19)  # SIGSTOP
            time.sleep(0.05)
            seen = content(disk).count("\n")
            copy_at_rest(image, after)
        finally:
            server.kill()
    with mounted(after, disk):
        known, left = acknowledged(disk, log), content(disk).count("\n")
        problems = [f"{seen - known} acknowledged records are lost"] if known < seen else []
        send()
        server = Server(disk, options(disk))
        wait_for(lambda: content(disk).count("\n") >= len(lines), server.process, 0.1)
        server.stop()
        counts = compare(content(disk).splitlines(), undisturbed(lines, folder / "quiet"))
        problems += [f"{count} {what}" for what, count in counts.items() if count]
    what = f"{seen} answers seen, {known} records in the store, {left} answers on the disk, {len(lines)} in the end"
    return not problems, f"{what}: {', '.join(problems) or 'nothing lost'}"


def main() -> int:
    """Cut the power as often as asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--control", action="store_true", help="let no sync reach the disk")
    wanted = parser.parse_args()
    needed = [name for name in ("mkfs.ext4", "mount", "cmp") if shutil.which(name) is None]
    needed += [] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["root"]
    needed += [] if Path("/dev/loop-control").exists() else ["/dev/loop-control"]
    if needed:
        print(f"No power can be cut on this machine: it lacks {', '.join(needed)}.")
        return 0
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    good, chance = 0, random.Random(wanted.seed)
    with tempfile.TemporaryDirectory(prefix="power-", dir=memory) as name:
        if wanted.control:
            library = Path(name) / "no_sync.so"
            command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library]
            subprocess.run(command, input=NO_SYNC.encode(), check=True)
            os.environ["LD_PRELOAD"] = str(library)
        for number in range(wanted.cuts):
            folder = Path(name) / str(number)
            folder.mkdir()
            is_good, what = cut(folder, chance)
            good += is_good
            print(f"cut {number + 1}: {what}", flush=True)
            shutil.rmtree(folder)
    print(f"{good} of {wanted.cuts} cuts lost nothing; {MODEL.name}")
    return int(good < wanted.cuts)


if __name__ == "__main__":
    sys.exit(main())
