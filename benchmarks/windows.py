"""Step times of windows: in rows, computed anew, a plain step of the same network, and Keras's own converted window.

    python benchmarks/windows.py

A window of 20 time steps; one thread; the least of several rounds in turns, so that the ratios hold on a busy machine.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from time import perf_counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with suppress(ImportError):  # before TensorFlow, or it cannot build an interpreter any more
    importlib.import_module("tflite_runtime.interpreter")

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from stepcell.export.prepare import prepare
from stepcell.export.tflite.convert import tflite_payload

L = keras.layers
LENGTH, ROUNDS, STEPS = 20, 25, 200


def network(kind: str, units: int) -> keras.Model:
    """Return the window model."""
    source = keras.Input((LENGTH, 4), name="x")
    x = source
    if kind == "2 LSTM":
        x = L.LSTM(units, return_sequences=True)(x)
    x = L.Bidirectional(L.LSTM(units))(x) if kind == "Bidirectional" else L.LSTM(units)(x)
    return keras.Model(source, L.Dense(1)(x))


def invoke_of(payload: bytes) -> Callable[[], None]:
    """Return the Invoke of a TFLite graph, with its memory allocated."""
    interpreter = Interpreter(model_content=payload, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter.invoke


def keras_payload(model: keras.Model) -> bytes | None:
    """Return what Keras's model converts to by itself, a window at once; None: it does not without TensorFlow."""
    source = keras.Input(batch_shape=(1, LENGTH, 4))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(source, model(source)))
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return converter.convert()
    except Exception:
        return None


def measured(calls: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Return the microseconds of each call, the least of all rounds."""
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            before = perf_counter()
            for _ in range(STEPS):
                call()
            least[name] = min(least[name], (perf_counter() - before) / STEPS * 1e6)
    return least


def main() -> int:
    """Print the table; return 1 if rows of 64 units take more than 7 plain steps."""
    print("network         units  plain us  window us  in plain steps  Keras's own us  bytes  state bytes")
    failed = False
    for kind, units in (("LSTM", 20), ("LSTM", 64), ("2 LSTM", 20), ("2 LSTM", 64), ("Bidirectional", 20)):
        keras.utils.set_random_seed(1)
        model = network(kind, units)
        window = prepare(model, values=True).step_function
        payload = tflite_payload(window)[0]
        calls = {"window": invoke_of(payload)}
        if kind != "Bidirectional":
            calls["plain"] = invoke_of(tflite_payload(prepare(model, values=True, carried=True).step_function)[0])
        own = keras_payload(model)
        if own is not None:
            calls["own"] = invoke_of(own)
        times = measured(calls)
        plain, state = times.get("plain", np.nan), sum(4 * int(np.prod(tensor.shape)) for tensor in window.state)
        ratio = times["window"] / plain
        failed |= kind == "LSTM" and units == 64 and not ratio <= 7
        print(
            f"{kind:15} {units:5}  {plain:8.1f}  {times['window']:9.1f}  {ratio:14.1f}  "
            f"{times.get('own', np.nan):14.1f}  {len(payload):5}  {state:11}",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
