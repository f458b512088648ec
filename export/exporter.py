"""The exporter: from a Keras model to proven model files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ..runtime.common.atomic_write import atomic_rename, atomic_write, make_folder
from ..runtime.common.errors import OutputError, WrongFormatError
from ..runtime.format.model_file import FORMATS
from ..runtime.format.vocabulary import Vocabulary
from .layers.keras_graph import KerasModel
from .onnx.sequence import check_sequence_graph
from .ops.precision import FLOAT32, SEQUENCE, check_quantizations, file_name
from .parity.check import ParityCheck
from .parity.parity import STEPS, Parity
from .parity.reference import KerasReference
from .parity.report import parity_report
from .parity.sample_inputs import sample_inputs
from .subject import subject_of
from .workshop import Workshop

_REPORT = "parity.json"


@dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes:
        files: The model files and parity.json.
        parity: What was measured, one entry per file, runtime and start state.
        sizes: Name of each model file -> its bytes.
    """

    files: tuple[Path, ...]
    parity: tuple[Parity, ...]
    sizes: Mapping[str, int]


def export(
    model: KerasModel,
    folder: str | Path,
    *,
    vocabulary: Vocabulary | Iterable[str] | None = None,
    labels: Vocabulary | Iterable[str] | None = None,
    name: str | None = None,
    formats: Sequence[str] = FORMATS,
    quantize: Sequence[str] = (),
    allow_inaccurate: Sequence[str] = (),
    sequence: bool = False,
    one_hot: bool = False,
    values: bool = False,
    training: Mapping[str, Any] | None = None,
    sample: Iterable[str] | None = None,
    sample_features: Mapping[str, ArrayLike] | None = None,
    initial_state: Mapping[str, ArrayLike] | None = None,
    warm_up: str | Iterable[str] = (),
    steps: int = STEPS,
    progress: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write `model` as one-step model files into `folder`: model.tflite, model.onnx, ... and parity.json.

    Every file is stepped on every interpreter installed here, from two states, and compared with Keras on the whole
    sequence; only then do the files appear, all together.

    Args:
        model: A built Sequential or functional Keras model; a stateful one keeps its carried state.
        folder: Where to write; made if it is not there. Files of the same names are replaced.
        vocabulary: The symbols by id; None: the ids themselves ("0", "1", ...).
        labels: The symbols of the output, if the model does not predict the next symbol.
        name: What to call the model; None: the name Keras has for it.
        formats: "tflite", "onnx" or both.
        quantize: "float16", "int8" or both: files with smaller weights, beside those of float32.
        allow_inaccurate: Precisions of `quantize` that are written even where their answers are beyond the gate of that
            precision; the figures stand in the file.
        sequence: Write model.sequence.onnx too, a graph of whole sequences.
        one_hot: The model's input is one-hot vectors (B, T, V) and is to be stepped by id.
        values: The numbers of the main output are answered as they are; they are no probabilities.
        training: What to record about its training: problem, framing, longest_length, accuracy.
        sample: Symbols as they really occur, T of them, for the parity check; see `ParityCheck`.
        sample_features: Name -> the features beside them, of shape (T, ...).
        initial_state: Name -> numbers: the state after a reset, for example a learned one; None: zeros.
        warm_up: Symbols to step from there first; the state after them is the one after a reset. A text is taken apart
            as `runtime.symbol_text.read_symbols` does.
        steps: How many symbols to carry the state over in the parity check.
        progress: Is told what is being done.

    Raises:
        NotSteppableError: Something in the model cannot be stepped, or with `sequence` be written for whole sequences;
            all of it is named.
        StateMismatchError: The model cannot start from `initial_state`, or Keras cannot, so that nothing is proven.
        VocabularyError: The vocabulary or the labels do not have the size of the model's input or output.
        UnknownSymbolError: The sample or the warm-up holds a symbol that the vocabulary does not.
        FeatureMismatchError: The features of the sample are not those that the model reads.
        NoInterpreterError: No interpreter is installed to prove a file on.
        ParityError: A file does not answer as Keras does.
        OutputError: The folder cannot be written.
        WrongFormatError: There is no such format or precision.

        Whatever is raised, nothing has been written.
    """
    folder = Path(folder)
    formats, quantizations, accepted = (
        _check_formats(formats),
        check_quantizations(quantize),
        check_quantizations(allow_inaccurate),
    )
    kinds = [
        *((FLOAT32, format) for format in (*formats, *([SEQUENCE] if sequence else []))),
        *((quantization, format) for quantization in quantizations for format in formats),
    ]
    fresh = not folder.exists()
    make_folder(folder)
    try:
        _refuse_folders([folder / file_name(format, precision) for precision, format in kinds] + [folder / _REPORT])
        progress("taking the model apart")
        subject = subject_of(
            model, vocabulary=vocabulary, labels=labels, name=name or model.name, one_hot=one_hot, values=values,
            training=training or {}, initial_state=initial_state, warm_up=warm_up,
        )  # fmt: skip
        if sequence:
            check_sequence_graph(subject.step_function, subject.manifest.name)
        workshop = Workshop(subject, kinds, progress)
        check = partial(
            ParityCheck,
            subject.step_function,
            KerasReference(model, subject.step_function.interface),
            steps=steps,
            sample=sample_inputs(subject.manifest, sample, sample_features),
        )
        progress(f"running Keras over {steps} steps from two states")
        with tempfile.TemporaryDirectory(prefix=".stepcell-", dir=folder) as bench:
            finished, measured = workshop.make(Path(bench), check, accepted)
            sizes = {path.name: path.stat().st_size for path in finished}
            report = Path(bench, _REPORT)
            atomic_write(report, parity_report(subject.manifest.name, sizes, measured))
            written = [_move(path, folder) for path in (*finished, report)]
    except BaseException:
        if fresh:
            with suppress(OSError):
                folder.rmdir()  # nothing was written, so nothing is left behind
        raise
    return Exported(tuple(written), tuple(measured), sizes)


def _refuse_folders(targets: Sequence[Path]) -> None:
    in_the_way = [str(path) for path in targets if path.is_dir()]
    if in_the_way:
        raise OutputError(f"Cannot write {', '.join(in_the_way)}: it is a folder. Move it, or give another --out.")


def _move(path: Path, folder: Path) -> Path:
    """Move a finished file to where it is wanted and return its new path."""
    target = folder / path.name
    try:
        atomic_rename(path, target)
    except OSError as error:
        raise OutputError(f"Cannot write {target}: {error.strerror or error}.") from error
    return target


def _check_formats(formats: Sequence[str]) -> list[str]:
    """Return the formats once each, or raise WrongFormatError."""
    given = [formats] if isinstance(formats, str) else list(dict.fromkeys(formats))
    if not given or not set(given) <= set(FORMATS):
        raise WrongFormatError(f"The formats are {given}; give one or both of {', '.join(FORMATS)}.")
    return given
