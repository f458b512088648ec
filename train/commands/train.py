"""What all commands that train have in common: their options, the training itself, and what it prints.

What files of data can be, as commands call it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from enum import Enum
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from ..problems.problem import Problem


class FileFormat(str, Enum):
    """What a file of events is: all of `runtime.reading.FORMATS`."""

    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"
    lines = "lines"


class DataFormat(str, Enum):
    """What a file of data for a model is: all of `runtime.reading.DATA_FORMATS`."""

    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"
    lines = "lines"
    text = "text"
    symbols = "symbols"


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


_Out = Annotated[Path, typer.Option("--out", help="Folder to write to.", show_default=False)]
_Seed = Annotated[int, typer.Option("--seed", help="Everything random follows from it.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def trains(app: typer.Typer, name: str, units: int) -> Callable[[Callable[..., Problem]], Callable[..., Problem]]:
    """Make the decorated function, which makes a problem from options of its own, the command NAME of `app`.

    The command has those options and the common ones of `train`; `units` is the default of --units.
    """

    def register(make_problem: Callable[..., Problem]) -> Callable[..., Problem]:
        hints = {**get_type_hints(train, include_extras=True), **get_type_hints(make_problem, include_extras=True)}
        own = list(signature(make_problem).parameters)
        parameters = {**signature(make_problem).parameters, **signature(train).parameters}
        del parameters["problem"], parameters["fixed"]
        parameters["units"] = parameters["units"].replace(default=units)

        def command(context: typer.Context, **given: Any) -> None:
            from ...runtime.common.terminal import import_silently

            import_silently("tensorflow")
            sources = {option: context.get_parameter_source(option) for option in given}
            fixed = {option for option, source in sources.items() if source and source.name == "COMMANDLINE"}
            problem = make_problem(**{option: given.pop(option) for option in own})
            train(problem, **given, fixed=fixed)

        keyword = Parameter.KEYWORD_ONLY
        context = Parameter("context", keyword, annotation=typer.Context)
        command.__signature__ = Signature(  # type: ignore[attr-defined]
            [context, *(p.replace(kind=keyword, annotation=hints[p.name]) for p in parameters.values())]
        )
        command.__annotations__ = {"context": typer.Context, **{name: hints[name] for name in parameters}}
        command.__doc__ = make_problem.__doc__
        app.command(name)(command)
        return make_problem

    return register


def train(
    problem: Any,
    out: _Out,
    cell: Annotated[Cell, typer.Option("--cell", help="Kind of recurrent layer.")] = Cell.lstm,
    units: Annotated[int, typer.Option("--units", help="Units of each recurrent layer.")] = 64,
    layers: Annotated[int, typer.Option("--layers", help="Recurrent layers.")] = 1,
    embedding: Annotated[int, typer.Option("--embedding", help="Size of the embedding; 0: one-hot.")] = 0,
    dropout: Annotated[float, typer.Option("--dropout", help="Share of the outputs dropped while training.")] = 0.0,
    forget_bias: Annotated[float, typer.Option("--forget-bias", help="Initial bias of the forget gate.")] = 1.0,
    chrono_init: Annotated[
        int | None, typer.Option("--chrono-init", help="Initialise the gates for lags of so many steps; 0: do not.")
    ] = None,
    seed: _Seed = 0,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="The highest one.")] = None,
    schedule: Annotated[
        Schedule | None, typer.Option("--schedule", help="How the learning rate changes; the problem knows.")
    ] = None,
    clip_norm: Annotated[float, typer.Option("--clip-norm", help="Gradients are scaled down to this norm.")] = 1.0,
    curriculum: Annotated[
        bool, typer.Option("--curriculum/--no-curriculum", help="Learn easier problems first where there are some.")
    ] = True,
    max_updates: Annotated[int | None, typer.Option("--max-updates", help="Most updates to make.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Time limit for training.")] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", help="Processor threads; by default one below 256 units, else all."),
    ] = None,
    learn_initial_state: Annotated[
        bool, typer.Option("--learn-initial-state", help="Learn the state that follows a reset; else it is zeros.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")] = False,
    search: Annotated[
        int | None,
        typer.Option(
            "--search", min=1, metavar="TRIALS",
            help="Try so many networks and keep the smallest that solves it: searches --cell, --units, --layers and "
            "--learning-rate, but not those that are given; --max-updates and --minutes are for each.",
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", help="Folder to write the history to for TensorBoard.")
    ] = None,
    as_json: _Json = False,
    fixed: Collection[str] = (),
) -> None:  # fmt: skip
    """Train, write the run folder and print the evaluation; with `search` look for the smallest network first."""
    from ...runtime.common.terminal import defer_sigint, format_table, print_table
    from ..fitting.fit import fit
    from ..fitting.options import Options
    from ..network.network import Network
    from ..run.folder import Run
    from ..run.report import score_table, training_progress
    from ..run.tensorboard import tensorboard_log

    if problem.data is not None:
        header, rows, note = problem.data.table()
        typer.echo("\n".join([*format_table(header, rows), note]), err=True)
    network = Network(cell.value, units, layers, embedding, dropout, forget_bias, chrono_init)
    options = Options(
        seed,
        learning_rate,
        schedule and schedule.value,
        max_updates,
        minutes,
        clip_norm,
        threads,
        curriculum,
        learn_initial_state,
    )
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
        typer.echo("Interrupted before anything was learned. Nothing was written.", err=True)
        raise SystemExit(130)
    with defer_sigint():
        files = run.finish(fitted)
    if not any(path.suffix == ".png" for path in files):
        typer.echo("No pictures without matplotlib: pip install 'stepcell[plot]'", err=True)
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
    from ...runtime.common.terminal import print_table
    from ..run.report import training_progress
    from ..run.tensorboard import tensorboard_log
    from ..search.report import describe_candidate, search_table
    from ..search.search import search
    from ..search.space import SEARCHED

    @contextmanager
    def watch(number: int, candidate: Any, resumed: bool) -> Iterator[Callable[[Any], None]]:
        folder = tensorboard and tensorboard / f"trial-{number:02}"
        label = describe_candidate(number, trials, candidate)
        with training_progress(label) as show, tensorboard_log(folder, resume=resumed) as log:
            yield lambda row: (log(row), show(row))[0]

    fixed = set(fixed) & set(SEARCHED)
    searched = search(problem, network, options, out, trials, fixed=fixed, resume=resume, watch=watch)
    if not searched.trials:
        typer.echo("Interrupted before a trial came to its end; with --resume it goes on.", err=True)
        raise SystemExit(130)
    if as_json:
        print(json.dumps({"out": str(out), **searched.to_json()}))
    else:
        print_table(*search_table(searched))
        if searched.best:
            print(f"written to {out}")
    if searched.interrupted:
        raise SystemExit(130)
