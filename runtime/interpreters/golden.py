"""The golden sequence: a known answer inside every model file, replayed when it is loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np

from ..common.arrays import AnyArray, Float32
from ..common.errors import BackendError, GoldenMismatchError, NotFiniteError, StepcellError
from ..format.manifest import GoldenRun, StateTensor
from ..format.model_file import ModelFile
from ..format.tensor_specs import Feature, Output
from .base import Backend, State, initial_state
from .batch import Batch
from .registry import NATIVE, describe_backend

INITIAL = "initial"
# The kernels of TFLite for 32-bit ARM are less exact than all others: a cell state is off by 1e-4, and the answer by up
# to 8e-4 (tests/data/memory.tflite over 2,000 steps; benchmarks/pi/prove.py).
_LESS_EXACT_TOLERANCE = 1e-3
_LESS_EXACT_FACTOR = 100  # the same, where a file has scales of its own
_ABSORB_TOLERANCE = 1e-4  # of the largest number of a tensor; a state that is fed back wrongly is off by all of it
_SMALLEST = 1e-30  # of a divisor


def start_state(start: str, state: tuple[StateTensor, ...]) -> dict[str, Float32]:
    """Return the state that a golden run starts from; `GoldenRun` documents "initial" and "ramp"."""
    if start == INITIAL:
        return initial_state(state)
    values = {}
    count = 0
    for tensor in state:
        array = tensor.initial_value()
        steps = np.arange(count, count + array.size)
        numbers: AnyArray = (37 * steps + 11) % 101
        if tensor.dtype == "float32":
            numbers = numbers / 101 - 0.5
        elif tensor.dtype == "bool":
            numbers = numbers % 2
        elif tensor.dtype != "uint8":
            numbers = numbers - 50
        values[tensor.name] = numbers.astype(np.float32).reshape(array.shape)
        count += array.size
    return values


def replay_golden(backend: Backend | _AllStreams, file: ModelFile, backend_name: str) -> float:
    """Step the golden sequence of `file` and compare; the resident state is the initial one afterwards.

    Returns:
        The largest absolute difference of a probability.

    Raises:
        GoldenMismatchError: An answer is farther off than the file allows, or is not a number; or `absorb` does not
            lead where stepping leads.
        BackendError: The interpreter fails in it.
    """
    try:
        return _replay(backend, file, backend_name)
    except StepcellError:
        raise
    except Exception as error:
        raise BackendError(
            f"{describe_backend(backend_name)} failed on the golden sequence of {file.name}: {error}. Try another "
            "backend, or export the model again."
        ) from error


def replay_golden_in_batch(batch: Batch, file: ModelFile, backend_name: str) -> float:
    """Replay with all streams of a batch at once, as `replay_golden` does; then their states are the initial one."""
    return replay_golden(_AllStreams(batch), file, backend_name)


class _AllStreams:
    """A batch as a backend that steps all of its streams alike; answers have a row for each, float32 (B, K)."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._features: dict[str, AnyArray] = {}

    def write_state(self, state: State) -> None:
        for name, memory in self._batch.state().items():
            memory[...] = state[name]

    def write_features(self, features: Mapping[str, AnyArray]) -> None:
        size = self._batch.size
        self._features = {name: np.broadcast_to(array, (size, *array.shape)) for name, array in features.items()}

    def step(self, id: int) -> None:
        self._batch.compute(np.full(self._batch.size, id, np.int32), self._features)
        self._batch.feed_back()

    def answer(self) -> Float32:
        return self._batch.answers

    def extra_outputs(self) -> dict[str, Float32]:
        return self._batch.extra_outputs


def _replay(backend: Backend | _AllStreams, file: ModelFile, backend_name: str) -> float:
    manifest = file.manifest
    worst = 0.0
    # These have another way for many symbols than one step after the other.
    absorbs = not manifest.features and (manifest.sequence or backend_name == NATIVE)
    if manifest.golden is not None:
        outputs, scales = list(manifest.golden.outputs), manifest.golden.scales
        main = Output(manifest.answer, len(outputs), manifest.output)
        for run in manifest.golden.runs:
            backend.write_state(start_state(run.start, manifest.state))
            for step, (id, expected) in enumerate(zip(run.ids, run.probabilities, strict=True), start=1):
                if manifest.features:
                    backend.write_features(_features_at(manifest.features, run, step - 1))
                try:
                    backend.step(id)
                except NotFiniteError:
                    raise _mismatch(file, backend_name, step, float("nan")) from None
                if run.start == INITIAL and not manifest.answers.answers_at(step):
                    continue
                differences = [_difference(backend.answer()[..., outputs], expected, main, scales)]
                for output in manifest.extra_outputs:
                    recorded = run.extra_outputs[output.name][step - 1]
                    found = backend.extra_outputs()[output.name][..., : len(recorded)]
                    differences.append(_difference(found, recorded, output, scales))
                difference = float(np.max(differences))
                if not difference <= _tolerance(file, backend_name):
                    raise _mismatch(file, backend_name, step, difference)
                worst = max(worst, difference)
            if absorbs and not isinstance(backend, _AllStreams):
                worst = max(worst, _absorb_run(backend, file, backend_name, run))
    backend.write_state(initial_state(manifest.state))
    return worst


def _tolerance(file: ModelFile, backend_name: str) -> float:
    assert file.manifest.golden is not None, "a step of the golden sequence was made"
    own = file.manifest.golden.tolerance
    is_less_exact = sys.maxsize < 2**32 and backend_name in ("litert", "tflite")
    least = _LESS_EXACT_TOLERANCE if not file.manifest.golden.scales else _LESS_EXACT_FACTOR * own
    return max(own, least) if is_less_exact else own


def _mismatch(file: ModelFile, backend_name: str, step: int, difference: float) -> GoldenMismatchError:
    return GoldenMismatchError(
        f"{describe_backend(backend_name)} does not answer as {file.name} was exported: at step {step} of the golden "
        f"sequence a probability is off by {difference:.2g} (allowed {_tolerance(file, backend_name):g}). Try another "
        "backend or version."
    )


def _features_at(features: tuple[Feature, ...], run: GoldenRun, step: int) -> dict[str, AnyArray]:
    return {f.name: np.array(run.features[f.name][step], f.dtype).reshape(f.shape) for f in features}


def _difference(
    found: Float32, recorded: tuple[float, ...], output: Output, scales: Mapping[str, tuple[float, ...]]
) -> float:
    """Return the largest difference of an output, on its scale; without one relative for values above 1.

    Not a number stays that.
    """
    expected = np.array(recorded)
    if output.name in scales:
        scale = np.array(scales[output.name])
    else:
        scale = np.maximum(1.0, np.abs(expected)) if output.activation == "linear" else np.ones(1)
    return float((np.abs(found - expected) / scale).max())


def _absorb_run(backend: Backend, file: ModelFile, backend_name: str, run: GoldenRun) -> float:
    """Absorb `run`, whose stepped state is resident, and return the largest difference; raise if it is too large."""
    manifest = file.manifest
    stepped, answer = backend.read_state(), backend.answer().copy()
    backend.write_state(start_state(run.start, manifest.state))
    backend.absorb(np.array(run.ids, np.int32))
    pairs = [(backend.answer(), answer), *((array, stepped[name]) for name, array in backend.read_state().items())]
    # Relative to the largest number of a tensor: cell states and values have no bound.
    least = 1.0 if manifest.quantization == "int8" else _SMALLEST
    worst = float(np.max([np.abs(a - b).max() / max(np.abs(b).max(), least) for a, b in pairs if b.size]))
    scaled = manifest.golden is not None and manifest.golden.scales  # then the tolerance is one of scaled differences
    allowed = _ABSORB_TOLERANCE if scaled else max(_tolerance(file, backend_name), _ABSORB_TOLERANCE)
    if not worst <= allowed:
        raise GoldenMismatchError(
            f"{describe_backend(backend_name)} absorbs the golden sequence of {file.name} to another end than it steps "
            f"it: off by {worst:.2g} (allowed {allowed:g}). Try another backend or version."
        )
    return worst
