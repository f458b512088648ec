"""Models and files that several tests use."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stepcell.runtime import load, read_model_file
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.format.tensor_specs import AnswerTimes
from stepcell.runtime.interpreters import native

DATA = Path(__file__).parent.parent / "data"
FOREIGN = DATA / "foreign"
# The checked-in models that data/make.py writes: of each NAME.tflite and NAME.onnx, read with `path_of`.
# Symbols are "0", "1", ... where nothing else is said, and answers a softmax over the next symbol.
STANDARD = {
    "lstm": "LSTM of 12 units, 7 symbols; float16 and a graph of whole sequences too",
    "lstm40": "LSTM of 40 units, 20 symbols; int8 too",
    "three_lstm": "LSTMs of 4, 6 and 8 units",
    "gru": "GRU of 12 units",
    "gru_reset_before": "GRU of 12 units whose reset gate comes before the product",
    "two_gru": "GRUs of 6 and 8 units",
    "rnn": "SimpleRNN of 12 units",
    "started": "LSTM of 12 units that begins with a given state: h from -0.5, c from -1 upwards",
    "text": "GRU of 12 units; characters, a newline, a backslash and an emoji among them, and one for unknown symbols",
    "labelled": "LSTM of 8 units, symbols a to f in, the labels low, middle and high out",
    "sigmoid": "GRU of 9 units whose answers are sigmoids",
    "stack": "LSTM, GRU, normalization, residual, SimpleRNN; float16 too",
    "masked": "masked layers of all kinds: symbol 0 moves nothing; 6 symbols",
    "window": "a convolution and an LSTM of 9 units",
    "convolution": "convolutions, pooling, separable kernels: no two phases, all states are windows",
    "wide": "symbols a to g, `hour` (id of 24), `speed` (3 numbers) in; `gap` (2 values), `mood` (3 labels) out",
    "vectors": "7 symbols and `vector` (2, 3) in, `value` (2 values) out beside the symbol",
    "sensor": "GRU of 8 units, `features` (4 numbers) in, 2 values out, no symbols",
    "latch": "one unit that symbol 2 of 3 sets for ever; no golden sequence",
    "biased": "LSTM of 4 units; the bias before its softmax is 1/7, ..., 1; no golden sequence",
    "growing_softmax": "3 symbols, a state that doubles at each step and is infinite after 128; no golden sequence",
    "growing_sigmoid": "the same with sigmoids",
    "growing_two": "two such layers",
}
# lstm40.int8.tflm.tflite and sensor.tflm.tflite: for TensorFlow Lite Micro.
# personal: LSTM of 6 units, 5 symbols, and a static input `user` of 3 numbers.
# Graphs without a manifest, made by other means: support/foreign.py.
FOREIGN_FILES = {
    "positional.tflite": "an LSTM of 5 units without a signature: inputs x, h, c; 6 symbols",
    "signed.tflite": "the same with names of its own, logits, and a state with a time dimension",
    "open.tflite": "a step on a chunk of any length, whose answer has that length too",
    "helper.onnx": "a recurrent network built with onnx.helper: int64 symbol (1, 1), one state, logits",
    "converted.onnx": "the LSTM as tf2onnx converts it",
    "operators.tflite": "34 outputs of operators that step functions do not have, of x and y, (1, 6) each",
    "softmax.tflite": "a softmax of x (1, 4) with beta 2",
    "dense8.tflite": "a product with weights of 8 bits, (1, 64) to (1, 32)",
}
ADOPTED = (DATA / "adopted.tflite", DATA / "adopted.onnx")  # positional.tflite and helper.onnx with a manifest
# (backend, file) for every interpreter, all of which are installed with the extra `dev`, and for numpy.
INTERPRETERS = [("litert", "memory.tflite"), ("tflite", "memory.tflite"), ("onnxruntime", "memory.onnx")]
# The compiled engine, wherever it has been compiled; test_native_backend.py sees to it that it was.
ENGINE = [("native", "memory.tflite"), ("native", "memory.onnx")] if find_spec(f"{native.__name__}._engine") else []
RUNTIMES = [*INTERPRETERS, ("numpy", "memory.tflite"), ("numpy", "memory.onnx"), *ENGINE]
WAYS = [*RUNTIMES, *((*way, "low latency") for way in ENGINE[:1])]


def path_of(name: str, format: str = "tflite", precision: str = "float32") -> Path:
    """The file of a standard model; `precision` is "float32", "float16", "int8" or "sequence"."""
    return DATA / (f"{name}.{format}" if precision == "float32" else f"{name}.{precision}.{format}")


def changed_memory(path: Path, *, of: str = "memory", **changes) -> Path:
    """Write the checked-in model `of` as `path`, in the format of its suffix, with `changes` to its manifest."""
    file = read_model_file(path_of(of, path.suffix[1:]))
    path.write_bytes(pack(file.payload, replace(file.manifest, **changes), file.format))
    return path


def answering(path: Path, first: int, every: int, *, of: str = "memory") -> Path:
    """The same with a model that answers at step `first` and then at each `every`-th alone."""
    return changed_memory(path, of=of, answers=AnswerTimes(first, every))


def let_answer(path: Path, first: int, every: int) -> Path:
    """Change the model at `path` in that way."""
    file = read_model_file(path)
    path.write_bytes(pack(file.payload, replace(file.manifest, answers=AnswerTimes(first, every)), file.format))
    return path


class Answers(NamedTuple):
    """What float64 answers to the inputs of a standard model, T steps of them, at the steps `kept`.

    Attributes:
        ids: The symbols, int32 (T,).
        features: Name -> the features, (T, ...).
        kept: Indices of steps, the first 20 of them without a gap.
        main: The main output at these, float64 (len(kept), K).
        others: Name -> the same of the other outputs.
    """

    ids: np.ndarray
    features: dict[str, np.ndarray]
    kept: np.ndarray
    main: np.ndarray
    others: dict[str, np.ndarray]


@cache
def answers_of(name: str) -> Answers:
    """The right answers of a standard model that has a golden sequence, from data/answers.npz."""
    with np.load(DATA / "answers.npz") as file:
        arrays = {key.removeprefix(f"{name}/"): file[key] for key in file.files if key.startswith(f"{name}/")}
        kept = file["kept"][: len(arrays["main"])]

    def of(prefix: str) -> dict[str, np.ndarray]:
        return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}

    return Answers(arrays["symbol"].astype(np.int32), of("feature/"), kept, arrays["main"], of("other/"))


SPEEDS = 3  # numbers in the feature `speed` of the model "wide"


def wide_inputs(steps: int, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Symbols, hours and speeds for so many steps of the model "wide"."""
    random = np.random.default_rng(seed)
    symbols = ["abcdefg"[id] for id in random.integers(0, 7, steps)]
    return symbols, random.integers(0, 24, steps), random.normal(size=(steps, SPEEDS)).astype("f4")


class LowLatency:
    """A model all of whose streams step in two phases."""

    def __init__(self, model):
        self._model = model

    def stream(self):
        return self._model.stream(low_latency=True)


def open_way(backend: str, name: str, *low_latency: str):
    """Return the model of one of `WAYS`."""
    model = load(DATA / name, backend=backend)
    return LowLatency(model) if low_latency else model
