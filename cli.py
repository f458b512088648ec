"""The command `stepcell`: each command imports its room, calls one function of it, and prints.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from enum import Enum
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_type_hints

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from stepcell.train import Problem
else:
    Problem = Any  # the annotations are read at run time, when TensorFlow must not be imported


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
            extra = "train" if sys.argv[1:2] == ["train"] else "export"
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
train_app = typer.Typer(no_args_is_help=True, help="Train a network on a problem or on your own data.")
app.add_typer(train_app, name="train")


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


class Cell(str, Enum):
    """The kinds of recurrent layers."""

    lstm = "lstm"
    gru = "gru"
    rnn = "rnn"


class Schedule(str, Enum):
    """The ways in which the learning rate changes."""

    constant = "constant"
    by_accuracy = "by_accuracy"
    cosine = "cosine"


class Format(str, Enum):
    """The formats of model files."""

    tflite = "tflite"
    onnx = "onnx"


_Out = Annotated[Path, typer.Option("--out", help="Folder to write to.", show_default=False)]
_Seed = Annotated[int, typer.Option("--seed", help="Everything random follows from it.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Steps = Annotated[int, typer.Option("--steps", min=2, help="Symbols to carry the state over in the parity check.")]
_OneHot = Annotated[
    bool, typer.Option("--one-hot", help="The model's input is one-hot vectors (batch, time, symbols).")
]
_Backend = Annotated[str | None, typer.Option("--backend", help="Interpreter: litert, tflite or onnxruntime.")]
_ModelFile = Annotated[Path, typer.Argument(help="Model file, .tflite or .onnx.", show_default=False)]


def _trains(name: str, units: int) -> Callable[[Callable[..., Problem]], Callable[..., Problem]]:
    """Make the decorated function, which makes a problem from options of its own, the command `train NAME`.

    The command has those options and the common ones of `_train`; `units` is the default of --units.
    """

    def register(make_problem: Callable[..., Problem]) -> Callable[..., Problem]:
        hints = {**get_type_hints(_train, include_extras=True), **get_type_hints(make_problem, include_extras=True)}
        own = list(signature(make_problem).parameters)
        parameters = {**signature(make_problem).parameters, **signature(_train).parameters}
        del parameters["problem"], parameters["fixed"]
        parameters["units"] = parameters["units"].replace(default=units)

        def command(context: typer.Context, **given: Any) -> None:
            _import_tensorflow()
            sources = {option: context.get_parameter_source(option) for option in given}
            fixed = {option for option, source in sources.items() if source and source.name == "COMMANDLINE"}
            problem = make_problem(**{option: given.pop(option) for option in own})
            _train(problem, **given, fixed=fixed)

        keyword = Parameter.KEYWORD_ONLY
        context = Parameter("context", keyword, annotation=typer.Context)
        command.__signature__ = Signature(  # type: ignore[attr-defined]
            [context, *(p.replace(kind=keyword, annotation=hints[p.name]) for p in parameters.values())]
        )
        command.__annotations__ = {"context": typer.Context, **{name: hints[name] for name in parameters}}
        command.__doc__ = make_problem.__doc__
        train_app.command(name)(command)
        return make_problem

    return register


def _train(
    problem: Any,
    out: _Out,
    cell: Annotated[Cell, typer.Option("--cell", help="Kind of recurrent layer.")] = Cell.lstm,
    units: Annotated[int, typer.Option("--units", help="Units of each recurrent layer.")] = 64,
    layers: Annotated[int, typer.Option("--layers", help="Recurrent layers.")] = 1,
    embedding: Annotated[int, typer.Option("--embedding", help="Size of the embedding; 0: one-hot.")] = 0,
    dropout: Annotated[float, typer.Option("--dropout", help="Share of the outputs dropped while training.")] = 0.0,
    forget_bias: Annotated[float, typer.Option("--forget-bias", help="Initial bias of the forget gate.")] = 1.0,
    chrono: Annotated[
        int | None, typer.Option("--chrono", help="Initialise the gates for lags of so many steps; 0: do not.")
    ] = None,
    seed: _Seed = 0,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="The highest one.")] = None,
    schedule: Annotated[
        Schedule | None, typer.Option("--schedule", help="How the learning rate changes; the problem knows.")
    ] = None,
    clip_norm: Annotated[float, typer.Option("--clip-norm", help="Gradients are scaled down to this norm.")] = 1.0,
    updates: Annotated[int | None, typer.Option("--updates", help="Most updates to make.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Time limit for training.")] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", help="Processor threads. [default: 1 below 256 units, else all]"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")] = False,
    search: Annotated[
        int | None,
        typer.Option(
            "--search", min=1, metavar="TRIALS",
            help="Try so many networks and keep the smallest that solves it: searches --cell, --units, --layers and "
            "--learning-rate, but not those that are given; --updates and --minutes are for each.",
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", help="Folder to write the history to for TensorBoard.")
    ] = None,
    as_json: _Json = False,
    fixed: Collection[str] = (),
) -> None:  # fmt: skip
    from stepcell.runtime.console import print_table, uninterrupted
    from stepcell.train import Network, Options, Run, fit, score_table, tensorboard_log, training_progress

    network = Network(cell.value, units, layers, embedding, dropout, forget_bias, chrono)
    options = Options(seed, learning_rate, schedule and schedule.value, updates, minutes, clip_norm, threads)
    if search:
        _search(problem, network, options, out, search, fixed, resume, tensorboard, as_json)
        return
    run = Run(out, problem, network, options, resume=resume)
    resume = resume and run.checkpoint.exists()  # a crash may have come before the first
    with training_progress() as show, tensorboard_log(tensorboard, resume=resume) as log:

        def observe(row: Any) -> None:
            run.begin()
            log(row)
            show(row)

        fitted = fit(problem, network, options, observe, checkpoint=run.checkpoint, resume=resume)
    if not fitted.history:
        _note("Interrupted before anything was learned. Nothing was written.")
        raise SystemExit(130)
    with uninterrupted():
        files = run.finish(fitted)
    if not any(path.suffix == ".png" for path in files):
        _note("No pictures without matplotlib: pip install 'stepcell[plot]'")
    if as_json:
        scores = {name: score.to_json() for name, score in fitted.scores.items()}
        print(json.dumps({"out": str(out), "stopped": fitted.stopped, "scores": scores}))
    else:
        print(f"{problem.name}: stopped ({fitted.stopped}) {fitted.effort()}; {fitted.parameters:,} parameters")
        print_table(*score_table(fitted, problem.recipe.time_steps))
        print(f"written to {out}")
    if fitted.stopped == "interrupted":
        raise SystemExit(130)


def _search(
    problem: Any, network: Any, options: Any, out: Path, trials: int, fixed: Collection[str], resume: bool,
    tensorboard: Path | None, as_json: bool,
) -> None:  # fmt: skip
    from stepcell.runtime.console import print_table
    from stepcell.train import tensorboard_log, training_progress
    from stepcell.train.search import search
    from stepcell.train.search_report import describe_candidate, search_table
    from stepcell.train.search_space import SEARCHED

    @contextmanager
    def watch(number: int, candidate: Any, resumed: bool) -> Iterator[Callable[[Any], None]]:
        folder = tensorboard and tensorboard / f"trial-{number:02}"
        label = describe_candidate(number, trials, candidate)
        with training_progress(label) as show, tensorboard_log(folder, resume=resumed) as log:
            yield lambda row: (log(row), show(row))[0]

    fixed = set(fixed) & set(SEARCHED)
    searched = search(problem, network, options, out, trials, fixed=fixed, resume=resume, watch=watch)
    if not searched.trials:
        _note("Interrupted before a trial came to its end; with --resume it goes on.")
        raise SystemExit(130)
    if as_json:
        print(json.dumps({"out": str(out), **searched.to_json()}))
    else:
        print_table(*search_table(searched))
        if searched.best:
            print(f"written to {out}")
    if searched.interrupted:
        raise SystemExit(130)


@_trains("memory", units=20)
def train_memory(
    sequence: Annotated[
        list[str] | None, typer.Option("--sequence", help="A sequence of your own, symbols with commas; repeatable.")
    ] = None,
    sequences: Annotated[int, typer.Option("--sequences", help="Conflicting sequences to make.")] = 2,
    length: Annotated[int, typer.Option("--length", help="Symbols in each of them.")] = 5,
    symbols: Annotated[int | None, typer.Option("--symbols", help="Alphabet size; by default the least.")] = None,
) -> Problem:
    """Two sequences that agree in the middle: 3,0,1,2,3 and 4,0,1,2,4. Only memory tells how they end."""
    from stepcell.train import Memory

    if sequence:
        return Memory(tuple(tuple(part.strip() for part in one.split(",")) for one in sequence))
    return Memory.conflicting(sequences, length, symbols)


@_trains("alphabet", units=32)
def train_alphabet(
    symbols: Annotated[int, typer.Option("--symbols", help="Letters; above 26 they are numbers.")] = 26,
    cyclic: Annotated[bool, typer.Option("--cyclic/--no-cyclic", help="After Z comes A, or nothing.")] = True,
    scrambled: Annotated[
        int | None, typer.Option("--scrambled", help="Seed of another fixed order of the letters.")
    ] = None,
    shortest: Annotated[int, typer.Option("--shortest", help="Letters in the shortest sequence.")] = 1,
    longest: Annotated[int, typer.Option("--longest", help="Letters in the longest sequence.")] = 5,
) -> Problem:
    """The next letter after each letter, in sequences that begin anywhere and have any length."""
    from stepcell.train import Alphabet

    return Alphabet(symbols, cyclic, scrambled, shortest, longest)


@_trains("echo", units=64)
def train_echo(
    symbols: Annotated[int, typer.Option("--symbols", help="Alphabet size.")] = 100,
    lag: Annotated[int, typer.Option("--lag", help="Answer with the symbol of so many steps ago.")] = 1,
    missing: Annotated[
        float, typer.Option("--missing", help='Share of the inputs in whose place "missing" comes.')
    ] = 0.0,
) -> Problem:
    """Random symbols, one at a time; the answer is the symbol LAG steps ago, which only the state can know."""
    from stepcell.train import Echo

    return Echo(symbols, lag, missing)


@_trains("replay", units=64)
def train_replay(
    symbols: Annotated[int, typer.Option("--symbols", help="Alphabet size.")] = 10,
    length: Annotated[int, typer.Option("--length", help="Symbols in a sequence.")] = 5,
    first: Annotated[int, typer.Option("--first", help="First symbol to be asked for, counted from 0.")] = 0,
    count: Annotated[
        int | None, typer.Option("--count", help="How many are asked for. [default: all from --first on]")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Ask for the last of them first.")] = False,
    shortest: Annotated[
        int | None, typer.Option("--shortest", help="Symbols in the shortest sequence, if they vary.")
    ] = None,
) -> Problem:
    """A random sequence, then one "?" per answer: the sequence again, a part of it, or backwards."""
    from stepcell.train import Replay

    return Replay(symbols, length, first, count, reverse, shortest)


@_trains("recall", units=64)
def train_recall(
    lag: Annotated[int, typer.Option("--lag", help="Distractors between the key and the question.")] = 100,
    keys: Annotated[int, typer.Option("--keys", help="Different keys.")] = 10,
    distractors: Annotated[int, typer.Option("--distractors", help="Different distractors.")] = 8,
    extra: Annotated[int, typer.Option("--extra", help="Up to so many distractors more.")] = 0,
) -> Problem:
    """A key, LAG random distractors, and the question what the key was."""
    from stepcell.train import Recall

    return Recall(lag, keys, distractors, extra)


@_trains("reber", units=16)
def train_reber() -> Problem:
    """The embedded Reber grammar: the second symbol of a string decides the second to last."""
    from stepcell.train import Reber

    return Reber()


@_trains("order", units=32)
def train_order(
    marks: Annotated[int, typer.Option("--marks", help="2 or 3.")] = 2,
) -> Problem:
    """Marked symbols far apart in a sequence of 100; at its end their order is asked for."""
    from stepcell.train import Order

    return Order(marks)


@_trains("text", units=128)
def train_text(
    file: Annotated[Path, typer.Argument(help="UTF-8 text.", show_default=False)],
    held_out: Annotated[float, typer.Option("--held-out", help="Share of the text, at its end, to judge by.")] = 0.1,
) -> Problem:
    """The next character of a file, judged on a part of it that was held out."""
    from stepcell.train import Text

    return Text.from_file(file, held_out)


@app.command()
def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Systems or groups of them; --list shows which. [default: all]", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds of each training.")] = 3,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the results; what stands there is not measured again.")
    ] = Path("runs/reproduce"),
    show_list: Annotated[bool, typer.Option("--list", help="Show the systems and train nothing.")] = False,
    as_json: _Json = False,
) -> None:
    """Train published systems with recurrent memory as published and the way of stepcell; compare with the claims.

    Everything takes hours, one system minutes. Ctrl-C keeps what was measured, and the same command goes on.
    """
    _import_tensorflow()
    from stepcell.runtime.console import print_table, working
    from stepcell.train.reproduction import TITLES, Reproduction, table, write_report
    from stepcell.train.reproduction import as_json as results_as_json
    from stepcell.train.reproduction import systems as find_systems

    chosen = find_systems(names or ())
    if show_list:
        print_table(["system", "group", "what is learned"], [[one.name, one.group, one.about] for one in chosen])
        return
    reproduction = Reproduction(out)
    interrupted = False
    try:
        with working() as progress:
            reproduction.run(chosen, seeds, lambda what, share: progress(f"{what}: {100 * share:.0f} %"))
    except KeyboardInterrupt:
        interrupted = True
    files = write_report(out, reproduction, chosen)
    if as_json:
        print(json.dumps(results_as_json(reproduction, chosen)))
    else:
        for group in TITLES:
            header, rows = table(reproduction, chosen, group)
            if rows:
                print_table(header, rows)
                print()
        print(f"written to {', '.join(map(str, files))}")
    if interrupted:
        raise SystemExit(130)


@app.command()
def export(
    source: Annotated[Path, typer.Argument(help="Run folder, or a .keras file from anywhere.", show_default=False)],
    out: _Out,
    format: Annotated[
        list[Format] | None, typer.Option("--format", help="File to write; repeatable. [default: both]")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option("--vocabulary", help="Symbols by id: one per line, or a JSON list.")
    ] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="Symbols of the output, if they are others.")] = None,
    one_hot: _OneHot = False,
    steps: _Steps = 10_000,
    as_json: _Json = False,
) -> None:
    """Write a Keras model as one-step files, proven equal to Keras on every interpreter installed here."""
    _import_tensorflow()
    from stepcell.export import export as export_model
    from stepcell.export import parity_table, read_source, read_vocabulary
    from stepcell.runtime.console import print_table, working

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
            one_hot=one_hot,
            training=read.training,
            sample=read.sample,
            steps=steps,
            progress=progress,
        )
    if as_json:
        print(json.dumps({"files": [str(f) for f in exported.files], "parity": [p.to_json() for p in exported.parity]}))
        return
    print_table(*parity_table(exported.parity))
    for path in exported.files:
        print(f"{path}  {path.stat().st_size:,} bytes")


@app.command()
def check(
    file: _ModelFile,
    against: Annotated[Path, typer.Option("--against", help="Keras file or run folder.", show_default=False)],
    steps: _Steps = 10_000,
    one_hot: _OneHot = False,
    as_json: _Json = False,
) -> None:
    """Step a model file on every interpreter installed here and compare it with the Keras model."""
    _import_tensorflow()
    from stepcell.export import check as check_file
    from stepcell.export import parity_table, read_source
    from stepcell.runtime.console import print_table, working

    read = read_source(against)
    with working() as progress:
        results = check_file(file, read.model, one_hot=one_hot, sample=read.sample, steps=steps, progress=progress)
    if as_json:
        print(json.dumps([parity.to_json() for parity in results]))
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


@app.command()
def predict(
    file: _ModelFile,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the most likely symbols to print.")] = 1,
    backend: _Backend = None,
    as_json: _Json = False,
) -> None:
    r"""Read symbols from stdin, one per line, and answer each with what comes next.

    The state is carried from line to line. Newline, tab and backslash as symbols are written \n, \t and \\.
    """
    from stepcell.runtime import StepcellError, load
    from stepcell.runtime.console import quiet_stderr
    from stepcell.runtime.describe import answer_line
    from stepcell.runtime.vocabulary import unescape_symbol

    with quiet_stderr():
        model = load(file, backend=backend)
    stream = model.stream()
    if sys.stdin is None:
        _fail("There is no stdin to read symbols from.")
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            _fail(f"Line {number} is not UTF-8: byte {error.start + 1} is 0x{line[error.start]:02x}.")
        symbol = text if text in model.vocabulary else unescape_symbol(text)
        try:
            prediction = stream.step(symbol)
        except StepcellError as error:
            _fail(f"Line {number}: {error}")
        print(answer_line(symbol, prediction, top, as_json=as_json), flush=True)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the model files.")] = Path("build/memory"),
    run: Annotated[Path, typer.Option("--run", help="Folder for the training run.")] = Path("runs/demo"),
    seed: _Seed = 7,
    steps: _Steps = 10_000,
) -> None:
    """Train the memory problem, export it, prove it, and step both sequences on every interpreter installed here."""
    _import_tensorflow()
    from stepcell.export import export as export_model
    from stepcell.export import parity_table, read_source
    from stepcell.export.device_process import installed_backends, trace_in_process
    from stepcell.runtime import describe_backend, read_model_file
    from stepcell.runtime.backend import initial_state
    from stepcell.runtime.console import print_table, working
    from stepcell.runtime.trace import Course
    from stepcell.train import Memory

    problem = Memory.conflicting()
    _train(problem, run, units=20, seed=seed)
    source = read_source(run)
    with working() as progress:
        exported = export_model(
            source.model, out, vocabulary=source.vocabulary, name="memory", training=source.training, steps=steps,
            progress=progress,
        )  # fmt: skip
    print()
    print_table(*parity_table(exported.parity))
    rows = []
    for path in exported.files[:-1]:
        manifest = read_model_file(path).manifest
        for backend in installed_backends(path.suffix[1:]):
            row = [path.name, describe_backend(backend)]
            for sequence in problem.sequences:
                ids = manifest.vocabulary.encode_all(sequence[:-1])
                course = Course(ids, initial_state(manifest.state))
                last = trace_in_process(path, backend, {"demo": course})["demo"].probabilities[-1]
                row.append(f"{manifest.vocabulary.decode(int(last.argmax()))}  ({last.max():.3f})")
            rows.append(row)
    asked = [f"after {','.join(s[:-2])} the symbol {s[-2]} is answered by" for s in problem.sequences]
    print()
    print_table(["file", "runtime", *asked], rows)


def _import_tensorflow() -> None:
    """Import TensorFlow without its remarks about this machine's processor and graphics card."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from stepcell.runtime.console import quiet_stderr

    with quiet_stderr():
        import tensorflow  # noqa: F401
    import logging

    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _fail(text: str) -> NoReturn:
    _note(text)
    raise SystemExit(1) from None


if __name__ == "__main__":
    app()
