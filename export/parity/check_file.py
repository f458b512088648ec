"""Check a finished model file against a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from ...runtime.common.atomic_write import atomic_write
from ...runtime.common.errors import StateMismatchError, WrongFormatError
from ...runtime.format.manifest import Manifest
from ...runtime.format.model_file import read_model_file
from ...runtime.format.vocabulary import Vocabulary
from ...runtime.interpreters.registry import interpreted_format
from ..layers.keras_graph import KerasModel
from ..ops.precision import FLOAT32, SEQUENCE, TFLM, check_quantizations
from ..sources.keras3 import in_float32
from ..sources.provenance import provenance_of
from ..step_function.build import StepFunction, build_step_function
from .check import measure, require
from .device_process import DeviceProcesses, installed_backends, those_that_take
from .expected import expected_runs
from .parity import STEPS, Parity
from .report import draw_errors
from .sample_inputs import sample_inputs
from .tolerance import TOLERANCES
from .window_reference import reference_of


def check(
    path: str | Path,
    model: KerasModel,
    *,
    one_hot: bool = False,
    sample: Iterable[str] | Path | None = None,
    sample_features: Mapping[str, ArrayLike] | None = None,
    vocabulary: Vocabulary | None = None,
    labels: Vocabulary | None = None,
    steps: int = STEPS,
    allow_inaccurate: Sequence[str] = (),
    plot: str | Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Parity]:
    """Step the file at `path` on every interpreter installed here and compare it with `model`.

    Both begin in the start state of the file.

    Args:
        path: A model file.
        model: The Keras model of the file.
        one_hot: The model's input is one-hot vectors.
        sample: Symbols as they really occur, T of them, or a file with a row for each step and a column for each input
            (CSV, JSON lines, Parquet, .npz, .npy). See `expected_runs`.
        sample_features: Name -> the features beside them, of shape (T, ...).
        vocabulary: The symbols that the file should have; None: any.
        labels: The symbols that it should answer with; None: any.
        steps: How many symbols to carry the state over.
        allow_inaccurate: Precisions whose files may be beyond their tolerance.
        plot: Where to draw the error of every step, as PNG; drawn even if the file does not pass.
        progress: Called with a text at the start of each piece of work.

    Returns:
        One entry per runtime and start state, all within the tolerance.

    Raises:
        ModelFileError: The file cannot be used.
        NotSteppableError: `model` cannot be stepped.
        StateMismatchError: The file is of a model with other symbols or another state.
        ParityError: They do not answer alike.
        WrongFormatError: The weights of the file have a precision without a tolerance, or `allow_inaccurate` one
            that does not exist.
        MissingPackageError, OutputError: The picture cannot be drawn or written.
    """
    path = Path(path)
    file = read_model_file(path)
    manifest, quantization = file.manifest, file.manifest.quantization
    if quantization not in TOLERANCES:
        raise WrongFormatError(
            f"{path.name} has weights of {quantization!r}; what can be checked is {', '.join(TOLERANCES)}. "
            "A later version may know more: pip install -U stepcell"
        )
    format = SEQUENCE if manifest.sequence else TFLM if manifest.micro else file.format
    allowed = quantization in check_quantizations(allow_inaccurate, [format])
    provenance = provenance_of(model)
    model, _ = in_float32(model)
    length = None if manifest.window is None else manifest.window.length
    linear = manifest.output == "linear"
    step_function = build_step_function(
        model, one_hot=one_hot, values=linear, labelled=not linear, window=length, carried=length is None
    )
    _require_same_model(path.name, manifest, model.name, step_function, vocabulary, labels)
    backends = those_that_take(path, installed_backends(interpreted_format(file)))
    progress(f"running Keras over {steps} steps from two states")
    step_function = step_function.starting_from(manifest.state)  # from where the file starts
    reference = reference_of(model, step_function)
    given = sample_inputs(manifest, sample, sample_features)
    expected = expected_runs(step_function, reference, steps=steps, sample=given)
    if provenance:
        progress(f"comparing with {provenance.proof.reference}")
    with DeviceProcesses() as device:
        results = measure(expected, path, format, quantization, backends, device, progress)
        if plot is not None:
            atomic_write(Path(plot), draw_errors(f"{path.name} ({quantization}) against Keras", results))
        if not allowed:
            exact = quantization == FLOAT32
            consequence = "" if exact else f"To let that pass: --allow-inaccurate {quantization}"
            require(expected, path, results, manifest.vocabulary, consequence)
        for backend in backends:
            device.replay(path, backend)
    return results


def _require_same_model(
    file_name: str,
    manifest: Manifest,
    model_name: str,
    step_function: StepFunction,
    vocabulary: Vocabulary | None,
    labels: Vocabulary | None,
) -> None:
    """Raise StateMismatchError unless the file has the symbols, outputs, features and state of the model."""
    compared: dict[str, tuple[object, ...]] = {
        "symbols": (len(manifest.vocabulary), step_function.symbols),
        "outputs": (manifest.output_size, step_function.outputs),
        "features": tuple(
            ", ".join(each.describe() for each in side.features) or "none" for side in (manifest, step_function)
        ),
        "further outputs": tuple(
            [(each.name, each.size) for each in side.extra_outputs] for side in (manifest, step_function)
        ),
        "window": tuple(
            "none" if side.window is None else side.window.describe() for side in (manifest, step_function)
        ),
        "steps that answer": tuple(f"those {side.answers.describe()}" for side in (manifest, step_function)),
        "state": tuple({tensor.name: tensor.shape for tensor in side.state} for side in (manifest, step_function)),
    }
    for name, wanted, found in (("vocabulary", vocabulary, manifest.vocabulary), ("labels", labels, manifest.labels)):
        if wanted is not None and found is not None and wanted.symbols != found.symbols:
            compared[name] = (found.describe(), wanted.describe())
    others = [f"{name} {found} and not {expected}" for name, (found, expected) in compared.items() if found != expected]
    if others:
        raise StateMismatchError(f"{file_name} is not of the model {model_name!r}: it has {'; '.join(others)}.")
