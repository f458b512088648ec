"""The command `stepcell train`: a command for each problem, with its own options and those of every training."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ...runtime.commands.options import AsJson, Seed, output, panel, training
from .base import base_run
from .data import events, series, text
from .problems import alphabet, echo, memory, order, reber, recall, replay

network = panel("Network")
_BASE = ("from_run", "grow")  # options of `base_run`
_RECIPE = "recipe of the problem"


def train_problem(
    make_problem: Callable[[], Any],
    out: Annotated[Path, output("Folder of the run.")],
    as_json: AsJson = False,
    tensorboard: Annotated[Path | None, output("Folder to write the history to for TensorBoard.", "none")] = None,
    cell: Annotated[Literal["lstm", "gru", "rnn"], network("Kind of recurrent layer.")] = "lstm",
    units: Annotated[int, network("Units of each recurrent layer.")] = 64,
    layers: Annotated[int, network("Number of recurrent layers.")] = 1,
    embedding: Annotated[int | None, network(
        "Size of the embedding; 0: one-hot vectors.", "one-hot up to 256 symbols, then 8 to 128")] = None,
    dropout: Annotated[float, network("Fraction of the outputs of a layer to drop in training.")] = 0.0,
    forget_bias: Annotated[float, network("Initial bias of the forget gate of an LSTM.")] = 1.0,
    chrono_init: Annotated[int | None, network(
        "Initialise the gates for lags of up to this many steps; 0: do not.", _RECIPE)] = None,
    max_parameters: Annotated[int | None, network(
        "Largest number of parameters: without --units a layer gets as many units as fit. Bounds a --search too.",
        "no limit", min=1)] = None,
    learn_initial_state: Annotated[bool, network(
        "Learn the state after a reset, which is zeros otherwise.", flag="--learn-initial-state")] = False,
    seed: Seed = 0,
    learning_rate: Annotated[float | None, training("Peak learning rate.", _RECIPE)] = None,
    schedule: Annotated[Literal["constant", "by_accuracy", "cosine"] | None, training(
        "Change of the learning rate during training.", _RECIPE)] = None,
    clip_norm: Annotated[float, training("Largest norm of the gradients.")] = 1.0,
    curriculum: Annotated[bool, training("Learn easier problems first, if the problem has some.")] = True,
    max_updates: Annotated[int | None, training("Largest number of updates.", _RECIPE)] = None,
    minutes: Annotated[float | None, training("Longest time of training in minutes.", "no limit")] = None,
    patience: Annotated[int | None, training(
        "Evaluations on the held-out part without a better one after which training ends; 0: never. There are about 15 "
        "to 20 in a training; the weights of the best one are kept in any case.",
        "5 on recorded data; never on generated data", min=0)] = None,
    threads: Annotated[int | None, training("Processor threads.", "1 below 256 units, otherwise all")] = None,
    search: Annotated[int | None, training(
        "Search with this number of trials for the smallest network that solves the problem, over those of --cell, "
        "--units, --layers, --learning-rate and, on recorded data, --dropout and --embedding that are not given; "
        "--max-updates and --minutes hold for each trial.",
        "no search", min=1, metavar="TRIALS")] = None,
    storage: Annotated[str | None, training(
        "Database of a search of several workers, each with its own --out: postgresql://USER@HOST/DATABASE, or "
        "sqlite:///FILE on one machine. The trials are those of all workers together; the same command goes on.",
        "the search is in --out", metavar="URL")] = None,
    study: Annotated[str, training("Name of the search in the database.")] = "search",
    resume: Annotated[bool, training("Continue the interrupted run in --out.", flag="--resume")] = False,
    fixed: Collection[str] = (),
    base: Any = None,
) -> None:  # fmt: skip
    """Train, write the run folder and print the evaluation.

    Options are checked and the data are read before TensorFlow is imported: `make_problem` is called after the check.
    A search leaves the options that are `fixed` as they are. `base` is the run that the training goes on from, if any.

    Raises:
        SystemExit: The training was interrupted (130).
        StepcellError: As `fit`, `search` and `Run` raise it.
    """
    from ...runtime.common.atomic_write import check_folder
    from ...runtime.common.terminal import format_table, print_text
    from ..fitting.options import Options
    from ..network.network import Network, default_embedding
    from ..run.folder import Run

    shape = Network(cell, units, layers, embedding or 0, dropout, forget_bias, chrono_init)
    if storage is not None:
        if not search:
            raise typer.BadParameter("is the database of a search: give --search too", param_hint="--storage")
        from ..search.storage import check_url

        check_url(storage)  # before the data are read
        if not study:
            raise typer.BadParameter("is empty, and names the search in the database", param_hint="--study")
    elif study != "search":
        raise typer.BadParameter("names a search in a database: give --storage too", param_hint="--study")
    options = Options(
        seed, learning_rate, schedule, max_updates, minutes, clip_norm, threads, curriculum, learn_initial_state,
        patience,
    )  # fmt: skip
    problem = make_problem()
    if embedding is None and len(problem.vocabulary) and (size := default_embedding(len(problem.vocabulary))):
        shape = replace(shape, embedding=size)
        typer.echo(f"embedding: {size} numbers for each of {len(problem.vocabulary):,} symbols (--embedding)", err=True)
    most_units = None
    if max_parameters is not None:
        keep = base is not None or ("units" in fixed)
        shape, most_units = _within(max_parameters, shape, problem, options, keep=keep)
    if problem.data is not None:
        header, rows, note = problem.data.table()
        print_text("\n".join([*format_table(header, rows), note]), err=True)
    if tensorboard is not None:
        check_folder(tensorboard)
    if search:
        team = None if storage is None else (storage, study)
        _search(problem, shape, options, out, search, fixed, resume, tensorboard, as_json, team, max_parameters)
        return
    described = base and base.describe()
    with closing(Run(out, problem, shape, options, resume=resume, base=described)) as run:
        _train(run, problem, shape, options, out, tensorboard, most_units, as_json=as_json, resume=resume, base=base)


def _within(limit: int, network: Any, problem: Any, options: Any, *, keep: bool) -> tuple[Any, int]:
    """Return `network` with no more than `limit` parameters, and the most units that fit; it keeps its own if `keep`.

    Raises:
        ProblemError: It has more, and keeps its units; or one unit is too many.
    """
    from ...runtime.common.errors import ProblemError
    from ..network.size import count_parameters, largest_within
    from ..problems.problem import sizes_of

    sizes = sizes_of(problem)
    learned = options.learn_initial_state
    largest = largest_within(limit, network, *sizes, learn_initial_state=learned)
    chosen = network if keep else largest
    count = count_parameters(chosen, *sizes, learn_initial_state=learned)
    if count > limit:
        raise ProblemError(
            f"A network of {network.units:,} units has {count:,} parameters, --max-parameters is {limit:,}: "
            f"{largest.units:,} units fit."
        )
    if not keep:
        typer.echo(f"units: {chosen.units:,}, {count:,} parameters (--max-parameters {limit:,})", err=True)
    return chosen, largest.units


def _train(
    run: Any, problem: Any, network: Any, options: Any, out: Path, tensorboard: Path | None, most_units: int | None, *,
    as_json: bool, resume: bool, base: Any,
) -> None:  # fmt: skip
    from ...runtime.common.terminal import ignore_sigint, import_silently, print_table, print_text
    from ..run.advice import advice, seen_in

    import_silently("tensorflow")
    from ..fitting.fit import fit
    from ..run.report import kept_line, score_table, training_progress, transfer_table
    from ..run.tensorboard import tensorboard_log

    start = base and base.start(problem)
    resume = resume and run.checkpoint.exists()  # a crash may have come before the first
    with training_progress() as show, tensorboard_log(tensorboard, resume=resume) as log:

        def observe(row: Any) -> None:
            run.begin()
            log(row)
            show(row)

        warn = partial(print_text, err=True)
        files = {"checkpoint": run.checkpoint, "resume": resume}
        fitted = fit(problem, network, options, observe, **files, warn=warn, start=start)
    if not fitted.history:
        typer.echo("Interrupted before anything was learned. Nothing was written.", err=True)
        raise SystemExit(130)
    with ignore_sigint():
        files = run.finish(fitted)
    if not any(path.suffix == ".png" for path in files):
        typer.echo("No pictures without matplotlib: pip install 'stepcell[plot]'", err=True)
    seen = seen_in(fitted, minutes=options.minutes, may_change=base is None, most_units=most_units)
    hints = [] if seen is None else list(advice(seen))
    if as_json:
        scores = {name: score.to_json() for name, score in fitted.scores.items()}
        transfer = {} if fitted.transfer is None else {"transfer": fitted.transfer.to_json()}
        print(json.dumps({
            "out": str(out), "stopped": fitted.stopped, "kept_update": fitted.kept_update, "scores": scores,
            "advice": hints, **transfer,
        }))  # fmt: skip
    else:
        print(f"{problem.name}: stopped ({fitted.stopped}) {fitted.effort()}; {fitted.parameters:,} parameters")
        if seen is not None:
            print(kept_line(seen))
        print_table(*score_table(fitted, problem.recipe.time_steps))
        if fitted.transfer is not None:
            print_table(*transfer_table(fitted.transfer, base.folder))
        for hint in hints:
            print_text(f"- {hint}")
        print(f"written to {out}")
    if fitted.stopped == "interrupted":
        raise SystemExit(130)


def _search(
    problem: Any, network: Any, options: Any, out: Path, trials: int, fixed: Collection[str], resume: bool,
    tensorboard: Path | None, as_json: bool, team: tuple[str, str] | None,
    max_parameters: int | None,
) -> None:  # fmt: skip
    from ...runtime.common.terminal import print_table, print_text
    from ..run.report import training_progress
    from ..search.report import describe_candidate, search_table
    from ..search.search import search
    from ..search.space import SEARCHED

    @contextmanager
    def watch(number: int, candidate: Any, resumed: bool) -> Iterator[Callable[[Any], None]]:
        from ..run.tensorboard import tensorboard_log  # imports TensorFlow

        folder = tensorboard and tensorboard / f"trial-{number:02}"
        label = describe_candidate(number, trials, candidate)
        with training_progress(label) as show, tensorboard_log(folder, resume=resumed) as log:
            yield lambda row: (log(row), show(row))[0]

    fixed = set(fixed) & set(SEARCHED)
    if team is None:
        searched = search(
            problem, network, options, out, trials, fixed=fixed, resume=resume, watch=watch,
            max_parameters=max_parameters,
        )  # fmt: skip
    else:
        from ..search.shared import Team, search_together

        say = partial(print_text, err=True)
        searched = search_together(
            problem,
            network,
            options,
            out,
            trials,
            Team(*team),
            fixed=fixed,
            watch=watch,
            say=say,
            max_parameters=max_parameters,
        )
    if not searched.trials:
        way = "with --resume it goes on" if team is None else "the same command goes on"
        typer.echo(f"Interrupted before a trial came to its end; {way}.", err=True)
        raise SystemExit(130)
    if as_json:
        print(json.dumps({"out": str(out), **searched.to_json()}))
    else:
        print_table(*search_table(searched))
        if searched.best:
            print(f"written to {out}")
    if searched.interrupted:
        raise SystemExit(130)


_UNITS: dict[Callable[..., Any], int] = {  # problem -> units of its network, unless --units is given
    memory: 20, alphabet: 32, echo: 64, replay: 64, recall: 64, reber: 16, order: 32, text: 128, events: 64, series: 32,
}  # fmt: skip


def _with_training(make_problem: Callable[..., Any], units: int) -> Callable[..., None]:
    """Return a command that makes a problem and trains it: its signature is that of both functions.

    A problem that is read from files may also go on from an earlier run.
    """
    own = dict(signature(make_problem, eval_str=True).parameters)
    from_base = [name for name in ("inherited", "scaling", "templates") if own.pop(name, None)]
    shared = dict(signature(train_problem, eval_str=True).parameters)
    for name in ("make_problem", "fixed", "base"):
        del shared[name]
    shared["units"] = shared["units"].replace(default=units)
    of_base = signature(base_run, eval_str=True).parameters
    if from_base:
        shared |= {name: of_base[name] for name in _BASE}
    context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *(one.replace(kind=Parameter.KEYWORD_ONLY) for one in {**own, **shared}.values())]

    def command(context: typer.Context, **given: Any) -> None:
        sources = {name: context.get_parameter_source(name) for name in given}
        fixed = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
        base = None
        if from_base:
            earlier = {name: given.pop(name) for name in _BASE}
            base, given = base_run(make_problem.__name__, {**given, **dict.fromkeys(from_base)}, fixed, **earlier)
        chosen = {name: given.pop(name) for name in (*own, *from_base)}
        train_problem(lambda: make_problem(**chosen), **given, fixed=fixed, base=base)

    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    command.__doc__ = make_problem.__doc__
    return command


train = typer.Typer(
    no_args_is_help=True, add_completion=False,
    help="Train a network on a problem or on your own data.\n\nExample: stepcell train memory --out runs/memory",
)  # fmt: skip
for _make_problem, _units in _UNITS.items():
    train.command(_make_problem.__name__)(_with_training(_make_problem, _units))
