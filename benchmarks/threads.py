"""The cost of a step where several threads step streams of one model.

    python benchmarks/threads.py

Microseconds that pass per symbol, all threads together, the lowest of several rounds; in brackets the ratio to one.
Each stream has an interpreter of its own, so they run side by side, as far as there are cores.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
from step import SHAPES, build, write

from stepcell.export import build_step_function
from stepcell.runtime import Stream, load
from stepcell.runtime.bench.report import machine

ROUNDS, STEPS = 5, 20_000


def together(streams: list[Stream], symbols: list[str]) -> float:
    """Step each of `streams` through `symbols` in a thread of its own; return microseconds per symbol of them all."""
    barrier = Barrier(len(streams) + 1)

    def work(stream: Stream) -> None:
        step = stream.step
        barrier.wait()
        for symbol in symbols:
            step(symbol)

    threads = [Thread(target=work, args=(stream,)) for stream in streams]
    for thread in threads:
        thread.start()
    barrier.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - start) / len(symbols) / len(streams) * 1e6


def main() -> None:
    """Measure and print one table."""
    table: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for symbols, units in SHAPES:
            path = write(build_step_function(build(symbols, units)), "tflite", "float32", Path(folder))
            model = load(path)
            history = [str(id) for id in np.random.default_rng(0).integers(0, symbols, STEPS)]
            streams = [model.stream() for _ in range(4)]
            best = {
                f"{count} thread{'s' * (count > 1)}": min(together(streams[:count], history) for _ in range(ROUNDS))
                for count in (1, 2, 4)
            }
            for name, microseconds in best.items():
                cell = f"{microseconds:7.2f} ({microseconds / best['1 thread']:.2f})"
                table.setdefault(name, []).append(cell)
    print(f"{machine()}; microseconds per symbol of all threads together (ratio to 1 thread)")
    print("".ljust(26) + "".join(f"V={symbols} U={units}".ljust(17) for symbols, units in SHAPES).rstrip())
    for name, cells in table.items():
        print((name.ljust(26) + "".join(cell.ljust(17) for cell in cells)).rstrip())


if __name__ == "__main__":
    main()
