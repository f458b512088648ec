"""The command `stepcell train`: a command for each problem, with its own options and those of every training."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any

import typer

from .data import events, text
from .problems import alphabet, echo, memory, order, reber, recall, replay
from .training import train_problem

_UNITS: dict[Callable[..., Any], int] = {  # problem -> units of its network, unless --units is given
    memory: 20, alphabet: 32, echo: 64, replay: 64, recall: 64, reber: 16, order: 32, text: 128, events: 64,
}  # fmt: skip


def _with_training(make_problem: Callable[..., Any], units: int) -> Callable[..., None]:
    """Return a command that makes a problem and trains it: its signature is that of both functions."""
    own = signature(make_problem, eval_str=True).parameters
    shared = dict(signature(train_problem, eval_str=True).parameters)
    del shared["make_problem"], shared["fixed"]
    shared["units"] = shared["units"].replace(default=units)
    context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *(one.replace(kind=Parameter.KEYWORD_ONLY) for one in {**own, **shared}.values())]

    def command(context: typer.Context, **given: Any) -> None:
        sources = {name: context.get_parameter_source(name) for name in given}
        fixed = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
        chosen = {name: given.pop(name) for name in own}
        train_problem(lambda: make_problem(**chosen), **given, fixed=fixed)

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
