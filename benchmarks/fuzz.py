"""Damages all kinds of files that commands read: stepcell's own errors may come of it, or a valid reading.

    python benchmarks/fuzz.py                       # all kinds; makes the model files first
    python benchmarks/fuzz.py --kind tables         # one of them
    python benchmarks/fuzz.py --seed 7 --kind models --case 4711  # one trial again

Bits are turned over, parts are cut off, zeroed, moved, exchanged and repeated; numbers become huge, negative or none.
Manifests are swapped, and changed with their checksums made right again: wrong types, absurd sizes, deep nesting, lies
about the graph; archives hold bombs and other files' names. Graphs that are damaged and packed again are stepped with
numpy and the compiled engine alone: someone who can pack a file can make it one that crashes an interpreter, and no
checksum tells. Trials run in processes of their own, with little memory and time. The file of each finding is kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
AT_ONCE = 250  # cases in one process
LONGEST = 180.0  # seconds in which a process must say something; its trials have limits of their own
MODELS, KERAS, KERAS2 = "models", "keras models", "keras 2 models"
# Those of fuzz_kinds.KINDS, whose imports take a second.
KINDS = (
    "thresholds", "vocabularies", "stores", "checkpoints", "run folders", "plans", "start states", "results", "trials",
    "tables", "json lines", "parquet", "texts", "live lines", "sessions", "inspected models", "hidden state",
    "keras 2 files",
)  # fmt: skip


@dataclass
class Fuzz:
    """All trials, and what came of them.

    Attributes:
        files: Folder of valid model files and states.
        seed: Which damages.
        keep: Folder for the files of findings.
        results: Kind -> what came of its trials, counted.
        findings: The findings in words.
    """

    files: Path
    seed: int
    keep: Path
    results: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def share(self, kind: str, first: int, end: int) -> None:
        """Try the cases from `first` to `end` of a kind, in a new process after each crash."""
        counts = self.results.setdefault(kind, Counter())
        while first < end:
            with tempfile.TemporaryDirectory(prefix="stepcell-") as folder:
                first = self._process(kind, first, end, Path(folder), counts)

    def _process(self, kind: str, first: int, end: int, work: Path, counts: Counter[str]) -> int:
        """Try cases in one process; return the case to go on with."""
        command = [sys.executable, str(HERE / "fuzz_worker.py"), kind, str(self.files), str(work), str(self.keep)]
        command += [str(self.seed), str(first), str(end)]
        environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
        case, open_trial = "", False
        with (
            tempfile.TemporaryFile() as last_words,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=last_words, encoding="utf-8", errors="replace", env=environment
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
                    counts[result.partition(":")[0]] += 1
                    if result.startswith("FINDING"):
                        self._note(f"{kind}, seed {self.seed}, {case}: {result}")
            watch.cancel()
            ended = process.wait()
            last_words.seek(0)
            said = last_words.read().decode(errors="replace")
        if not ended:
            return end
        if not open_trial:
            raise SystemExit(f"{kind} {first} to {end}: the process ended with {ended} after {case!r}: {said[-2000:]}")
        counts["FINDING"] += 1
        number = int(case.split()[1])
        keep = self.keep / f"{kind.replace(' ', '-')}-{self.seed}-{number}"
        shutil.copytree(work / "trial", keep, dirs_exist_ok=True)
        self._note(f"{kind}, seed {self.seed}, {case}: FINDING: the process ended with {ended}: {said[-300:]!r}")
        return number + 1

    def _note(self, finding: str) -> None:
        """Print a finding and keep it."""
        self.findings.append(finding)
        print(finding, flush=True)


def main() -> int:
    """Try all cases and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="of model files and states [%(default)s]")
    parser.add_argument("--damages", type=int, default=500, help="of each other kind [%(default)s]")
    parser.add_argument("--keras", type=int, default=60, help="of .keras files, loaded by Keras [%(default)s]")
    parser.add_argument("--keras2", type=int, default=2400, help="of Keras 2, rebuilt in Keras 3 [%(default)s]")
    parser.add_argument("--kind", choices=(MODELS, KERAS, KERAS2, *KINDS), action="append", help="only these kinds")
    parser.add_argument("--seed", type=int, default=1, help="which damages [%(default)s]")
    parser.add_argument("--case", type=int, help="one of a kind, by its number")
    parser.add_argument("--files", type=Path, help="folder of valid model files [build/fuzz, made if missing]")
    parser.add_argument("--keep", type=Path, default=BUILD / "fuzz-findings", help="for findings [%(default)s]")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time [%(default)s]")
    arguments = parser.parse_args()
    kinds = arguments.kind or (
        MODELS,
        *KINDS,
        *([KERAS] if arguments.keras else []),
        *([KERAS2] if arguments.keras2 else []),
    )
    needs_models = any(kind in (MODELS, KERAS) for kind in kinds)
    folder = arguments.files or (made(BUILD / "fuzz") if needs_models else BUILD / "fuzz")
    counts = {MODELS: arguments.cases, KERAS: arguments.keras, KERAS2: arguments.keras2}
    fuzz, start = Fuzz(folder, arguments.seed, arguments.keep), time.monotonic()
    if arguments.case is not None:
        shares: Iterable[tuple[str, int, int]] = [(kind, arguments.case, arguments.case + 1) for kind in kinds]
    else:
        shares = shares_of({kind: counts.get(kind, arguments.damages) for kind in kinds})
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for done in [pool.submit(fuzz.share, *share) for share in shares]:
            done.result()
    for kind in kinds:
        found = fuzz.results[kind]
        print(f"{kind}: " + ", ".join(f"{count:,} {result}" for result, count in found.most_common()))
    trials = sum(sum(found.values()) for found in fuzz.results.values())
    print(f"{len(fuzz.findings)} findings in {trials:,} trials, {time.monotonic() - start:.0f} s")
    return 1 if fuzz.findings else 0


def shares_of(counts: dict[str, int]) -> Iterator[tuple[str, int, int]]:
    """Yield kind, first case and end of what one process tries."""
    for kind, count in counts.items():
        for first in range(0, count, AT_ONCE):
            yield kind, first, min(first + AT_ONCE, count)


def made(folder: Path) -> Path:
    """Return `folder`, with a valid model file of each kind in it."""
    if not folder.exists():
        print("making the model files", file=sys.stderr)
        part = folder.with_name(f"{folder.name}.part")
        subprocess.run([sys.executable, str(HERE / "fuzz_files.py"), str(part)], check=True)
        for path in part.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        part.rename(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
