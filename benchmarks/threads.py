"""What a step costs where several threads step: streams of one model, and streams of a model each.

    python benchmarks/threads.py

Microseconds that pass per symbol, all threads together, the lowest of several rounds; in brackets the ratio to one.
Streams of one model share an interpreter: where threads take turns, the states change places in it. Models of their own
run side by side, as far as there are cores.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
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
            shared, models = load(path), [load(path) for _ in range(4)]
            history = [str(id) for id in np.random.default_rng(0).integers(0, symbols, STEPS)]
            ways: dict[str, Callable[[], list[Stream]]] = {
                "1 thread": lambda shared=shared: [shared.stream()],
                **{
                    f"{count} threads, one model": lambda count=count, shared=shared: [
                        shared.stream() for _ in range(count)
                    ]
                    for count in (2, 4)
                },
                **{
                    f"{count} threads, a model each": lambda count=count, models=models: [
                        model.stream() for model in models[:count]
                    ]
                    for count in (2, 4)
                },
            }
            best = {name: min(together(make(), history) for _ in range(ROUNDS)) for name, make in ways.items()}
            for name, microseconds in best.items():
                cell = f"{microseconds:7.2f} ({microseconds / best['1 thread']:.2f})"
                table.setdefault(name, []).append(cell)
    print(f"{machine()}; microseconds per symbol of all threads together (ratio to 1 thread)")
    print("".ljust(26) + "".join(f"V={symbols} U={units}".ljust(17) for symbols, units in SHAPES).rstrip())
    for name, cells in table.items():
        print((name.ljust(26) + "".join(cell.ljust(17) for cell in cells)).rstrip())


if __name__ == "__main__":
    main()
