"""Let the disk of `stepcell serve` become full, and make room: nothing may be lost, and it has to go on by itself.

    sudo python benchmarks/serve/full_disk.py

Answers, the store, or both lie in a small file system of their own (tmpfs), which is made larger after some seconds. It
needs Linux and root, and says so where one is missing. The exit code is 1 if anything is missing or has ended.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trial import MODEL, PATIENCE, compare, make_record, to_line, undisturbed

RECORDS, SECONDS = 5_000, 10.0
DISKS = {"answers": "300k", "store": "120k", "both": "700k"}  # what is on the disk, and its size


def run(what: str, disk: Path, folder: Path, expected: list[str]) -> bool:
    """Serve on a disk that becomes full; return whether all is well."""
    store, out = (disk if what != "answers" else folder), (disk if what != "store" else folder) / "out"
    err = folder / "err"
    command = [sys.executable, "-m", "stepcell.cli", "serve", str(MODEL), "--store", str(store / "state.db")]
    with open(err, "wb") as file:
        process = subprocess.Popen([*command, "--file", str(folder / "in"), "--out", str(out)], stderr=file)
    time.sleep(SECONDS)
    waits = process.poll() is None and "Nothing is accepted or answered" in err.read_text()
    before = out.read_text() if out.exists() else ""
    subprocess.run(["mount", "-o", "remount,size=80m", disk], check=True)
    code = process.wait(PATIENCE)
    found = out.read_text().splitlines()
    good = waits and code == 0 and before[-1:] in ("", "\n") and not any(compare(found, expected).values())
    state = "waited" if waits else "did not wait"
    many = before.count("\n")
    print(f"{what}: full after {many} answers, {state}; {len(found)} in the end; {'good' if good else err.read_text()}")
    return good


def main() -> int:
    """Run the three trials."""
    if shutil.which("mount") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        print("No disk can be made here: that needs mount, and root.")
        return 0
    results = []
    with tempfile.TemporaryDirectory(prefix="full-") as name:
        lines = [to_line(make_record(number)) for number in range(RECORDS)]
        expected = undisturbed(lines, Path(name) / "quiet")
        for what, size in DISKS.items():
            folder, disk = Path(name) / what, Path(name) / f"{what}-disk"
            folder.mkdir()
            disk.mkdir()
            (folder / "in").write_text("".join(f"{line}\n" for line in lines))
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=True)
            try:
                results.append(run(what, disk, folder, expected))
            finally:
                subprocess.run(["umount", disk], check=True)
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
