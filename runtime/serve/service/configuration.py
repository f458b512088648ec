"""Options of a service from a file, TOML, and from the command line, which wins."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ...common.errors import InputError, MissingPackageError, OptionError
from .options import ServeOptions

_NEEDED = {"model": "MODEL", "store": "--store FILE"}  # option -> what to type


def read_options(file: Path | None, given: Mapping[str, Any]) -> ServeOptions:
    """Return the options of a file, with those that are given in place of its own.

    The keys of the file are the names of the options, with dashes. Its paths are relative to its folder.

    Args:
        file: The file; None: there is none.
        given: Name of an attribute of `ServeOptions` -> value.

    Raises:
        InputError: The file cannot be read.
        MissingPackageError: There is no reader of TOML (Python 3.10 without stepcell[serve]).
        OptionError: It is not TOML, has unknown keys or values of a wrong type, or options are missing or do not go
            together. All problems of the file are named at once.
    """
    problems, values = ([], {}) if file is None else _checked(_read(file), file.parent)
    values |= given
    missing = [option for option in _NEEDED if option not in values]
    if file is not None:
        problems += [f"{option!r} is missing" for option in missing]
        if problems:
            raise OptionError(f"{file} is no configuration of stepcell serve: {'; '.join(problems)}.")
    if missing:
        wanted = " and ".join(_NEEDED[option] for option in missing)
        raise OptionError(f"Missing is {wanted}; or --config FILE, a file of TOML with {', '.join(missing)}.")
    return ServeOptions(**values)


def _read(file: Path) -> dict[str, Any]:
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        toml = import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"--config needs the package {name} on this Python. Install it: pip install 'stepcell[serve]'"
        ) from error
    try:
        found: dict[str, Any] = toml.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {file}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:  # of TOML, or of UTF-8
        raise OptionError(f"{file} is not TOML: {error}.") from error
    return found


def _checked(found: Mapping[str, Any], folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Return the problems of a configuration, and its values by attribute."""
    hints = get_type_hints(ServeOptions)
    attributes = {field.name.replace("_", "-"): field.name for field in fields(ServeOptions)}
    problems, values = [], {}
    for key, value in found.items():
        if key not in attributes:
            close = get_close_matches(key.replace("_", "-"), attributes, 1)
            problems.append(f"there is no option {key!r}" + (f", did you mean {close[0]!r}?" if close else ""))
            continue
        try:
            values[attributes[key]] = _converted(value, hints[attributes[key]], folder)
        except ValueError as error:
            problems.append(f"{key!r} is {_shown(value)} and has to be {error}")
    return problems, values


def _converted(value: Any, hint: Any, folder: Path) -> Any:
    """Return a value of TOML as an option of a type; raise ValueError with what was expected."""
    if get_origin(hint) in (Union, UnionType):  # one type, or None, which TOML does not have
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(" or ".join(f'"{one}"' for one in get_args(hint)))
        return value
    if get_origin(hint) is tuple:
        many = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str) for one in many):
            raise ValueError("a text or a list of texts")
        return tuple(_converted(one, get_args(hint)[0], folder) for one in many)
    if hint is Path and isinstance(value, str):
        return folder / Path(value).expanduser()
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not (str if hint is Path else hint):
        names = {bool: "true or false", int: "an integer", float: "a number", str: "a text", Path: "the text of a path"}
        raise ValueError(names[hint])
    return value


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
