"""Damages model files and saved states in thousands of ways: nothing but stepcell's own errors may come of it.

    python benchmarks/fuzz.py                       # 10,000 cases on all interpreters; makes the files first
    python benchmarks/fuzz.py --seed 7 --case 4711  # one of them again

Bits are turned over, parts are cut off, zeroed and moved; manifests are swapped, and changed with their checksums made
right again: wrong types, absurd sizes, deep nesting, lies about the graph; archives hold bombs and other files' names.
Graphs that are damaged and packed again are stepped with numpy alone: someone who can pack a file can make it one that
crashes an interpreter, and no checksum tells. Trials run in processes of their own, with little memory and time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from threading import Timer

HERE = Path(__file__).resolve().parent
AT_ONCE = 250  # cases in one process
LONGEST = 180.0  # seconds in which a process must say something; its trials have limits of their own


def main() -> int:
    """Try all cases and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="how many [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, help="which ones [%(default)s]")
    parser.add_argument("--case", type=int, help="one alone, by its number")
    parser.add_argument("--files", type=Path, help="folder of valid files [build/fuzz, made if missing]")
    arguments = parser.parse_args()
    folder = arguments.files or made(HERE.parent / "build/fuzz")
    first, last = (0, arguments.cases) if arguments.case is None else (arguments.case, arguments.case + 1)
    start, results, findings = time.monotonic(), Counter[str](), list[str]()
    while first < last:
        end = min(first + AT_ONCE, last)
        first = share(folder, arguments.seed, first, end, results, findings)
        if sys.stderr.isatty():
            print(f"\r{first:,} of {last:,} cases, {len(findings)} findings", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for result, count in results.most_common():
        print(f"{count:7,}  {result}")
    print(f"{len(findings)} findings in {sum(results.values()):,} trials, {time.monotonic() - start:.0f} s")
    return 1 if findings else 0


def share(folder: Path, seed: int, first: int, end: int, results: Counter[str], findings: list[str]) -> int:
    """Try the cases from `first` to `end` in one process; return the case to go on with."""
    command = [sys.executable, str(HERE / "fuzz_worker.py"), str(folder), str(seed), str(first), str(end)]
    case, open_trial = "", False
    with (
        tempfile.TemporaryFile() as last_words,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=last_words, encoding="utf-8", errors="replace"
        ) as process,
    ):
        assert process.stdout is not None, "it is a pipe"
        watch = Timer(LONGEST, process.kill)
        watch.start()
        for line in process.stdout:
            watch.cancel()
            watch = Timer(LONGEST, process.kill)
            watch.start()
            if line.startswith("case "):
                case, open_trial = line.strip(), True
            elif line.startswith("= "):
                open_trial = False
                result = line.removeprefix("= ").strip()
                results[result.partition(":")[0]] += 1
                if result.startswith("FINDING"):
                    note(f"seed {seed}, {case}: {result}", findings)
        watch.cancel()
        ended = process.wait()
        last_words.seek(0)
        said = last_words.read().decode(errors="replace")
    if not ended:
        return end
    if not open_trial:
        raise SystemExit(f"the process of the cases {first} to {end} ended with {ended} after {case!r}: {said[-2000:]}")
    results["crash"] += 1
    note(f"seed {seed}, {case}: FINDING: the process ended with {ended}: {said[-300:]!r}", findings)
    return int(case.split()[1]) + 1


def note(finding: str, findings: list[str]) -> None:
    """Print a finding and keep it."""
    findings.append(finding)
    print(finding, flush=True)


def made(folder: Path) -> Path:
    """Return `folder`, with a valid file of each kind in it."""
    if not folder.exists():
        print("making the files", file=sys.stderr)
        part = folder.with_name(f"{folder.name}.part")
        subprocess.run([sys.executable, str(HERE / "fuzz_files.py"), str(part)], check=True)
        for path in part.iterdir():
            if path.is_dir():
                for left in path.iterdir():
                    left.unlink()
                path.rmdir()
        part.rename(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
