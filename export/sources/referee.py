"""The referee of a rebuilt model: tf_keras, which is Keras 2, on the same configuration, weights and sequences.

Keras 3 cannot tell whether it understood an old file. tf_keras reads the weights with loaders of its own, in a process
of its own, and answers random sequences; the rebuilt model has to give the same numbers.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import ParityError, SourceError
from ...runtime.common.run_worker import WorkerProcess
from ..layers.keras_graph import KerasModel, as_given
from ..layers.static_values import inputs_of_ids
from .keras2 import entries
from .provenance import Proof
from .saved_weights import Config, SavedWeights

_COMMAND = (sys.executable, "-m", "stepcell.export.sources.referee_worker")
_TIMEOUT = 600.0  # seconds
_LENGTHS = (1, 7, 40)  # time steps, where the number of them is open
_BATCH, _SCALES = 3, (0.1, 1.0, 5.0)  # rows, and how large the numbers of each are
_MASKED = 0.2  # share of masked steps
# Rounding: both compute in float32 with the same operations of TensorFlow in another order.
_RELATIVE, _ABSOLUTE = 1e-5, 1e-6
_SEED = 2


_shared: WorkerProcess | None = None


@contextmanager
def one_process() -> Iterator[WorkerProcess]:
    """Answer all comparisons inside the block with one process of tf_keras, whose start takes seconds."""
    global _shared
    if _shared is not None:
        yield _shared
        return
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with WorkerProcess(_COMMAND, environment) as _shared:
        try:
            yield _shared
        finally:
            _shared = None


@dataclass(frozen=True)
class Referee:
    """The comparison of one rebuilt model with tf_keras.

    Attributes:
        path: The file that the model comes from.
        config: Its completed configuration.
        weights: Its weights as they are in the file.
    """

    path: Path
    config: Config
    weights: SavedWeights

    def compare(self, model: KerasModel) -> Proof:
        """Compare `model` with tf_keras on random sequences.

        Raises:
            ParityError: They differ; the first layer that does is named.
            SourceError: tf_keras cannot read what is in the file.
        """
        sequences = list(random_sequences(model, self.config))
        with one_process() as process:
            version, _, expected = self._ask(process, sequences, layers=False)
            worst = 0.0
            for number, inputs in enumerate(sequences):
                for index, found in enumerate(_run(model, inputs)):
                    difference = _difference(found, expected[f"{number}/{index}"])
                    worst = max(worst, difference)
                    if not difference <= _RELATIVE:
                        raise self._refusal(process, model, sequences, version, difference)
        return Proof(f"tf_keras {version}", len(sequences), float(f"{worst:.1e}"))

    def _ask(
        self, process: WorkerProcess, sequences: Sequence[list[AnyArray]], *, layers: bool
    ) -> tuple[str, list[str], dict[str, AnyArray]]:
        """Return the version of tf_keras, the names of layers, and the outputs by "sequence/output"."""
        packed = io.BytesIO()
        np.savez(packed, **{f"{n}/{i}": array for n, inputs in enumerate(sequences) for i, array in enumerate(inputs)})
        with tempfile.TemporaryDirectory(prefix="stepcell-") as folder:
            weights = self.weights.copy_into(Path(folder))
            found = process.request(
                "answer", packed.getvalue(), timeout=_TIMEOUT, config=self.config, kind=self.weights.kind,
                weights=str(weights), layers=layers,
            )  # fmt: skip
        if found.failure is not None:
            raise SourceError(f"tf_keras cannot read the model in {self.path}: {found.failure}. Nothing was written.")
        with np.load(io.BytesIO(found.blobs[0])) as answers:
            return found.value["version"], found.value["layers"], {name: answers[name] for name in answers.files}

    def _refusal(
        self, process: WorkerProcess, model: KerasModel, sequences: Sequence[list[AnyArray]], version: str, by: float
    ) -> ParityError:
        """Return the error for models that differ, with the first layer that does."""
        _, names, expected = self._ask(process, sequences, layers=True)
        outputs = {layer.name: layer.output for layer in model.layers if not isinstance(layer.output, (list, dict))}
        shared = [name for name in names if name in outputs]
        taps = keras.Model(model.inputs, [*model.outputs, *(outputs[name] for name in shared)])
        where = ""
        for index, name in enumerate(shared, len(model.outputs)):
            at = len(model.outputs) + names.index(name)
            apart = [
                _difference(_run(taps, inputs)[index], expected[f"{n}/{at}"]) for n, inputs in enumerate(sequences)
            ]
            if not max(apart) <= _RELATIVE:
                where = f", first in the layer {name!r}"
                break
        return ParityError(
            f"{self.path} rebuilt in Keras {keras.__version__} and tf_keras {version} differ by {by:.2g} (allowed "
            f"{_RELATIVE:g}){where}. Nothing was written."
        )


def _difference(found: AnyArray, expected: AnyArray) -> float:
    """Return the largest difference, relative to the largest expected number; inf where a number is not finite."""
    if found.shape != expected.shape:
        return float("inf")
    if not found.size:
        return 0.0
    apart = np.abs(found.astype(np.float64) - expected)
    same = np.isnan(found) & np.isnan(expected) | (found == expected)
    scale = np.nan_to_num(np.abs(expected), posinf=0.0).max() + _ABSOLUTE / _RELATIVE
    return float(np.nan_to_num(np.where(same, 0.0, apart), nan=np.inf).max() / scale)


def _run(model: KerasModel, inputs: list[AnyArray]) -> list[AnyArray]:
    """Return the outputs of a model of Keras 3 from a reset state."""
    with _reset(model):
        made = model(as_given(model, inputs), training=False)
    return [np.asarray(output) for output in keras.tree.flatten(made)]


@contextmanager
def _reset(model: KerasModel) -> Iterator[None]:
    """Reset the carried state before the block and after it."""
    stateful = [layer for layer in model._flatten_layers() if getattr(layer, "stateful", False)]
    for layer in stateful:
        layer.reset_state()
    yield
    for layer in stateful:
        layer.reset_state()


def random_sequences(model: KerasModel, config: Config) -> Iterator[list[AnyArray]]:
    """Yield the inputs of `model` for random sequences, several lengths where it is open.

    Inputs of ids are random ids that every layer knows, others random numbers of several magnitudes; some of their
    steps have the value that a Masking layer of the model masks.
    """
    random = np.random.default_rng(_SEED)
    options = [(class_name, entry["config"]) for class_name, entry in entries(config)]
    sizes = [
        o.get("input_dim", o.get("num_tokens")) for name, o in options if name in ("Embedding", "CategoryEncoding")
    ]
    ids = min((size for size in sizes if isinstance(size, int)), default=2)
    masked = next((o.get("mask_value", 0.0) for name, o in options if name == "Masking"), None)
    open_ended = any(len(tensor.shape) > 1 and tensor.shape[1] is None for tensor in model.inputs)
    of_ids = inputs_of_ids(model)  # keras.Input((None,)) is float32
    for length in _LENGTHS if open_ended else (0, 0):
        yield [
            _random_input(tensor, length, ids if table else None, masked, random)
            for tensor, table in zip(model.inputs, of_ids, strict=True)
        ]


def _random_input(
    tensor: Any, length: int, ids: int | None, masked: float | None, random: np.random.Generator
) -> AnyArray:
    batch, *rest = tensor.shape
    shape = (batch or _BATCH, *(size or length for size in rest))
    if ids is not None or "int" in str(tensor.dtype):
        ids_of_steps: AnyArray = random.integers(ids or 2, size=shape).astype(str(tensor.dtype))
        return ids_of_steps
    scales = np.resize(_SCALES, shape[0]).reshape(-1, *[1] * len(rest))
    numbers: AnyArray = (random.standard_normal(shape) * scales).astype(np.float32)
    if masked is not None and len(shape) > 2:
        numbers[random.random(shape[:2]) < _MASKED] = masked
    return numbers
