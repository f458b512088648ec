"""The command `stepcell`: the app, how it shows what is refused, and the commands that a device needs.

Those live here because the runtime knows no typer; commands that train, export or judge stand in the rooms that do the
work, and `demo` goes through all of them. Each imports what it needs when it runs. Results go to stdout, everything
else to stderr. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from stepcell.export.commands.bench import bench
from stepcell.export.commands.export import adopt, check, export
from stepcell.runtime.common.exit_codes import REFUSED, explain_error
from stepcell.train.commands.evaluate import evaluate
from stepcell.train.commands.problems import app as train_app
from stepcell.train.commands.reproduce import reproduce
from stepcell.train.commands.score import calibrate, score

_MAKE, _JUDGE, _USE = "Make model files", "Judge them", "Use them on the device"


class _Commands(TyperGroup):
    """Shows what stepcell refuses as its message alone, without a traceback."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help: training comes first."""
        names = super().list_commands(ctx)
        return ["train", *(name for name in names if name != "train")]

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8")
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever read our answers has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except Exception as error:
            extra = "train" if sys.argv[1:2] in (["train"], ["reproduce"]) else "export"
            refusal = explain_error(error, extra)
            if refusal is None:
                raise
            _fail(*refusal)


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Train, export and step recurrent models one symbol at a time, with their state in plain sight.",
)  # fmt: skip
app.add_typer(train_app, name="train", rich_help_panel=_MAKE)
for panel, commands in ((_MAKE, (export, adopt, reproduce)), (_JUDGE, (check, evaluate, score, calibrate, bench))):
    for command in commands:
        app.command(rich_help_panel=panel)(command)


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


_ModelFile = Annotated[Path, typer.Argument(help="Model file, .tflite or .onnx.", show_default=False)]
_Backend = Annotated[str | None, typer.Option("--backend", help="Interpreter: litert, tflite, onnxruntime or numpy.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(rich_help_panel=_USE)
def inspect(file: _ModelFile, as_json: _Json = False) -> None:
    """Show what a model file says about itself, after verifying it; no interpreter is needed."""
    from stepcell.runtime import read_model_file
    from stepcell.runtime.format.describe import describe_manifest

    manifest = read_model_file(file).manifest
    print(
        json.dumps(manifest.to_json(), ensure_ascii=False, indent=2) if as_json else describe_manifest(file, manifest)
    )


class Unknown(str, Enum):
    """What is done with a symbol that the model does not know."""

    stop = "stop"
    skip = "skip"


@app.command(rich_help_panel=_USE)
def predict(
    file: _ModelFile,
    input: Annotated[
        Path | None, typer.Option("--input", help="File to read in place of stdin.", show_default=False)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="At the end of that file, wait for what is appended, as tail -F does.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", show_default=False,
            help="Go on where the last run with this file stopped, and save to it: at the end, on Ctrl-C and SIGTERM, "
            "and in between. With --input it holds the place in that file too.",
        ),
    ] = None,
    save_every: Annotated[
        int | None, typer.Option("--save-every", min=1, help="Save after so many lines; by default 1,000.")
    ] = None,
    save_interval: Annotated[
        float | None,
        typer.Option("--save-interval", min=0, help="Or so long after the first unsaved line; by default 5."),
    ] = None,
    ignore_fingerprint: Annotated[
        bool,
        typer.Option("--ignore-fingerprint", help="Take the state from another file of the same network."),
    ] = False,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="FIELD", help="Lines are JSON; keep a state for each value of this field."),
    ] = None,
    max_streams: Annotated[
        int | None,
        typer.Option("--max-streams", min=1, help="Streams to keep, those seen last; by default 1,000."),
    ] = None,
    symbol_field: Annotated[
        str | None,
        typer.Option("--symbol-field", metavar="FIELD", help='Lines are JSON; this field is the symbol (or "symbol").'),
    ] = None,
    unknown: Annotated[
        Unknown, typer.Option("--unknown", help="At an unknown symbol: stop, or skip it and leave the state as it is.")
    ] = Unknown.stop,
    threshold: Annotated[
        Path | None,
        typer.Option("--threshold", help="Mark surprising symbols; see stepcell calibrate.", show_default=False),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the most likely symbols to print.")] = 1,
    backend: _Backend = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    r"""Read symbols from stdin or a file, one per line, and answer each with what comes next.

    The state is carried from line to line. Newline, tab and backslash as symbols are written \n, \t and \\. For a model
    that reads features a line is a JSON object: {"symbol": "3", "speed": [0.1, 0.2]}.
    """
    from stepcell.runtime import load, read_threshold
    from stepcell.runtime.common.terminal import silence_stderr
    from stepcell.runtime.serve.loop import IOOptions, predict_lines
    from stepcell.runtime.serve.session import LineOptions
    from stepcell.runtime.serve.signals import InterruptedSessionError

    route = IOOptions(input, follow, state, ignore_fingerprint, save_every, save_interval, max_streams)
    with silence_stderr():
        model = load(file, backend=backend)
    manner = LineOptions(
        symbol_field, key, unknown is Unknown.skip, top, as_json,
        None if threshold is None else read_threshold(threshold, model.file),
    )  # fmt: skip
    stdin = None if sys.stdin is None else sys.stdin.buffer
    try:
        predict_lines(model, manner, route, stdin, lambda text: print(text, flush=True), _tell)
    except InterruptedSessionError as interrupted:
        if interrupted.signal == signal.SIGINT:
            raise SystemExit(130) from None
        signal.signal(interrupted.signal, signal.SIG_DFL)  # whoever sent it sees that it was what ended us
        os.kill(os.getpid(), interrupted.signal)
    except KeyboardInterrupt:  # the second one; what was saved before still is
        raise SystemExit(130) from None


@app.command(rich_help_panel=_USE)
def generate(
    file: _ModelFile,
    prompt: Annotated[
        str,
        typer.Option("--prompt", metavar="SYMBOLS", help="Symbols to begin with.", show_default=False),
    ] = "",
    count: Annotated[int, typer.Option("--count", min=0, help="How many symbols, at most.")] = 100,
    temperature: Annotated[
        float, typer.Option("--temperature", help="Below 1 the likely become likelier, above 1 less so.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Draw among so many of the likeliest.")] = None,
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", help="Draw among the fewest of the likeliest that have this probability together."),
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Take the likeliest symbol each time.")] = False,
    beam: Annotated[
        int | None,
        typer.Option("--beam", min=1, metavar="WIDTH", help="Find the likeliest continuations, so many at a time."),
    ] = None,
    stop: Annotated[
        str | None, typer.Option("--stop", metavar="SYMBOL", help="End after this symbol.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="The same seed draws the same symbols; by default others each time."),
    ] = None,
    backend: _Backend = None,
    as_json: _Json = False,
) -> None:
    r"""Let a model go on by what it predicts itself, and print the symbols as they come.

    They are printed as the text they are, where the model was trained on text or all its symbols are characters; else
    with blanks between them (or on lines of their own, if they have blanks within). The prompt is written in the same
    way; \n, \t and \\ stand for newline, tab and backslash. Without one, a model of whole sequences begins one.
    """
    from stepcell.runtime import load
    from stepcell.runtime.common.terminal import silence_stderr
    from stepcell.runtime.tasks.text_output import GenerationOptions, write_continuations, write_symbols

    choice = GenerationOptions(count, prompt, stop, temperature, top_k, top_p, greedy, beam, seed)
    with silence_stderr():
        stream = load(file, backend=backend).stream()
    write = write_symbols if beam is None else write_continuations
    try:
        for piece in write(stream, choice, as_json=as_json):
            sys.stdout.write(piece)
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(flush=True)
        raise SystemExit(130) from None


class TargetName(str, Enum):
    """The machines that the doctor knows."""

    pi_bookworm_64 = "pi-bookworm-64"
    pi_bookworm_32 = "pi-bookworm-32"
    pi_trixie_64 = "pi-trixie-64"
    pi_trixie_32 = "pi-trixie-32"
    this = "this"


@app.command(rich_help_panel=_USE)
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


@app.command(rich_help_panel=_MAKE)
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the model files.")] = Path("build/memory"),
    run: Annotated[Path, typer.Option("--run", help="Folder for the training run.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option("--seed", help="Everything random follows from it.")] = 7,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Symbols to carry the state over in it.")] = 10_000,
) -> None:
    """Train the memory problem, export it, prove it, and step both sequences on every interpreter installed here."""
    from stepcell.runtime.common.terminal import import_silently

    import_silently("tensorflow")
    from stepcell.export import export as export_model
    from stepcell.export import parity_table, read_source
    from stepcell.export.parity.report import answers_table
    from stepcell.runtime.common.terminal import print_table, status
    from stepcell.train import Memory
    from stepcell.train.commands.train import train

    problem = Memory.conflicting()
    train(problem, run, units=20, seed=seed)
    source = read_source(run)
    with status() as progress:
        exported = export_model(
            source.model, out, vocabulary=source.vocabulary, name="memory", training=source.training, steps=steps,
            progress=progress,
        )  # fmt: skip
    print()
    print_table(*parity_table(exported.parity))
    print()
    print_table(*answers_table(exported.files[:-1], problem.sequences))


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _fail(text: str, code: int = REFUSED) -> NoReturn:
    _tell(text)
    raise SystemExit(code) from None


if __name__ == "__main__":
    app()
