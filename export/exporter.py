"""The export pipeline: Keras model -> prepared model -> built files -> proven files -> report.

Each stage is a function that is given the whole result of the stage before.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ..runtime.common.atomic_write import atomic_rename, atomic_write, make_folder
from ..runtime.common.errors import OutputError, ParityError
from ..runtime.common.lock import FolderLock
from ..runtime.format.describe import describe_memory
from ..runtime.format.model_file import FORMATS
from ..runtime.format.tensor_specs import EVERY_STEP
from ..runtime.format.vocabulary import Vocabulary
from .code_files import build_code, code_file_names
from .layers.keras_graph import KerasModel
from .model_files import ProvenFile, build_file, check_packages, prove_file
from .ops.precision import (
    CODE_FORMATS,
    FLOAT32,
    SEQUENCE,
    check_formats,
    check_fpu,
    check_quantizations,
    container_of,
    file_name,
    format_of_target,
    quantizations_of,
)
from .parity.device_process import DeviceProcesses, installed_backends, micro_backends
from .parity.expected import Expected, expected_runs
from .parity.memory import memory_of
from .parity.parity import EACH, STEPS, Parity
from .parity.report import parity_report
from .parity.sample_inputs import sample_inputs
from .parity.window_reference import reference_of
from .prepare import describe_past, prepare
from .sources.keras3 import in_float32
from .sources.provenance import provenance_of
from .step_function.build import StepFunction

_REPORT, _WORKDIR = "parity.json", ".stepcell-"  # the report, and the beginning of the name of a temporary folder


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        files: The model files and parity.json.
        parity: The measurements, one entry per file, runtime and start state.
        sizes: Name of each model file -> its bytes.
        notes: What else is to be known, in sentences: what an old model was compared with, what was changed.
    """

    files: tuple[Path, ...]
    parity: tuple[Parity, ...]
    sizes: Mapping[str, int]
    notes: tuple[str, ...] = ()


def export(
    model: KerasModel,
    folder: str | Path,
    *,
    vocabulary: Vocabulary | Iterable[str] | None = None,
    labels: Vocabulary | Iterable[str] | None = None,
    name: str | None = None,
    formats: Sequence[str] | None = None,
    target: str | None = None,
    quantize: Sequence[str] = (),
    fpu: bool = True,
    allow_inaccurate: Sequence[str] = (),
    sequence: bool = False,
    one_hot: bool = False,
    values: bool = False,
    training: Mapping[str, Any] | None = None,
    sample: Iterable[str] | Path | None = None,
    sample_features: Mapping[str, ArrayLike] | None = None,
    initial_state: Mapping[str, ArrayLike] | None = None,
    warm_up: str | Iterable[str] = (),
    window: int | None = None,
    carried: bool = False,
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
        name: Name of the model; None: its name in Keras.
        formats: "tflite", "onnx"; and "c", "js", "html": code that is printed from the float32 file. None: the first
            two, or none beside a target.
        target: "tflm": write model.tflm.tflite for TensorFlow Lite Micro, and a C header beside it.
        quantize: "float16", "int8" or both: files with smaller weights, beside those of float32. C there is in int8:
            NAME_int8.h and NAME_int8.c. For a target "int8", "int16" or both.
        fpu: Write C for a core with floating point unit; False: tanh, sigmoid and softmax are looked up in tables.
        allow_inaccurate: Precisions of `quantize` that are written even beyond their tolerance; the figures stand in
            the file. "int8" goes for C without FPU too.
        sequence: Write model.sequence.onnx too, a graph of whole sequences.
        one_hot: The model's input is one-hot vectors (B, T, V) and is to be stepped by id.
        values: The numbers of the main output are returned as they are; they are no probabilities. Without it they are
            where nothing else can be meant: a single linear number, or linear numbers of a model without symbols and
            labels.
        training: Facts to record about its training: problem, framing, longest_length, accuracy.
        sample: Symbols as they really occur, T of them, for the parity check; or a file with a row for each step and a
            column for each input (CSV, JSON lines, Parquet, .npz, .npy). See `expected_runs`.
        sample_features: Name -> the features beside them, of shape (T, ...).
        initial_state: Name -> numbers: the state after a reset, for example a learned one; None: zeros.
        warm_up: Symbols to step from there first; the state after them is the one after a reset. A text is split as
            `runtime.format.vocabulary.read_symbols` does.
        window: The number of time steps that an answer depends on; None: that of a model built for a fixed number of
            time steps that is not stateful and answers once; any other is an endless stream.
        carried: Write such a model as an endless stream too: its state is carried and never begins anew.
        steps: Number of symbols to carry the state over in the parity check.
        progress: Called with a text at the start of each piece of work.

    Raises:
        NotSteppableError: Something in the model cannot be stepped, or with `sequence` be written for whole sequences;
            all of it is named.
        StateMismatchError: The model cannot start from `initial_state`, or Keras cannot, so that nothing is proven.
        VocabularyError: The vocabulary or the labels do not have the size of the model's input or output.
        CorpusError: The file of the sample cannot be read.
        UnknownSymbolError: The sample or the warm-up holds a symbol that the vocabulary does not.
        FeatureMismatchError: The features of the sample are not those that the model reads.
        NoInterpreterError: No interpreter is installed to prove a file on.
        MissingPackageError: .onnx files are wanted, and onnx or tf2onnx is not installed.
        ParityError: A file does not answer as Keras does, or a model rebuilt from an old file not as tf_keras does.
        SourceError: tf_keras cannot read the old file that the model was rebuilt from.
        OutputError: The folder cannot be written.
        WrongFormatError: There is no such format or precision.
        OptionError: `fpu` is False, and no C is to be written.

        Whatever is raised, nothing has been written.
    """
    micro = None if target is None else format_of_target(target)
    given_formats = [] if micro and not formats else check_formats(formats or FORMATS)
    formats = [*(format for format in given_formats if format in FORMATS), *([micro] if micro else [])]
    quantizations = check_quantizations(quantize, formats or FORMATS)
    allowed = check_quantizations(allow_inaccurate, formats or FORMATS)
    code = [format for format in given_formats if format in CODE_FORMATS]
    check_fpu(fpu, code)
    code_names = code_file_names(code, name or model.name, quantizations) if code else []
    kinds = [(format, FLOAT32) for format in (*formats, *([SEQUENCE] if sequence else []))]
    kinds += [(f, precision) for precision in quantizations for f in formats if precision in quantizations_of(f)]
    check_packages(dict.fromkeys(format for format, _ in kinds))
    names = [file_name(*kind) for kind in kinds]
    headers = [str(Path(name).with_suffix(".h")) for name in names if micro and name.endswith(micro)]
    of_micro = micro_backends() if micro else ()
    with _output_folder(Path(folder), [*names, *headers, *code_names, _REPORT]) as workdir:
        progress("reading the model")
        provenance = provenance_of(model)
        model, change = in_float32(model)
        prepared = prepare(
            model, vocabulary=vocabulary, labels=labels, name=name, one_hot=one_hot, values=values, training=training,
            initial_state=initial_state, warm_up=warm_up, window=window, carried=carried,
        )  # fmt: skip
        if sequence:
            from .onnx.sequence import check_sequence_graph

            check_sequence_graph(prepared.step_function, prepared.manifest.name)
        backends = {
            format: of_micro if format == micro else installed_backends(container_of(format), quantizations)
            for format, _ in kinds
        }
        given = sample_inputs(prepared.manifest, sample, sample_features)

        def expect() -> Expected:
            reference = reference_of(model, prepared.step_function)
            return expected_runs(prepared.step_function, reference, steps=steps, sample=given)

        progress(f"running Keras over {steps} steps from two states")
        with DeviceProcesses() as device, _ThreadPool() as pool:  # a file is stepped while the next is converted
            expected = pool.submit(expect)
            memory = pool.submit(lambda: memory_of(expected.result()))
            proof = pool.submit(lambda: provenance.proof) if provenance else None

            def build_and_submit(format: str, precision: str) -> Future[ProvenFile]:
                progress(f"converting to {precision} {format}")
                built = build_file(prepared, format, precision, workdir, given)
                return pool.submit(
                    lambda: prove_file(
                        built,
                        expected.result(),
                        backends[format],
                        device,
                        allow_inaccurate=allowed,
                        memory=memory.result(),
                        progress=progress,
                    )
                )

            proven = [proof.result() for proof in [build_and_submit(*kind) for kind in kinds]]
            printed = None
            if code:  # of a file that is written, or of one that is not
                base = next((format for format in FORMATS if format in formats), FORMATS[0])
                if base not in formats:
                    progress(f"converting to {FLOAT32} {base}, of which code is made")
                    build_file(prepared, base, FLOAT32, workdir, given)
                printed = build_code(
                    workdir / file_name(base, FLOAT32), code, expected.result(), workdir, progress,
                    quantize=quantizations, fpu=fpu, allow_inaccurate=allowed,
                )  # fmt: skip
        rebuilt = proof.result() if proof else None
        _require_all(proven, {file_name(*kind): kind[1] for kind in kinds})
        measured = tuple(entry for file in proven for entry in file.parity) + (printed.parity if printed else ())
        sizes = {file.path.name: file.path.stat().st_size for file in proven}
        traced = prepared.step_function.traced
        notes = (
            *([f"Traced, not by a step rule: {', '.join(traced)}."] if traced else []),
            *prepared.step_function.notes,
            *([change] if change else []),
            *(provenance.notes if provenance else ()),
            *(note for file in proven for note in file.notes),
            *(printed.notes if printed else ()),
            f"{describe_memory(memory.result())}: a stream that begins anew is right again then",
            describe_past(prepared.step_function),
            *_describe_compared(prepared.step_function, measured),
        )
        code_paths = printed.paths if printed else ()
        report = workdir / _REPORT
        atomic_write(report, parity_report(prepared.manifest.name, sizes, measured, rebuilt, notes))
        headers_of = [file.header for file in proven if file.header]
        paths = [*(file.path for file in proven), *headers_of, *code_paths, report]
        written = tuple(_move(path, Path(folder)) for path in paths)
    return Exported(written, measured, sizes, (*([rebuilt.describe()] if rebuilt else []), *notes))


def _describe_compared(step_function: StepFunction, measured: Sequence[Parity]) -> list[str]:
    """Say at how many steps outputs were compared, if some of those that answer were left out."""
    entry = next((entry for entry in measured if entry.compared is not None and entry.start != EACH), None)
    if entry is None or entry.compared is None or step_function.answers != EVERY_STEP:
        return []
    return [
        f"outputs were compared at {entry.compared:,} of {entry.steps:,} carried steps, drawn at random: those of all "
        "would fill the memory; all steps were made, and the state after the last one was compared"
    ]


class _ThreadPool(ThreadPoolExecutor):
    """A pool that drops waiting work if its block fails."""

    def __exit__(self, *raised: Any) -> None:
        self.shutdown(cancel_futures=raised[0] is not None)


def _require_all(proven: Sequence[ProvenFile], precisions: Mapping[str, str]) -> None:
    """Raise ParityError if a quantised file is refused, with the problems of all of them and the remedies."""
    refused = [file for file in proven if file.refusal is not None]
    if not refused:
        return
    names = dict.fromkeys(precisions[file.path.name] for file in refused)
    without = ", ".join(f"--quantize {name}" for name in names)
    allowing = " ".join(f"--allow-inaccurate {name}" for name in names)
    remedy = f"Nothing was written. Leave out {without}, or have the files as they are with: {allowing}"
    raise ParityError("\n".join([*(str(file.refusal) for file in refused), remedy]))


@contextmanager
def _output_folder(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Make `folder` and yield a temporary folder inside it; a new `folder` is removed again if the block fails.

    Raises:
        OutputError: A file cannot be created in `folder`, a folder has one of `names`, or another export has `folder`.
    """
    fresh = not folder.exists()
    make_folder(folder)
    try:
        in_the_way = [str(folder / name) for name in names if (folder / name).is_dir()]
        if in_the_way:
            raise OutputError(f"Cannot write {', '.join(in_the_way)}: it is a folder. Move it, or give another --out.")
        with FolderLock(folder, "export"):
            for left in folder.glob(f"{_WORKDIR}*/"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=_WORKDIR, dir=folder) as workdir:
                yield Path(workdir)
    except BaseException:
        if fresh:
            with suppress(OSError):
                folder.rmdir()
        raise


def _move(path: Path, folder: Path) -> Path:
    """Move a finished file into `folder` and return its new path."""
    target = folder / path.name
    try:
        atomic_rename(path, target)
    except OSError as error:
        raise OutputError(f"Cannot write {target}: {error.strerror or error}.") from error
    return target
