"""The defaults of `stepcell train` on five public sets: bits, accuracy, parameters, CPU-seconds.

    python benchmarks/defaults.py --data FOLDER --results after.json                     # five sets, two seeds
    python benchmarks/defaults.py --data FOLDER --results before.json --package OLD      # the checkout in OLD/stepcell
    python benchmarks/defaults.py --data FOLDER --results units.json hdfs -- --units 128 # one set, other options
    python benchmarks/defaults.py --table before.json after.json

FOLDER holds the sets as their sources have them; none is part of stepcell, and no file is changed there:

- hdfs/hdfs_train: github.com/d0ng1ee/logdeep (MIT): 4,855 sessions of a log.
- helpdesk/helpdesk.csv and bpi_13_incidents.csv: github.com/verenich/ProcessSequencePrediction, supplement of Tax
  et al. 2017 (no license; the second is the BPI challenge 2013, doi 10.4121/500573e6-accc-4b0c-9576-aa5446b10cee, under
  the terms of 4TU): cases of two help desks.
- tinyshakespeare/input.txt: github.com/karpathy/char-rnn (public domain): its first 300,000 characters.
- nottingham/*.abc: github.com/jukedeck/nottingham-dataset, ABC_cleaned (GPL 3): notes of 1,000 folk tunes, without
  chords.

A run is a process of `stepcell train`; its CPU-seconds are those of the operating system, import of TensorFlow too.
Bits and accuracy are those of the held-out part with which the kept update was chosen: a tenth, of helpdesk the last
third. A finished run stays in the results and is not repeated.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from math import log
from pathlib import Path
from typing import Any

CHARACTERS = 300_000
CASES = ["--symbol", "ActivityID", "--sequence", "CaseID", "--order", "CompleteTimestamp"]


def hdfs(data: Path, folder: Path) -> list[str]:
    """Return the arguments that train on the sessions."""
    return ["events", str(data / "hdfs/hdfs_train"), "--format", "lines"]


def helpdesk(data: Path, folder: Path) -> list[str]:
    """Return the arguments that train on the cases of the first help desk, the last third in file order held out."""
    header, *rows = (data / "helpdesk/helpdesk.csv").read_text().splitlines()
    cases = list(dict.fromkeys(row.split(",")[0] for row in rows))
    first = set(cases[: 2 * round(len(cases) / 3)])
    parts = {"train.csv": [row for row in rows if row.split(",")[0] in first]}
    parts["test.csv"] = [row for row in rows if row.split(",")[0] not in first]
    for name, part in parts.items():
        (folder / name).write_text("\n".join([header, *part]) + "\n")
    return ["events", str(folder / "train.csv"), *CASES, "--held-out", str(folder / "test.csv")]


def incidents(data: Path, folder: Path) -> list[str]:
    """Return the arguments that train on the cases of the second help desk."""
    return ["events", str(data / "bpi_13_incidents.csv"), *CASES]


def shakespeare(data: Path, folder: Path) -> list[str]:
    """Return the arguments that train on the beginning of the text."""
    (folder / "input.txt").write_text((data / "tinyshakespeare/input.txt").read_text()[:CHARACTERS])
    return ["text", str(folder / "input.txt")]


def nottingham(data: Path, folder: Path) -> list[str]:
    """Return the arguments that train on the notes of tunes."""
    lines = []
    for path in sorted((data / "nottingham").glob("*.abc")):
        for tune in re.split(r"\n\s*\n", path.read_text(errors="replace")):
            body = "\n".join(line for line in tune.splitlines() if not re.match(r"[A-Za-z]:|%", line))
            notes = re.findall(r"[_=^]*[A-Ga-gz][,']*[0-9/]*|\|", re.sub(r'"[^"]*"', "", body))
            if len(notes) > 10:
                lines.append(" ".join(notes))
    (folder / "notes.txt").write_text("\n".join(lines) + "\n")
    return ["events", str(folder / "notes.txt"), "--format", "lines"]


SETS: dict[str, Callable[[Path, Path], list[str]]] = {
    "hdfs": hdfs, "helpdesk": helpdesk, "incidents": incidents, "shakespeare": shakespeare, "nottingham": nottingham,
}  # fmt: skip


def measure(arguments: Sequence[str], package: Path | None, folder: Path) -> dict[str, Any]:
    """Train with `stepcell train` and return the figures of the run."""
    environment = dict(os.environ)
    if package is not None:
        environment["PYTHONPATH"] = str(package)
    out = folder / "run"
    command = [sys.executable, "-c", "from stepcell.cli import main; main()", "train", *arguments, "--out", str(out)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    said = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(said)
    run, metrics = json.loads((out / "run.json").read_text()), json.loads((out / "metrics.json").read_text())
    score = metrics.get("per_sequence", metrics["carried"])
    with (out / "history.csv").open() as file:
        curve = [
            (int(row["update"]), round(float(row["loss"]) / log(2), 4), round(float(row["judged_nats"]) / log(2), 4))
            for row in csv.DictReader(file)
            if row["judged_nats"]
        ]
    return {
        "bits": score["bits_per_symbol"], "accuracy": score["accuracy"], "parameters": run["parameters"],
        "updates": run["updates"], "stopped": run["stopped"],
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "curve": curve,  # update, bits of the last training updates, held-out bits
        "said": [line for line in said.splitlines() if "stopped (" in line or "kept" in line],
    }  # fmt: skip


def table(paths: Sequence[Path]) -> None:
    """Print the results in `paths` side by side, each the mean over its seeds."""
    results = [json.loads(path.read_text()) for path in paths]
    figures = ("bits", "accuracy", "parameters", "cpu_seconds")
    print("| set | " + " | ".join(f"{figure} {path.stem}" for figure in figures for path in paths) + " |")
    print("|---" * (1 + len(figures) * len(paths)) + "|")
    for name in SETS:
        runs = [[run for key, run in found.items() if key.split()[0] == name] for found in results]
        if all(runs):
            means = [[sum(run[figure] for run in own) / len(own) for own in runs] for figure in figures]
            shown = [[f"{bits:.4f}" for bits in means[0]], [f"{100 * share:.2f} %" for share in means[1]]]
            shown += [[f"{count:,.0f}" for count in means[2]], [f"{seconds:.1f}" for seconds in means[3]]]
            print(f"| {name} | " + " | ".join(cell for row in shown for cell in row) + " |")


def main() -> None:
    """Measure, or print a table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="by default all")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--results", type=Path, default=Path("defaults.json"))
    parser.add_argument("--package", type=Path, help="folder that holds another checkout, of the name stepcell")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--table", type=Path, nargs="+")
    own, _, options = " ".join(sys.argv[1:]).partition(" -- ")
    given = parser.parse_args(own.split())
    if given.table:
        table(given.table)
        return
    done = json.loads(given.results.read_text()) if given.results.exists() else {}
    for seed in range(given.seeds):
        for name in given.sets or SETS:
            key = f"{name} {seed} {options}".strip()
            if key in done:
                continue
            with tempfile.TemporaryDirectory() as folder:
                arguments = [*SETS[name](given.data, Path(folder)), "--seed", str(seed), *options.split()]
                done[key] = measure(arguments, given.package, Path(folder))
            print(key, done[key], flush=True)
            given.results.write_text(json.dumps(done, indent=1))


if __name__ == "__main__":
    main()
