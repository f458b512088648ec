"""What a step costs: stepcell's ways and the ways people write by hand, in one process, as ratios.

    python benchmarks/step.py            # or: make bench

Times are microseconds per carried step, the lowest of several rounds in which all ways take turns. Machines are
noisy: compare the ratios within a run.
"""

from __future__ import annotations

import importlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with suppress(ImportError):  # before TensorFlow, or it cannot build an interpreter any more
    importlib.import_module("tflite_runtime.interpreter")

import tempfile
from pathlib import Path

import keras
import numpy as np

from stepcell.export import build_step_function
from stepcell.export.onnx import onnx_payload
from stepcell.export.tflite import tflite_payload
from stepcell.runtime import Manifest, Vocabulary, load
from stepcell.runtime.backend import NUMPY, describe_backend, usable_backends
from stepcell.runtime.model_file import seal

SHAPES = [(5, 20), (100, 50), (100, 128), (100, 256)]  # symbols, units
ROUNDS, STEPS = 7, 1000
Loop = Callable[[list[int]], None]


def build(symbols: int, units: int) -> keras.Sequential:
    """Return an LSTM of Keras's own initial weights."""
    keras.utils.set_random_seed(1)
    embedding = keras.layers.Embedding(symbols, symbols, "identity")
    layers = [embedding, keras.layers.LSTM(units, return_sequences=True), keras.layers.Dense(symbols, "softmax")]
    return keras.Sequential([keras.Input((None,), dtype="int32"), *layers])


def stream_steps(path: Path, backend: str) -> Loop:
    """`Stream.step` with its prediction."""
    model = load(path, backend=backend)
    stream, symbols = model.stream(), model.vocabulary.symbols

    def loop(ids: list[int]) -> None:
        for id in ids:
            stream.step(symbols[id])

    return loop


def by_hand_tflite(payload: bytes, module: str) -> Loop:
    """What people write: set_tensor, invoke, get_tensor."""
    interpreter = importlib.import_module(module).Interpreter(model_content=payload, num_threads=1)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner("step")
    inputs = {name: detail["index"] for name, detail in runner.get_input_details().items()}
    outputs = {name: detail["index"] for name, detail in runner.get_output_details().items()}
    zeros = {
        name: np.zeros(d["shape"], np.float32) for name, d in runner.get_input_details().items() if name != "symbol"
    }
    del runner

    def loop(ids: list[int]) -> None:
        state = dict(zeros)
        for id in ids:
            interpreter.set_tensor(inputs["symbol"], np.array([id], np.int32))
            for name, array in state.items():
                interpreter.set_tensor(inputs[name], array)
            interpreter.invoke()
            interpreter.get_tensor(outputs["probabilities"])
            state = {name: interpreter.get_tensor(outputs[f"next_{name}"]) for name in state}

    return loop


def by_hand_onnx(payload: bytes, units: int) -> Loop:
    """What people write: session.run with a dictionary."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])

    def loop(ids: list[int]) -> None:
        h = c = np.zeros((1, units), np.float32)
        for id in ids:
            _, h, c = session.run(
                ["probabilities", "next_h0", "next_c0"], {"symbol": np.array([id], np.int32), "h0": h, "c0": c}
            )

    return loop


def by_hand_numpy(model: keras.Sequential, units: int) -> Loop:
    """What people write who know the formulas: the input kernel folded into a table, then one line a gate."""
    embedding, kernel, recurrent, bias, dense, dense_bias = model.get_weights()
    table = embedding @ kernel + bias

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    def loop(ids: list[int]) -> None:
        h = c = np.zeros(units, np.float32)
        for id in ids:
            i, f, g, o = np.split(table[id] + h @ recurrent, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            logits = h @ dense + dense_bias
            powers = np.exp(logits - logits.max())
            powers / powers.sum()

    return loop


def ways(symbols: int, units: int, folder: Path) -> Iterator[tuple[str, Loop]]:
    """Yield every way to step an LSTM of this shape, by name."""
    model = build(symbols, units)
    step_function = build_step_function(model)
    manifest = Manifest("bench", Vocabulary.of_ids(symbols), step_function.state, step_function.cells)
    payloads = {"tflite": tflite_payload(step_function)[0], "onnx": onnx_payload(step_function)[0]}
    for format, payload in payloads.items():
        path = folder / f"{symbols}-{units}.{format}"
        path.write_bytes(seal(payload, manifest, format))
        for backend in usable_backends(format):
            of = f" of the .{format} file" if backend == NUMPY else ""
            yield f"Stream.step{of}, {describe_backend(backend)}", stream_steps(path, backend)
            if backend == NUMPY:
                yield f"folded table, {describe_backend(backend)}", by_hand_numpy(model, units)
            elif format == "onnx":
                yield f"session.run, {describe_backend(backend)}", by_hand_onnx(payload, units)
            else:
                module = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}[backend]
                yield f"set_tensor/invoke/get_tensor, {describe_backend(backend)}", by_hand_tflite(payload, module)


def main() -> None:
    """Measure and print one table."""
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    print(f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}; microseconds per step")
    table: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for symbols, units in SHAPES:
            loops = dict(ways(symbols, units, Path(folder)))
            ids = np.random.default_rng(0).integers(0, symbols, STEPS).tolist()
            best = dict.fromkeys(loops, float("inf"))
            for _ in range(ROUNDS):
                for name, loop in loops.items():
                    start = time.perf_counter()
                    loop(ids)
                    best[name] = min(best[name], (time.perf_counter() - start) / STEPS * 1e6)
            for name, microseconds in best.items():
                runtime = name.split(", ")[1]
                by_hand = next(t for n, t in best.items() if n.endswith(runtime) and not n.startswith("Stream"))
                table.setdefault(name, []).append(f"{microseconds:7.2f} ({microseconds / by_hand:4.2f})")
    print("".ljust(52) + "".join(f"V={symbols} U={units}".ljust(18) for symbols, units in SHAPES).rstrip())
    for name, cells in table.items():
        print((name.ljust(52) + "".join(cell.ljust(18) for cell in cells)).rstrip())
    print("in brackets: ratio to the way by hand on the same interpreter")


if __name__ == "__main__":
    main()
