"""What a step costs: stepcell's ways, those people write by hand, and Keras, in one process, as ratios.

    python benchmarks/step.py            # or: make bench

Times are microseconds per symbol, the lowest of several rounds in which all ways take turns, in several processes.
Machines are noisy: compare the ratios within a run. `stepcell bench FILE` does the same for a file of yours.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with suppress(ImportError):  # before TensorFlow, or it cannot build an interpreter any more
    importlib.import_module("tflite_runtime.interpreter")

import tempfile
from pathlib import Path

import keras

from stepcell.export import build_step_function
from stepcell.export.commands.bench import keras_variants
from stepcell.export.onnx.convert import onnx_payload
from stepcell.export.step_function.build import StepFunction
from stepcell.export.tflite.convert import tflite_payload
from stepcell.runtime import Manifest, Vocabulary
from stepcell.runtime.bench.measurement import Measurement, measure_variants
from stepcell.runtime.bench.report import machine
from stepcell.runtime.bench.variants import REFERENCE, reference_of
from stepcell.runtime.format.model_file import pack

SHAPES = [(5, 20), (100, 50), (100, 128), (100, 256), (100, 512)]  # symbols, units
# (file, backend, precision)
KINDS = [
    ("tflite", "litert", "float32"),
    ("tflite", "litert", "int8"),
    ("tflite", "tflite", "float32"),
    ("onnx", "onnxruntime", "float32"),
    ("tflite", "native", "float32"),
    ("tflite", "native", "float16"),
    ("tflite", "native", "int8"),
    ("tflite", "numpy", "float32"),
]


def build(symbols: int, units: int) -> keras.Sequential:
    """Return an LSTM of Keras's own initial weights."""
    keras.utils.set_random_seed(1)
    embedding = keras.layers.Embedding(symbols, symbols, "identity")
    layers = [embedding, keras.layers.LSTM(units, return_sequences=True), keras.layers.Dense(symbols, "softmax")]
    return keras.Sequential([keras.Input((None,), dtype="int32"), *layers])


def write(step_function: StepFunction, format: str, precision: str, folder: Path) -> Path:
    """Write a model file without the parity check of an export."""
    manifest = Manifest("bench", Vocabulary.of_ids(step_function.symbols), step_function.state, step_function.cells,
                        quantization=precision)  # fmt: skip
    payload = {"tflite": tflite_payload, "onnx": onnx_payload}[format](step_function, precision)[0]
    path = folder / f"bench.{precision}.{format}"
    path.write_bytes(pack(payload, manifest, format))
    return path


def measure_shape(symbols: int, units: int, rounds: int, scored: int) -> list[tuple[str, Measurement]]:
    """Measure an LSTM of this shape in every kind of file; return titles of tables and what goes there."""
    model = build(symbols, units)
    step_function = build_step_function(model)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for format, backend, precision in KINDS:
            path = write(step_function, format, precision, Path(folder))
            peers = {"more": keras_variants(model)} if (backend, precision) == ("litert", "float32") else {}
            in_lanes = {} if backend in ("numpy", "native") else {"scored": scored}  # it has no batches
            measured = measure_variants(path, backend, rounds=rounds, **in_lanes, **peers)
            found.append((f"{measured.runtime}, {precision}", measured))
    return found


def measure_in_processes(shape: int, options: argparse.Namespace) -> list[tuple[str, Measurement]]:
    """Measure a shape in several processes; return the lowest figure that any of them found for each way.

    Where the code of an interpreter lies in memory differs between processes, and on some machines that is a matter of
    half a step. All ways are measured in each.
    """
    runs = []
    for _ in range(options.processes):
        command = [sys.executable, __file__, "--shape", str(shape), "--rounds", str(options.rounds),
                   "--scored", str(options.scored)]  # fmt: skip
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        runs.append([(title, Measurement(**entry)) for title, entry in json.loads(output)])
    return [(same[0][0], lowest([measured for _, measured in same])) for same in zip(*runs, strict=True)]


def lowest(found: list[Measurement]) -> Measurement:
    """Return the lowest of each figure."""
    ways = {name: min(one.microseconds[name] for one in found) for name in found[0].microseconds}
    figures = {name: min(getattr(one, name) for one in found) for name in ("load_ms", "p99_us", "cold_us")}
    return replace(found[0], microseconds=ways, **figures)


def main() -> None:
    """Measure and print a table for each interpreter: the ways are its rows, the shapes its columns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=3, help="in how many to measure everything")
    parser.add_argument("--scored", type=int, default=1_000_000, help="how many symbols are scored at a time")
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many of the shapes, the smallest first")
    parser.add_argument("--shape", type=int, help="measure this one alone, in this process, and print JSON")
    options = parser.parse_args()
    if options.shape is not None:
        found = measure_shape(*SHAPES[options.shape], options.rounds, options.scored)
        print(json.dumps([(title, vars(measured)) for title, measured in found]))
        return
    tables: dict[str, list[Measurement]] = {}
    for shape in range(options.shapes):
        for title, measured in measure_in_processes(shape, options):
            tables.setdefault(title, []).append(measured)
    print(f"{machine()}; microseconds per symbol (ratio to {REFERENCE!r} of float32 on ai-edge-litert,")
    print("of 'until the answer' to the same of it)")
    firsts = next(iter(tables.values()))
    for title, columns in tables.items():
        print(f"\n{title}".ljust(43) + "".join(f"V={v} U={u}".ljust(19) for v, u in SHAPES[: len(columns)]).rstrip())
        for name in columns[0].microseconds:
            cells = [
                f"{one.microseconds[name]:9.2f} ({one.microseconds[name] / first.microseconds[reference_of(name)]:.2f})"
                for one, first in zip(columns, firsts, strict=True)
            ]
            print((name.ljust(40) + "".join(cell.ljust(19) for cell in cells)).rstrip())
        for name, values in (
            ("from file to first answer, ms", [one.load_ms for one in columns]),
            ("Stream.step, p99", [one.p99_us for one in columns]),
            ("Stream.step with cold caches", [one.cold_us for one in columns]),
        ):
            print((name.ljust(40) + "".join(f"{value:9.2f}".ljust(19) for value in values)).rstrip())


if __name__ == "__main__":
    main()
