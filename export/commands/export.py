"""The commands `stepcell export` and `stepcell check`."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

from ...runtime.commands import options as opt


class ExportTarget(str, Enum):
    """Interpreters of microcontrollers."""

    tflm = "tflm"


class ModelFormat(str, Enum):
    """Formats of model files."""

    tflite = "tflite"
    onnx = "onnx"
    c = "c"
    js = "js"
    html = "html"


def export(
    source: Annotated[Path, opt.argument(
        "Run folder, or a model that Keras saved: .keras, .h5, SavedModel folder, or model.json with --weights.")],
    out: Annotated[Path, opt.output("Folder for the model files.")],
    format: Annotated[list[ModelFormat] | None, opt.output(
        "Format of the files; repeatable. c, js and html are code, printed from the float32 file.",
        "tflite and onnx, or none beside --target")] = None,
    target: Annotated[ExportTarget | None, opt.output(
        "Write model.tflm.tflite for TensorFlow Lite Micro, and a C header of its inputs and outputs.", "none")
    ] = None,
    name: Annotated[str | None, opt.output(
        "Name of the model, which code and its files are called by.", "name of the run or file")] = None,
    quantize: Annotated[list[opt.Quantization] | None, opt.output(
        "Write smaller files with weights of this precision too; repeatable. int16, of --target tflm alone: weights "
        "of 8 bits, products of 16.", "float32 alone")] = None,
    no_fpu: Annotated[bool, opt.output(
        "With --format c, for a core without floating point unit: look up tanh, sigmoid and softmax in tables.",
        flag="--no-fpu")] = False,
    sequence: Annotated[bool, opt.output(
        "Write model.sequence.onnx too, which is faster on long histories.", flag="--sequence")] = False,
    as_json: opt.AsJson = False,
    weights: Annotated[Path | None, opt.model(
        "Weights of SOURCE, where that is the configuration of a model (model.to_json()): .h5 file or checkpoint.",
        "in SOURCE")] = None,
    custom: opt.Custom = None,
    vocabulary: opt.Vocabulary = None,
    labels: opt.Labels = None,
    label: Annotated[list[str] | None, opt.model(
        "A label of the output, in the order of its numbers, in place of --labels; repeatable. One sigmoid unit takes "
        "two: it is the probability of the second.", "none")] = None,
    one_hot: opt.OneHot = False,
    values: Annotated[bool, opt.model(
        "The model answers with values (regression, forecasting of time series), not with probabilities.",
        "where nothing else can be meant", flag="--values")] = False,
    initial_state: Annotated[Path | None, opt.model(
        "File (.npz with h0, c0, ...) of the state after a reset.", "as learned, or zeros")] = None,
    warm_up: Annotated[str, opt.model(
        "Symbols to feed before the state after a reset is taken: with blanks between them, or without if each is one "
        "character.", "none", metavar="SYMBOLS")] = "",
    sample: opt.Sample = None,
    window: Annotated[int | None, opt.model(
        "An answer depends on the last N time steps alone. It comes from the N-th step on.",
        "as the model was built", metavar="N")] = None,
    carried: Annotated[bool, opt.model(
        "Write an endless stream also of a model that was built for windows: its state is carried on.",
        flag="--carried")] = False,
    steps: opt.Steps = 10_000,
    allow_inaccurate: opt.AllowInaccurate = None,
) -> None:  # fmt: skip
    """Convert a Keras model to one-step files, and check them against Keras on every interpreter installed here.

    Example: stepcell export runs/memory --out build/memory --quantize int8
    """
    from ...runtime.common.atomic_write import check_folder
    from ...runtime.common.errors import OptionError
    from ...runtime.common.terminal import import_silently, print_table, print_text, status
    from ...runtime.format.vocabulary import Vocabulary, read_vocabulary
    from ..ops.precision import check_fpu
    from ..parity.device_process import micro_backends
    from ..parity.sample_file import check_sample
    from ..sources.custom_code import import_custom
    from ..sources.run_folder import read_state_file
    from ..sources.source import read_source

    check_fpu(not no_fpu, [one.value for one in format or ()])
    if label and labels:
        raise OptionError(f"--label and --labels {labels} both name the labels: give one of them.")
    if custom:
        check_folder(out)
        import_silently("tensorflow")
        import_custom(custom)
    named = Vocabulary(tuple(label)) if label else read_vocabulary(labels) if labels else None
    read = read_source(source, weights).with_symbols(read_vocabulary(vocabulary) if vocabulary else None, named)
    start = read_state_file(initial_state) if initial_state else read.initial_state
    if sample is not None:
        check_sample(sample)
    check_folder(out)
    if target is not None:
        micro_backends()
    import_silently("tensorflow")
    from ..exporter import export as export_model
    from ..parity.comparison import comparison_table, recommendations

    with status() as progress:
        exported = export_model(
            read.model, out, vocabulary=read.vocabulary, labels=read.labels, name=name or read.name,
            formats=[one.value for one in format or ()] or None, target=target and target.value,
            quantize=[one.value for one in quantize or ()], fpu=not no_fpu,
            allow_inaccurate=[one.value for one in allow_inaccurate or ()], sequence=sequence, one_hot=one_hot,
            values=values or read.values, training=read.training, sample=sample or read.sample,
            sample_features=None if sample else read.sample_features, initial_state=start, warm_up=warm_up, steps=steps,
            window=window, carried=carried, progress=progress,
        )  # fmt: skip
    if as_json:
        report = json.loads(exported.files[-1].read_bytes())
        print(json.dumps({**report, "files": [str(path) for path in exported.files]}))
        return
    if exported.sizes:
        print_table(*comparison_table(exported.parity, exported.sizes))
    for sentence in (*exported.notes, *recommendations(exported.parity, exported.sizes)):
        print_text(sentence)
    print(f"written: {', '.join(map(str, exported.files))}")


def check(
    file: opt.ModelFile,
    keras: Annotated[Path, opt.parity("Keras model or run folder to compare with.")],
    custom: opt.Custom = None,
    sample: opt.Sample = None,
    steps: opt.Steps = 10_000,
    allow_inaccurate: opt.AllowInaccurate = None,
    one_hot: opt.OneHot = False,
    plot: opt.Plot = None,
    as_json: opt.AsJson = False,
) -> None:
    """Compare a model file with its Keras model, step by step on every interpreter installed here.

    A quantised file has to keep the tolerance of its precision. The picture of --plot shows the error at each step.

    Example: stepcell check build/memory/model.tflite --keras runs/memory
    """
    from ...runtime import read_model_file
    from ...runtime.common.atomic_write import make_folder
    from ...runtime.common.terminal import import_silently, print_table, print_text, status
    from ..parity.sample_file import check_sample
    from ..sources.custom_code import import_custom
    from ..sources.source import read_source

    read_model_file(file)  # before TensorFlow is imported, which takes seconds
    if custom:
        import_silently("tensorflow")
        import_custom(custom)
    if sample is not None:
        check_sample(sample)
    read = read_source(keras)
    if plot is not None:
        make_folder(plot.parent)
    import_silently("tensorflow")
    from ..parity.check_file import check as check_file
    from ..parity.report import parity_table
    from ..sources.provenance import provenance_of

    with status() as progress:
        results = check_file(
            file, read.model, one_hot=one_hot, sample=sample or read.sample,
            sample_features=None if sample else read.sample_features, steps=steps,
            plot=plot, progress=progress, allow_inaccurate=[one.value for one in allow_inaccurate or ()],
        )  # fmt: skip
    if as_json:
        print(json.dumps([{**parity.to_json(), "microseconds": parity.microseconds} for parity in results]))
    else:
        print_table(*parity_table(results))
        provenance = provenance_of(read.model)
        if provenance:
            print_text(provenance.proof.describe())
