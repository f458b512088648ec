"""Steps one model for days of a device's life: no growth of memory, and the same bits in every pass.

    python benchmarks/soak.py                       # 50 million symbols, minutes; or: make soak
    python benchmarks/soak.py --symbols 5000000 --backend numpy

A pass steps the same random symbols from the initial state, in turn by `step_id`, `step` and `run_ids`; all answers and
the last state go into a sha256, which must be that of the first pass. Ctrl-C ends it; the same command goes on and
compares with the first pass of the process before.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from stepcell.runtime import Stream, load
from stepcell.runtime.common.arrays import Ids
from stepcell.runtime.common.atomic_write import atomic_write

ROOT = Path(__file__).resolve().parent.parent
PASS = 250_000  # symbols
RUN = 1000  # of them at once in `run_ids`
WARM = 3  # passes after which memory must have come to rest: each way has been used once
GROWTH = 2 * 2**20  # bytes that the process may grow afterwards, however many passes there are


def by_step_id(stream: Stream, ids: Ids) -> Any:
    """Step by `step_id`."""
    digest, step_id = sha256(), stream.step_id
    for id in ids.tolist():
        digest.update(step_id(id))
    return digest


def by_step(stream: Stream, ids: Ids) -> Any:
    """Step by `step`."""
    digest, step, symbols = sha256(), stream.step, stream.file.manifest.vocabulary.symbols
    for id in ids.tolist():
        digest.update(step(symbols[id]).values)
    return digest


def by_run(stream: Stream, ids: Ids) -> Any:
    """Step by `run_ids`."""
    digest = sha256()
    for first in range(0, len(ids), RUN):
        digest.update(stream.run_ids(ids[first : first + RUN]))
    return digest


WAYS: tuple[Callable[[Stream, Ids], Any], ...] = (by_step_id, by_step, by_run)


def main() -> int:
    """Step, compare, and print how far it came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=50_000_000, help="how many in all [%(default)s]")
    parser.add_argument("--model", type=Path, default=ROOT / "tests/data/memory.tflite", help="file [memory.tflite]")
    parser.add_argument("--backend", help="backend [the first that works]")
    parser.add_argument("--progress", type=Path, help="file that says how far it is [build/soak-BACKEND.json]")
    arguments = parser.parse_args()
    model = load(arguments.model, backend=arguments.backend)
    progress = arguments.progress or ROOT / f"build/soak-{model.backend.replace(' ', '-')}.json"
    known = {"fingerprint": model.manifest.fingerprint, "backend": model.backend, "done": 0, "digest": None}
    if progress.exists():
        found = json.loads(progress.read_text())
        known = found if {**found, "done": 0, "digest": None} == known else known
    progress.parent.mkdir(parents=True, exist_ok=True)
    stream, start, here = model.stream(), time.monotonic(), 0
    ids = np.random.default_rng(0).integers(0, len(model.vocabulary), PASS).astype(np.int32)
    rest = None
    print(f"{model.backend}, {model.file.name}: {known['done']:,} symbols done before", flush=True)
    try:
        while known["done"] < arguments.symbols:
            stream.reset()
            digest = WAYS[known["done"] // PASS % len(WAYS)](stream, ids)
            for array in stream.state.values():
                digest.update(array)
            if known["digest"] not in (None, digest.hexdigest()):
                print(f"wrong: after {known['done']:,} symbols a pass gave other bits than the first")
                return 1
            known = {**known, "digest": digest.hexdigest(), "done": known["done"] + PASS}
            atomic_write(progress, json.dumps(known).encode())
            here += 1
            if here == WARM:
                rest = resident()
            elif rest is not None and resident() > rest + GROWTH:
                print(f"wrong: after {known['done']:,} symbols {rest:,} bytes of memory have become {resident():,}")
                return 1
            rate = here * PASS / (time.monotonic() - start)
            how_far = f"{known['done']:,} of {arguments.symbols:,}, {rate:,.0f} a second"
            if sys.stderr.isatty():
                print(f"\r{how_far}", end="", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(f"\nstopped after {known['done']:,} symbols; the same command goes on", file=sys.stderr)
        return 130
    if sys.stderr.isatty():
        print(file=sys.stderr)
    grown = "too few passes to tell" if rest is None else f"{(resident() - rest) / 2**10:+,.0f} KiB"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{known['done']:,} symbols, every pass the same bits; memory {grown} after pass {WARM}, {most:.1f} MiB at most"
    )
    return 0


def resident() -> int:
    """Return how many bytes of memory the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
