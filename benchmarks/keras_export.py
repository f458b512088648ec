"""What Keras's own exporter, `model.export(path, format="litert")`, makes of recurrent models, and of the state.

    python benchmarks/keras_export.py

Prints a row for each model: what came of the export, and of stepping the file with ai-edge-litert, whose interpreter
has the built-in operators alone. The table in docs/comparison.md comes from it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from keras import Input, layers

NUMBERS, UNITS, ANSWERS, WINDOW = 8, 16, 4, 20


def sequences(kind: type) -> Any:
    """Return a model of sequences of any length."""
    return keras.Sequential([Input((None, NUMBERS)), kind(UNITS, return_sequences=True), layers.Dense(ANSWERS)])


def windows(kind: type) -> Any:
    """Return a model of windows, with an answer for each."""
    return keras.Sequential([Input((WINDOW, NUMBERS)), kind(UNITS), layers.Dense(ANSWERS)])


def stateful(kind: type, *, unroll: bool = False) -> Any:
    """Return a model of one step that keeps its state."""
    cell = kind(UNITS, stateful=True, return_sequences=True, unroll=unroll)
    return keras.Sequential([Input(batch_shape=(1, 1, NUMBERS)), cell, layers.Dense(ANSWERS)])


def state_by_hand(kind: type, *, unroll: bool = False) -> Any:
    """Return a model of one step with its state as inputs and outputs."""
    numbers = Input(batch_shape=(1, 1, NUMBERS))
    before = [Input(batch_shape=(1, UNITS)) for _ in range(2 if kind is layers.LSTM else 1)]
    answer, *after = kind(UNITS, return_state=True, unroll=unroll)(numbers, initial_state=before)
    return keras.Model([numbers, *before], [layers.Dense(ANSWERS)(answer), *after])


MODELS: dict[str, Callable[[], Any]] = {
    f"{name}, {kind.__name__}": lambda make=make, kind=kind: make(kind)
    for name, make in {
        "sequences of any length": sequences,
        f"windows of {WINDOW}": windows,
        "one step, stateful": stateful,
        "one step, stateful, unrolled": lambda kind: stateful(kind, unroll=True),
        "one step, state as inputs and outputs": state_by_hand,
        "one step, state as inputs and outputs, unrolled": lambda kind: state_by_hand(kind, unroll=True),
    }.items()
    for kind in (layers.LSTM, layers.GRU)
}


def main() -> int:
    """Export and step all models."""
    print(f"Keras {keras.__version__}")
    for name, make in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name:53} {result(make(), Path(folder) / 'model.tflite')}", flush=True)
    return 0


def result(model: Any, path: Path) -> str:
    """Return in a line what came of the export of `model` to `path`, and of stepping the file."""
    try:
        with silence():
            model.export(path, format="litert", verbose=False)
    except Exception as error:
        return f"not exported: {type(error).__name__}"
    try:
        with silence():
            interpreter = Interpreter(model_path=str(path))
            interpreter.allocate_tensors()
            for given in interpreter.get_input_details():
                interpreter.set_tensor(given["index"], np.ones(given["shape"], given["dtype"]))
            interpreter.invoke()
    except Exception as error:
        return f"not stepped: {str(error).split('(s)')[0]}"
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    first = interpreter.get_tensor(outputs[0]["index"]).copy()
    interpreter.invoke()
    hidden = not np.array_equal(first, interpreter.get_tensor(outputs[0]["index"]))
    names = ", ".join(str(each["name"]) for each in inputs)
    where = "hidden: a second call with the same input answers otherwise" if hidden else "not in the file"
    return f"stepped; inputs {names}; the state is {where if len(inputs) == 1 else 'explicit'}"


@contextmanager
def silence() -> Iterator[None]:
    """Send what TensorFlow prints to nowhere."""
    kept = [os.dup(number) for number in (1, 2)]
    with Path(os.devnull).open("w") as nowhere:
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)


if __name__ == "__main__":
    sys.exit(main())
