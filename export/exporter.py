"""The exporter: from a Keras model to proven model files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from .. import __version__
from ..runtime.errors import OutputError, ParityError, VocabularyError, WrongFormatError
from ..runtime.manifest import Manifest
from ..runtime.model_file import FORMATS, ONNX, TFLITE, seal, unseal
from ..runtime.ports import Output
from ..runtime.symbol_text import read_symbols
from ..runtime.vocabulary import Vocabulary
from ..runtime.whole_file import make_folder, move_whole_file, write_whole_file
from .comparison import recommendations
from .device_process import installed_backends, replay_in_process
from .golden import golden_of, with_measured_tolerance
from .graph import KerasModel
from .onnx import onnx_payload
from .onnx_sequence import check_sequence_graph, sequence_payload
from .parity import STEPS, Parity
from .parity_check import ParityCheck
from .precision import BULK, FLOAT32, GATES, INT8, check_quantizations, container_of, file_name
from .reference import KerasReference
from .start_state import with_start_state
from .step_function import StepFunction, build_step_function
from .tflite import tflite_payload

_PAYLOADS: dict[str, Callable[[StepFunction, str], tuple[bytes, dict[str, int]]]] = {
    TFLITE: tflite_payload,
    ONNX: onnx_payload,
    BULK: sequence_payload,
}


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
    accept: Sequence[str] = (),
    bulk: bool = False,
    one_hot: bool = False,
    values: bool = False,
    training: Mapping[str, Any] | None = None,
    sample: Iterable[str] | None = None,
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
        accept: Precisions of `quantize` that are written even where their answers are beyond the gate of that
            precision; the figures stand in the file.
        bulk: Write model.bulk.onnx too, a graph of whole sequences.
        one_hot: The model's input is one-hot vectors (B, T, V) and is to be stepped by id.
        values: The numbers of the main output are answered as they are; they are no probabilities.
        training: What to record about its training: problem, framing, longest_length, accuracy.
        sample: Symbols as they really occur, for the parity check; see `ParityCheck`.
        initial_state: Name -> numbers: the state after a reset, for example a learned one; None: zeros.
        warm_up: Symbols to step from there first; the state after them is the one after a reset. A text is taken apart
            as `runtime.symbol_text.read_symbols` does.
        steps: How many symbols to carry the state over in the parity check.
        progress: Is told what is being done.

    Raises:
        NotSteppableError: Something in the model cannot be stepped, or with `bulk` be written for whole sequences; all
            of it is named.
        StateMismatchError: The model cannot start from `initial_state`, or Keras cannot, so that nothing is proven.
        VocabularyError: The vocabulary or the labels do not have the size of the model's input or output.
        UnknownSymbolError: The sample or the warm-up holds a symbol that the vocabulary does not.
        NoInterpreterError: No interpreter is installed to prove a file on.
        ParityError: A file does not answer as Keras does.
        OutputError: The folder cannot be written.
        WrongFormatError: There is no such format or precision.

        Whatever is raised, nothing has been written.
    """
    folder = Path(folder)
    formats, quantizations = _check_formats(formats), check_quantizations(quantize)
    symbols, answers = _as_vocabulary(vocabulary), _as_vocabulary(labels)
    fresh = not folder.exists()
    make_folder(folder)
    try:
        return _export(
            model,
            folder,
            symbols,
            answers,
            name or model.name,
            [
                *((FLOAT32, format) for format in (*formats, *([BULK] if bulk else []))),
                *((quantization, format) for quantization in quantizations for format in formats),
            ],
            check_quantizations(accept),
            one_hot,
            values,
            training or {},
            sample,
            initial_state,
            warm_up,
            steps,
            progress,
        )
    except BaseException:
        if fresh:
            with suppress(OSError):
                folder.rmdir()  # nothing was written, so nothing is left behind
        raise


def _export(
    model: KerasModel,
    folder: Path,
    vocabulary: Vocabulary | None,
    labels: Vocabulary | None,
    name: str,
    kinds: Sequence[tuple[str, str]],
    accept: Sequence[str],
    one_hot: bool,
    values: bool,
    training: Mapping[str, Any],
    sample: Iterable[str] | None,
    initial_state: Mapping[str, ArrayLike] | None,
    warm_up: str | Iterable[str],
    steps: int,
    progress: Callable[[str], None],
) -> Exported:
    """Do what `export` promises, into a folder that exists; `kinds` are the files as (precision, format)."""
    targets = [folder / file_name(format, quantization) for quantization, format in kinds] + [folder / "parity.json"]
    in_the_way = [str(path) for path in targets if path.is_dir()]
    if in_the_way:
        raise OutputError(f"Cannot write {', '.join(in_the_way)}: it is a folder. Move it, or give another --out.")
    progress("taking the model apart")
    step_function = build_step_function(model, one_hot=one_hot, values=values, name=name)
    if (FLOAT32, BULK) in kinds:
        check_sequence_graph(step_function, name)
    vocabulary, labels = _check_vocabularies(step_function, vocabulary, labels)
    before = read_symbols(warm_up, vocabulary) if isinstance(warm_up, str) else warm_up
    step_function = with_start_state(step_function, initial_state, vocabulary.encode_all(before))
    backends = {format: installed_backends(container_of(format), dict(kinds)) for _, format in kinds}
    progress(f"running Keras over {steps} steps from two states")
    reference = KerasReference(model, step_function.interface)
    sample_ids = None if sample is None else vocabulary.encode_all(sample)
    check = ParityCheck(step_function, reference, steps=steps, sample=sample_ids)
    unproven = Manifest(
        name=name.encode(errors="replace").decode(),
        vocabulary=vocabulary,
        labels=labels,
        output=step_function.main.activation,
        features=step_function.features,
        others=tuple(Output(each.name, each.size, each.activation) for each in step_function.others),
        state=step_function.state,
        cells=step_function.cells,
        training=dict(training),
        producer=f"stepcell {__version__}",
    )
    goldens = {quantization: golden_of(step_function, quantization) for quantization in dict(kinds)}
    measured: list[Parity] = []
    refusals: dict[str, list[str]] = {}  # precision -> what was wrong with its files
    with tempfile.TemporaryDirectory(prefix=".stepcell-", dir=folder) as workshop, _Measuring() as measuring:
        finished, made, replays = [], [], []
        for quantization, format in kinds:
            progress(f"converting to {quantization} {format}")
            payload, requires = _PAYLOADS[format](step_function, quantization)
            manifest = replace(
                unproven,
                golden=goldens[quantization],
                quantization=quantization,
                requires=requires,
                sequence=format == BULK,
            )
            path = Path(workshop, file_name(format, quantization))
            write_whole_file(path, seal(payload, manifest, container_of(format)))
            measurement = measuring.submit(check.measure, path, format, backends[format], progress, quantization)
            made.append((path, format, payload, manifest, measurement))
        for path, format, payload, manifest, measurement in made:
            quantization, parity = manifest.quantization, measurement.result()
            try:
                check.require(path, parity, vocabulary, "Nothing was written." if quantization == FLOAT32 else "")
            except ParityError as error:
                if quantization == FLOAT32:
                    raise
                if quantization not in accept:
                    refusals.setdefault(quantization, []).append(str(error))
                    continue
            if quantization == INT8:
                worst = max(measuring.map(replay_in_process, repeat(path), backends[format]))
                manifest = replace(manifest, golden=with_measured_tolerance(goldens[INT8], worst))
            manifest = replace(manifest, parity=tuple(entry.to_json() for entry in parity))
            content = seal(payload, manifest, container_of(format))
            unseal(content, path.name)
            write_whole_file(path, content)
            measured += parity
            finished.append(path)
            replays += [measuring.submit(replay_in_process, path, backend) for backend in backends[format]]
        for replay in replays:
            replay.result()
        if refusals:
            raise ParityError(_refused(refusals))
        sizes = {path.name: path.stat().st_size for path in finished}
        report = Path(workshop, "parity.json")
        write_whole_file(report, _report(unproven.name, sizes, measured))
        for path in (*finished, report):
            try:
                move_whole_file(path, folder / path.name)
            except OSError as error:
                raise OutputError(f"Cannot write {folder / path.name}: {error.strerror or error}.") from error
    return Exported(tuple(folder / path.name for path in (*finished, report)), tuple(measured), sizes)


class _Measuring(ThreadPoolExecutor):
    """Lets interpreters step one file, each in a process of its own, while the next is converted."""

    def __exit__(self, *raised: Any) -> None:
        self.shutdown(cancel_futures=raised[0] is not None)


def _refused(refusals: Mapping[str, Sequence[str]]) -> str:
    """Return what is wrong with quantised files, all of it, and what to do: `refusals` by precision."""
    problems = [problem for of_precision in refusals.values() for problem in of_precision]
    without = ", ".join(f"--quantize {name}" for name in refusals)
    accepting = " ".join(f"--accept {name}" for name in refusals)
    return "\n".join(
        [*problems, f"Nothing was written. Leave out {without}, or have the files as they are with: {accepting}"]
    )


def _as_vocabulary(symbols: Vocabulary | Iterable[str] | None) -> Vocabulary | None:
    return symbols if symbols is None or isinstance(symbols, Vocabulary) else Vocabulary(tuple(symbols))


def _check_formats(formats: Sequence[str]) -> list[str]:
    """Return the formats once each, or raise WrongFormatError."""
    given = [formats] if isinstance(formats, str) else list(dict.fromkeys(formats))
    if not given or not set(given) <= set(FORMATS):
        raise WrongFormatError(f"The formats are {given}; give one or both of {', '.join(FORMATS)}.")
    return given


def _check_vocabularies(
    step_function: StepFunction, vocabulary: Vocabulary | None, labels: Vocabulary | None
) -> tuple[Vocabulary, Vocabulary | None]:
    """Return vocabulary and labels of the right sizes, or raise VocabularyError with everything that is wrong."""
    symbols, outputs = step_function.symbols, step_function.outputs
    problems = []
    if vocabulary is None:
        vocabulary = Vocabulary.of_ids(symbols) if symbols else Vocabulary.none()
        if labels is None and not step_function.predicts_symbols:
            labels = Vocabulary.of_ids(outputs)
    elif not symbols:
        problems.append(
            f"the model reads features and no symbols, the vocabulary has {len(vocabulary)}; if its vectors are "
            "one-hot symbols, say so (--one-hot)"
        )
    elif len(vocabulary) != symbols:
        problems.append(f"the model reads {symbols} symbols, the vocabulary has {len(vocabulary)}")
    if labels is not None and len(labels) != outputs:
        problems.append(f"the model answers with {outputs} probabilities, there are {len(labels)} labels")
    if labels is None and step_function.main.activation == "linear":
        labels = Vocabulary.of_ids(outputs)
    if labels is None and outputs != symbols:
        problems.append(
            f"the model reads {symbols} symbols and answers with {outputs} probabilities: give a vocabulary of labels"
        )
    if problems:
        raise VocabularyError(f"The vocabulary does not fit the model: {'; '.join(problems)}. Nothing was written.")
    return vocabulary, labels


def _report(name: str, sizes: Mapping[str, int], parity: Sequence[Parity]) -> bytes:
    report = {
        "name": name,
        "producer": f"stepcell {__version__}",
        "gates": {entry.quantization: GATES[entry.quantization].to_json() for entry in parity},
        "files": {file: {"bytes": size} for file, size in sizes.items()},
        "parity": [
            {"file": file_name(entry.format, entry.quantization), **entry.to_json(), "microseconds": entry.microseconds}
            for entry in parity
        ],
        "recommendations": recommendations(parity, sizes),
    }
    return (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()
