"""The commands that make and prove model files: `stepcell export`, `stepcell check` and `stepcell adopt`."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Format(str, Enum):
    """The formats of model files."""

    tflite = "tflite"
    onnx = "onnx"


class Quantization(str, Enum):
    """The precisions of weights that can be asked for; float32 is always written."""

    float16 = "float16"
    int8 = "int8"


_Out = Annotated[Path, typer.Option("--out", help="Folder to write to.", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Steps = Annotated[int, typer.Option("--steps", min=2, help="Symbols to carry the state over in the parity check.")]
_OneHot = Annotated[
    bool, typer.Option("--one-hot", help="The model's input is one-hot vectors (batch, time, symbols).")
]
_AllowInaccurate = Annotated[
    list[Quantization] | None,
    typer.Option(
        "--allow-inaccurate", help="Let files of this precision differ from Keras by more than its gate; repeatable."
    ),
]


def export(
    source: Annotated[Path, typer.Argument(help="Run folder, or a .keras file from anywhere.", show_default=False)],
    out: _Out,
    format: Annotated[
        list[Format] | None, typer.Option("--format", help="File to write; repeatable; by default both.")
    ] = None,
    quantize: Annotated[
        list[Quantization] | None,
        typer.Option("--quantize", help="Write files with smaller weights too; repeatable."),
    ] = None,
    allow_inaccurate: _AllowInaccurate = None,
    sequence: Annotated[
        bool,
        typer.Option(
            "--sequence", help="Write model.sequence.onnx too: whole sequences at once, for long histories."
        ),
    ] = False,
    vocabulary: Annotated[
        Path | None, typer.Option("--vocabulary", help="Symbols by id: one per line, or a JSON list.")
    ] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="Symbols of the output, if they are others.")] = None,
    one_hot: _OneHot = False,
    values: Annotated[
        bool, typer.Option("--values", help="The model answers with numbers as they are, not with probabilities.")
    ] = False,
    warm_up: Annotated[
        str,
        typer.Option(
            "--warm-up", metavar="SYMBOLS", show_default=False,
            help="Start, and start again after each reset, in the state that these symbols lead to: with blanks "
            "between them, or as they stand where every symbol is one character.",
        ),
    ] = "",
    initial_state: Annotated[
        Path | None,
        typer.Option("--initial-state", help="Start in the state in this .npz file (h0, c0, ...), then warm up."),
    ] = None,
    steps: _Steps = 10_000,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Write a Keras model as one-step files, proven equal to Keras on every interpreter installed here."""
    from ...runtime.common.terminal import import_silently

    import_silently("tensorflow")
    from ...runtime.common.terminal import print_table, status
    from ...runtime.format.vocabulary import read_vocabulary
    from ..exporter import export as export_model
    from ..parity.comparison import comparison_table, recommendations
    from ..source import read_source, read_state_file

    read = read_source(source).with_symbols(
        read_vocabulary(vocabulary) if vocabulary else None, read_vocabulary(labels) if labels else None
    )
    with status() as progress:
        exported = export_model(
            read.model,
            out,
            vocabulary=read.vocabulary,
            labels=read.labels,
            name=read.name,
            formats=[one.value for one in format or Format],
            quantize=[one.value for one in quantize or ()],
            allow_inaccurate=[one.value for one in allow_inaccurate or ()],
            sequence=sequence,
            one_hot=one_hot,
            values=values,
            training=read.training,
            sample=read.sample,
            sample_features=read.sample_features,
            initial_state=read_state_file(initial_state) if initial_state else read.initial_state,
            warm_up=warm_up,
            steps=steps,
            progress=progress,
        )
    if as_json:
        report = json.loads(exported.files[-1].read_bytes())
        print(json.dumps({**report, "files": [str(path) for path in exported.files]}))
        return
    print_table(*comparison_table(exported.parity, exported.sizes))
    for sentence in recommendations(exported.parity, exported.sizes):
        print(sentence)
    print(f"written: {', '.join(map(str, exported.files))}")


def check(
    file: Annotated[Path, typer.Argument(help="Model file, .tflite or .onnx.", show_default=False)],
    against: Annotated[Path, typer.Option("--keras", help="Keras file or run folder.", show_default=False)],
    steps: _Steps = 10_000,
    allow_inaccurate: _AllowInaccurate = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw error against step into this PNG file.", show_default=False)
    ] = None,
    one_hot: _OneHot = False,
    as_json: _Json = False,
) -> None:
    """Step a model file on every interpreter installed here and compare it with the Keras model.

    A quantised file is held against the gate of its precision.
    """
    from ...runtime.common.terminal import import_silently

    import_silently("tensorflow")
    from ...runtime.common.terminal import print_table, status
    from ..parity.check_file import check as check_file
    from ..parity.report import parity_table
    from ..source import read_source

    read = read_source(against)
    with status() as progress:
        results = check_file(
            file, read.model, one_hot=one_hot, sample=read.sample, sample_features=read.sample_features, steps=steps,
            plot=plot, progress=progress,
            allow_inaccurate=[one.value for one in allow_inaccurate or ()],
        )  # fmt: skip
    if as_json:
        print(json.dumps([{**parity.to_json(), "microseconds": parity.microseconds} for parity in results]))
    else:
        print_table(*parity_table(results))


class Activation(str, Enum):
    """What the numbers are that a model answers with."""

    softmax = "softmax"
    sigmoid = "sigmoid"
    logits = "logits"


def adopt(
    file: Annotated[Path, typer.Argument(help="File of one step, .tflite or .onnx.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="File to write; may be the same.", show_default=False)],
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="An input and the output that is its next value, [NAME:]IN=OUT; repeatable."),
    ] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Input that takes the symbol.")] = None,
    output: Annotated[str | None, typer.Option("--output", help="Output that answers.")] = None,
    activation: Annotated[
        Activation | None, typer.Option("--activation", help="What it answers with; by default what it looks like.")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option("--vocabulary", help="Symbols by id: one per line, or a JSON list.")
    ] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="Symbols of the output, if they are others.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the model; by default as FILE.")] = None,
    signature: Annotated[str | None, typer.Option("--signature", help="TFLite signature that is one step.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept pairs that were inferred.")] = False,
    as_json: _Json = False,
) -> None:
    """Give a file that stepcell did not make a manifest, after seeing it step; then every command works on it.

    Pairs of states that are not given are inferred from names and shapes and shown for confirmation.
    """
    from ...runtime.format.vocabulary import read_vocabulary
    from ..adopt import Adopted, InferredMapping
    from ..adopt import adopt as adopt_file

    def confirm(mapping: InferredMapping) -> bool:
        for pair in mapping.inferred:
            typer.echo(f"inferred: --state {pair}", err=True)
        if yes or not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
            return yes
        return typer.confirm("Is that right?", err=True)

    adopted = adopt_file(
        file, out, states=state or (), symbol=symbol, output=output,
        activation=activation.value if activation else None,
        vocabulary=read_vocabulary(vocabulary) if vocabulary else None,
        labels=read_vocabulary(labels) if labels else None, name=name, signature=signature, confirm=confirm,
    )  # fmt: skip
    if not isinstance(adopted, Adopted):
        typer.echo("Nothing was written. Repeat the command with --yes, or with these or other pairs.", err=True)
        raise SystemExit(2)
    if as_json:
        print(json.dumps({"file": str(adopted.path), "graph": adopted.manifest.to_json()["graph"]}, ensure_ascii=False))
        return
    for remark in adopted.remarks:
        print(remark)
    print(f"{adopted.path}  {adopted.path.stat().st_size:,} bytes, stepped on {' and '.join(adopted.runtimes)}")
