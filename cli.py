"""The command `stepcell`: each command imports its room, calls one function of it, and prints.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import io
import json
import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from stepcell.runtime.bench.command import bench
from stepcell.runtime.commands.calibrate import calibrate
from stepcell.runtime.commands.generate import generate
from stepcell.runtime.commands.options import Json as _Json
from stepcell.runtime.commands.options import ModelFile as _ModelFile
from stepcell.runtime.commands.predict import predict
from stepcell.runtime.commands.score import score
from stepcell.train.commands import app as train_app
from stepcell.train.evaluate_command import evaluate
from stepcell.train.reproduce_command import reproduce

_NO_MEMORY = "This machine has not enough memory for that. Smaller numbers of units, symbols or steps need less."


class _Commands(TyperGroup):
    """Shows what stepcell refuses as its message alone, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8")
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if error.name not in ("tensorflow", "keras", "onnx", "tf2onnx"):
                raise
            extra = "train" if sys.argv[1:2] in (["train"], ["reproduce"]) else "export"
            _fail(f"This command needs the package {error.name}. Install it: pip install 'stepcell[{extra}]'")
        except BrokenPipeError:  # whoever read our answers has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except OSError as error:
            if type(error).__module__.startswith("stepcell."):
                _fail(str(error))
            _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error.strerror or error))
        except MemoryError:
            _fail(_NO_MEMORY)
        except Exception as error:
            if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, which is not imported here
                _fail(_NO_MEMORY)
            errors = sys.modules.get("stepcell.runtime.errors")  # not loaded: then it is none of ours
            if errors is None or not isinstance(error, errors.StepcellError):
                raise
            _fail(str(error))


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Train, export and step recurrent models one symbol at a time, with their state in plain sight.",
)  # fmt: skip
app.add_typer(train_app, name="train")
app.command()(reproduce)
app.command()(bench)
app.command()(evaluate)


def _show_version(wanted: bool) -> None:
    if wanted:
        from stepcell import __version__

        print(f"stepcell {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Train, export and step recurrent models one symbol at a time, with their state in plain sight."""


class Format(str, Enum):
    """The formats of model files."""

    tflite = "tflite"
    onnx = "onnx"


class Quantization(str, Enum):
    """The precisions of weights that can be asked for; float32 is always written."""

    float16 = "float16"
    int8 = "int8"


_Out = Annotated[Path, typer.Option("--out", help="Folder to write to.", show_default=False)]
_Seed = Annotated[int, typer.Option("--seed", help="Everything random follows from it.")]
_Steps = Annotated[int, typer.Option("--steps", min=2, help="Symbols to carry the state over in the parity check.")]
_OneHot = Annotated[
    bool, typer.Option("--one-hot", help="The model's input is one-hot vectors (batch, time, symbols).")
]
_Accept = Annotated[
    list[Quantization] | None,
    typer.Option("--accept", help="Let files of this precision differ from Keras by more than its gate; repeatable."),
]


@app.command()
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
    accept: _Accept = None,
    bulk: Annotated[
        bool,
        typer.Option(
            "--bulk", help="Write model.bulk.onnx too: a graph of whole sequences, faster at catching up on histories."
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
    from stepcell.runtime.console import import_quietly

    import_quietly("tensorflow")
    from stepcell.export import comparison_table, read_source, read_state_file, recommendations
    from stepcell.export import export as export_model
    from stepcell.runtime.console import print_table, working
    from stepcell.runtime.vocabulary_file import read_vocabulary

    read = read_source(source).with_symbols(
        read_vocabulary(vocabulary) if vocabulary else None, read_vocabulary(labels) if labels else None
    )
    with working() as progress:
        exported = export_model(
            read.model,
            out,
            vocabulary=read.vocabulary,
            labels=read.labels,
            name=read.name,
            formats=[one.value for one in format or Format],
            quantize=[one.value for one in quantize or ()],
            accept=[one.value for one in accept or ()],
            bulk=bulk,
            one_hot=one_hot,
            values=values,
            training=read.training,
            sample=read.sample,
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


@app.command()
def check(
    file: _ModelFile,
    against: Annotated[Path, typer.Option("--against", help="Keras file or run folder.", show_default=False)],
    steps: _Steps = 10_000,
    accept: _Accept = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw error against step into this PNG file.", show_default=False)
    ] = None,
    one_hot: _OneHot = False,
    as_json: _Json = False,
) -> None:
    """Step a model file on every interpreter installed here and compare it with the Keras model.

    A quantised file is held against the gate of its precision.
    """
    from stepcell.runtime.console import import_quietly

    import_quietly("tensorflow")
    from stepcell.export import check as check_file
    from stepcell.export import parity_table, read_source
    from stepcell.runtime.console import print_table, working

    read = read_source(against)
    with working() as progress:
        results = check_file(
            file, read.model, one_hot=one_hot, sample=read.sample, steps=steps, plot=plot, progress=progress,
            accept=[one.value for one in accept or ()],
        )  # fmt: skip
    if as_json:
        print(json.dumps([{**parity.to_json(), "microseconds": parity.microseconds} for parity in results]))
    else:
        print_table(*parity_table(results))


@app.command()
def inspect(file: _ModelFile, as_json: _Json = False) -> None:
    """Show what a model file says about itself, after verifying it; no interpreter is needed."""
    from stepcell.runtime import read_model_file
    from stepcell.runtime.describe import describe_manifest

    manifest = read_model_file(file).manifest
    print(
        json.dumps(manifest.to_json(), ensure_ascii=False, indent=2) if as_json else describe_manifest(file, manifest)
    )


for command in (predict, generate, score, calibrate):
    app.command()(command)


class TargetName(str, Enum):
    """The machines that the doctor knows."""

    pi_bookworm_64 = "pi-bookworm-64"
    pi_bookworm_32 = "pi-bookworm-32"
    pi_trixie_64 = "pi-trixie-64"
    pi_trixie_32 = "pi-trixie-32"
    this = "this"


@app.command()
def doctor(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Model file, whoever made it; without one: what the target can run at all.", show_default=False
        ),
    ] = None,
    target: Annotated[TargetName, typer.Option("--target", help="The machine to deploy to.")] = TargetName.this,
    as_json: _Json = False,
) -> None:
    """Say whether a file will load and run on a machine, why not, and what to install there. Exit code 0: it runs.

    On this machine every interpreter that is installed loads it, replays its golden sequence and is timed.
    """
    try:
        import numpy  # noqa: F401
    except ImportError as error:  # on a Pi often for want of a C library that the wheel does not bring
        reasons = [line for line in str(error).splitlines() if "Original error" in line] or [str(error)]
        remedy = "sudo apt install python3-numpy libopenblas0"
        _fail(f"does not run here: numpy cannot be imported ({reasons[0]}). Try: {remedy}")
    from stepcell.runtime.doctor import as_json as diagnosis_as_json
    from stepcell.runtime.doctor import as_text, diagnose, find_target

    diagnosis = diagnose(file, find_target(target.value))
    print(json.dumps(diagnosis_as_json(diagnosis), ensure_ascii=False) if as_json else as_text(diagnosis))
    if not diagnosis.runs:
        raise SystemExit(1)


class Activation(str, Enum):
    """What the numbers are that a model answers with."""

    softmax = "softmax"
    sigmoid = "sigmoid"
    logits = "logits"


@app.command()
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
    from stepcell.runtime.adopt import Adopted, Proposal
    from stepcell.runtime.adopt import adopt as adopt_file
    from stepcell.runtime.vocabulary_file import read_vocabulary

    def confirm(proposal: Proposal) -> bool:
        for pair in proposal.inferred:
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


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the model files.")] = Path("build/memory"),
    run: Annotated[Path, typer.Option("--run", help="Folder for the training run.")] = Path("runs/demo"),
    seed: _Seed = 7,
    steps: _Steps = 10_000,
) -> None:
    """Train the memory problem, export it, prove it, and step both sequences on every interpreter installed here."""
    from stepcell.runtime.console import import_quietly

    import_quietly("tensorflow")
    from stepcell.export import export as export_model
    from stepcell.export import parity_table, read_source
    from stepcell.export.answers import answers_table
    from stepcell.runtime.console import print_table, working
    from stepcell.train import Memory
    from stepcell.train.training_command import train

    problem = Memory.conflicting()
    train(problem, run, units=20, seed=seed)
    source = read_source(run)
    with working() as progress:
        exported = export_model(
            source.model, out, vocabulary=source.vocabulary, name="memory", training=source.training, steps=steps,
            progress=progress,
        )  # fmt: skip
    print()
    print_table(*parity_table(exported.parity))
    print()
    print_table(*answers_table(exported.files[:-1], problem.sequences))


def _fail(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise SystemExit(1) from None


if __name__ == "__main__":
    app()
