"""Models and files that several tests use."""

from __future__ import annotations

from pathlib import Path

from stepcell.runtime import load

DATA = Path(__file__).parent.parent / "data"
# (backend, file) for every interpreter, all of which are installed with the extra `dev`, and for numpy.
INTERPRETERS = [("litert", "memory.tflite"), ("tflite", "memory.tflite"), ("onnxruntime", "memory.onnx")]
RUNTIMES = [*INTERPRETERS, ("numpy", "memory.tflite"), ("numpy", "memory.onnx")]
WAYS = [*RUNTIMES, ("litert", "memory.tflite", "low latency")]


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
