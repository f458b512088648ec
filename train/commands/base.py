"""The options of `stepcell train` that go on from an earlier run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ...runtime.commands.options import training

if TYPE_CHECKING:
    from ..run.base_run import BaseRun

_SHAPE = ("cell", "units", "layers", "embedding", "dropout", "forget_bias", "chrono_init")
_DECIDING = ("join", "gaps", "gap_feature", "unit", "templates")  # they decide which symbols and features there are
_READING = ("symbol", "sequence", "order", "format", "header", "encoding", "time_zone", "bad_lines")
_UNITS_OF_TIME = ("time_unit", "time_format")  # of which one may be given


def base_run(
    problem: str,
    given: Mapping[str, Any],
    fixed: Collection[str],
    from_run: Annotated[Path | None, training(
        "Go on from the network of this run with new data: its shape, symbols, end symbol and normalisation stay, and "
        "options of reading that are not given are as in that run.", "a new network", flag="--from",
        metavar="RUN")] = None,
    grow: Annotated[bool, training(
        "With --from: add rows for symbols that the run does not know; else they are unknown.", flag="--grow")] = False,
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """Return the run that is gone on from, and the options of the command, completed by those of the run.

    Args:
        problem: Name of the problem.
        given: Name -> value of all other options.
        fixed: Names of the options that the user has given.
        from_run: Folder of the run; None: there is none.
        grow: Add rows for new symbols.

    Raises:
        OptionError: Options that do not go together.
        ResumeError: There is no such run, or options contradict it.
    """
    from ...runtime.common.errors import OptionError, raise_if_any

    if from_run is None:
        raise_if_any(["name one: --from RUN"] if grow else [], "--grow adds rows to the network of a run", OptionError)
        return None, dict(given)
    from ..run.base_run import BaseRun
    from ..run.folder import PREVIOUS

    out = given["out"].resolve()
    problems = []
    if from_run.resolve() in (out, out.with_name(out.name + PREVIOUS)):
        problems.append(
            f"--out {given['out']} would replace the run in {from_run}: give the new run a folder of its own"
        )
    if given["search"]:
        problems.append("--search looks for a network, and --from has one: leave one of them out")
    raise_if_any(problems, f"The run in {from_run} cannot be gone on from like this", OptionError)
    base = BaseRun.read(from_run, problem)
    values = _completed(base, given, fixed, grow=grow)
    values["inherited"] = base.inherited(grow=grow)
    if "scaling" in values:
        values["scaling"] = base.scaling
    return base, values


def _completed(base: BaseRun, given: Mapping[str, Any], fixed: Collection[str], *, grow: bool) -> dict[str, Any]:
    """Return the options of the command, with those of the run in place of all that were not given.

    Raises:
        ResumeError: Options contradict the run; all of them are named.
    """
    from ...runtime.common.errors import ResumeError, raise_if_any
    from ...runtime.data import features_of

    own = _of_run(base, given)
    problems = [
        f"{_flag(name, given[name])}, and the run has {_shown(value)}"
        for name, value in own.items() if name in fixed and given[name] != value
    ]  # fmt: skip
    columns, names = given.get("features"), list(base.reading.get("features") or {})
    if columns and list(features_of(columns)) != names:
        problems.append(f"--feature names {_shown(list(features_of(columns)))}, and the network reads {_shown(names)}")
    values = base.plan.get("values")
    if values and given["value"] and list(given["value"]) != values:
        problems.append(f"--value names {_shown(list(given['value']))}, and the run has {_shown(values)}")
    if values:
        own["value"] = values
    if not grow:
        problems += [
            f"--{name.replace('_', '-')} is for new symbols, which are unknown without --grow"
            for name in ("min_count", "max_symbols") if name in fixed
        ]  # fmt: skip
    if "label" in given and base.plan.get("labels") is None and given["label"] is not None:
        problems.append("--label asks for labels, and the run has learned the next event")
    if "label" in given and base.plan.get("labels") is not None and given["label"] is None:
        own["label"] = base.targets[0]
    raise_if_any(problems, f"These options contradict the run in {base.folder}", ResumeError)
    return {**given, **_as_read(base, given, fixed), **own}


def _of_run(base: BaseRun, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return name -> value of the run for the options that may not contradict it."""
    plan, reading = base.plan, base.reading
    own = {name: plan["network"][name] for name in _SHAPE}
    own["learn_initial_state"] = base.learns_initial_state
    own |= {name: reading[name] for name in _DECIDING if name in given and name in reading}
    if "end" in given and plan.get("labels") is None:
        own["end"] = plan["problem"]["end"] or ""
    if "ahead" in given:
        own["ahead"] = plan["training"]["data"].get("ahead", 0)
    return own


def _as_read(base: BaseRun, given: Mapping[str, Any], fixed: Collection[str]) -> dict[str, Any]:
    """Return the options of reading of the run, but those that are given or that a given one replaces."""
    names = [name for name in _READING if name not in fixed]
    if not any(name in fixed for name in _UNITS_OF_TIME):
        names += _UNITS_OF_TIME
    if "format" not in fixed and "delimiter" not in fixed:
        names.append("delimiter")
    found = {name: base.reading[name] for name in names if name in given and name in base.reading}
    if isinstance(found.get("symbol"), str):
        found["symbol"] = [found["symbol"]]
    option = "features" if "features" in given else "feature"
    if option in given and option not in fixed:
        found[option] = [f"{name}={column}" for name, column in (base.reading.get("features") or {}).items()]
    return found


def _flag(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    return f"--{flag}" if value is True else f"--{flag} is {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "", False) else str(value)
