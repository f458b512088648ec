"""What a symbol of a long history costs: stepped, absorbed, and through the graph of whole sequences.

    python benchmarks/bulk.py

Microseconds of the processor per symbol, the lowest of several rounds in which all ways take turns in one process; in
brackets the ratio to `Stream.step` on the same interpreter.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from step import build

from stepcell.export import build_step_function
from stepcell.export.onnx.convert import onnx_payload
from stepcell.export.onnx.sequence import sequence_payload
from stepcell.export.tflite.convert import tflite_payload
from stepcell.runtime import Manifest, Model, Vocabulary, load
from stepcell.runtime.format.model_file import pack

SHAPES = [(100, 50), (100, 256)]  # symbols, units
ROUNDS, SYMBOLS = 7, 2000
Way = Callable[[list[str]], object]


def models(symbols: int, units: int, folder: Path) -> Iterator[tuple[str, Model]]:
    """Yield an LSTM of this shape in every kind of file, by name."""
    step_function = build_step_function(build(symbols, units))
    manifest = Manifest("bench", Vocabulary.of_ids(symbols), step_function.state, step_function.cells)
    for name, backend, payload, sequence in (
        ("model.tflite", "litert", tflite_payload(step_function)[0], False),
        ("model.onnx", "onnxruntime", onnx_payload(step_function)[0], False),
        ("model.sequence.onnx", "onnxruntime", sequence_payload(step_function)[0], True),
    ):
        path = folder / f"{units}-{name}"
        path.write_bytes(pack(payload, replace(manifest, sequence=sequence), path.suffix[1:]))
        yield name, load(path, backend=backend)


def ways(model: Model) -> Iterator[tuple[str, Way]]:
    """Yield the ways to feed a history, by name."""
    stepped, absorbed = model.stream(), model.stream()

    def step(history: list[str]) -> None:
        for symbol in history:
            stepped.step(symbol)

    yield "step", step
    yield "absorb", absorbed.absorb


def main() -> None:
    """Measure and print one table."""
    table: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for symbols, units in SHAPES:
            all_ways = {
                (name, way): feed for name, model in models(symbols, units, Path(folder)) for way, feed in ways(model)
            }
            history = [str(id) for id in np.random.default_rng(0).integers(0, symbols, SYMBOLS)]
            best = dict.fromkeys(all_ways, float("inf"))
            for _ in range(ROUNDS):
                for key, feed in all_ways.items():
                    start = time.process_time()
                    feed(history)
                    best[key] = min(best[key], (time.process_time() - start) / SYMBOLS * 1e6)
            for (name, way), microseconds in best.items():
                stepped = best["model.tflite" if name == "model.tflite" else "model.onnx", "step"]
                cell = f"{microseconds:6.2f} ({microseconds / stepped:4.2f})"
                table.setdefault(f"{name}, {way}", []).append(cell)
    print("".ljust(26) + "".join(f"V={symbols} U={units}".ljust(18) for symbols, units in SHAPES).rstrip())
    for name, cells in table.items():
        print((name.ljust(26) + "".join(cell.ljust(18) for cell in cells)).rstrip())


if __name__ == "__main__":
    main()
