"""Columns of a table: their selection, and the conversion of a cell to a symbol or to a feature."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import isfinite
from typing import Any

import numpy as np

from ..common.errors import CorpusError
from ..format.vocabulary import json_text

GAP = "gap"  # name of the feature that is the time since the event before
_COLUMNS_SHOWN = 30
_LARGEST = float(np.finfo(np.float32).max)
# Names with a meaning in a model file: see README, "The model file".
_RESERVED = re.compile(r"symbols?|probabilities|values|next_.*|(h|c|past|prepared)\d+", re.ASCII)
_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are read.

    Attributes:
        symbol: Column of the symbol, or columns whose values are joined to one; None: the only column of the table; ():
            rows have no symbol, only features.
        sequence: Column that tells sequences apart; None: all rows are one sequence.
        order: Column of the time or number that orders a sequence; None: the order of the rows.
        features: Name of a feature -> its column.
        join: Text between the values of several columns of the symbol.
    """

    symbol: str | tuple[str, ...] | None
    sequence: str | None = None
    order: str | None = None
    features: Mapping[str, str] = field(default_factory=dict)
    join: str = "="

    @property
    def symbols(self) -> tuple[str, ...]:
        """The columns of the symbol, none if it is the only column of the table or if there is no symbol."""
        return () if self.symbol is None else (self.symbol,) if isinstance(self.symbol, str) else self.symbol

    @property
    def by_option(self) -> list[tuple[str, str]]:
        """Option and name of each column that is named."""
        symbols = (("--symbol", name) for name in self.symbols)
        named = (*symbols, ("--sequence", self.sequence), ("--order", self.order))
        features = [("--feature", column) for column in self.features.values()]
        return [*((option, name) for option, name in named if name is not None), *features]

    def select(self, existing: Sequence[str], source: str, hint: str = "") -> list[str | None]:
        """Return the columns of the symbol, one or several, of sequence, order and each feature; None: not read.

        Args:
            existing: All columns of the table.
            source: The file, for messages.
            hint: Text to append to a message.

        Raises:
            CorpusError: A column is missing or occurs twice, or the column of the symbol is not named. The message
                lists all problems and the existing columns.
        """
        problems = []
        for option, name in self.by_option:
            if name not in existing:
                close = get_close_matches(name, existing, 1) if len(existing) > 1 else []
                problems.append(f"no column {name!r} ({option}){f', perhaps {close[0]!r}' if close else ''}")
            elif existing.count(name) > 1:
                problems.append(f"{existing.count(name)} columns {name!r} ({option})")
        if self.symbol is None and len(existing) != 1:
            problems.append(f"{len(existing)} columns; name that of the symbol, for example --symbol {existing[-1]!r}")
        if problems:
            more = ", ..." if len(existing) > _COLUMNS_SHOWN else ""
            shown = ", ".join(map(repr, existing[:_COLUMNS_SHOWN])) + more
            raise CorpusError(f"{source} has {'; '.join(problems)}. Its columns: {shown}.{hint}")
        symbols = (existing[0],) if self.symbol is None else self.symbols
        return [*symbols, self.sequence, self.order, *self.features.values()]


def symbol_of(cell: Any) -> str | None:
    """Return the symbol or the sequence that a cell names; None or "": the cell is empty.

    A number, true and false are symbols as they are written in JSON; nan is an empty cell.

    Raises:
        ValueError: The cell is a list, an object, or bytes.
    """
    if type(cell) is str:
        return cell
    if isinstance(cell, (int, float)) and cell != cell:
        return None
    if isinstance(cell, (bytes, bytearray)):
        raise ValueError(f"bytes that are not UTF-8, {bytes(cell[:20])!r}, where a symbol is expected")
    try:
        return json_text(cell)
    except (ValueError, TypeError) as error:
        what = str(error) if isinstance(error, ValueError) else f"a value of type {type(cell).__name__}"
        raise ValueError(f"{what} where a symbol is expected") from None


def feature_of(cell: Any, column: str) -> float:
    """Return the number in a cell.

    Raises:
        ValueError: The cell is empty, or its content cannot be a feature; the message names the column.
    """
    where = f"in the column {column!r}"
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise ValueError(f"nothing {where}; fill in missing numbers, or leave the line out")
    try:
        number = float("" if isinstance(cell, bool) or (isinstance(cell, str) and "_" in cell) else cell)
    except (TypeError, ValueError, OverflowError):
        comma = isinstance(cell, str) and re.fullmatch(r"-?[0-9]+,[0-9]+", cell.strip())
        hint = f"; write {cell.strip().replace(',', '.')}" if comma else ""
        raise ValueError(f"{cell!r} {where} is not a number{hint}") from None
    if not isfinite(number):
        raise ValueError(f"{cell!r} {where} is not finite")
    if abs(number) > _LARGEST:
        raise ValueError(f"{cell!r} {where} is beyond float32, which ends at {_LARGEST:.2g}")
    return number


def feature_name(column: str) -> str:
    """Return the name of a feature in model files, derived from its column.

    >>> feature_name("Speed (km/h)")
    'Speed_km_h'
    """
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_")
    return name if _NAME.fullmatch(name) else f"feature_{name}"


def features_of(options: Sequence[str]) -> dict[str, str]:
    """Return name of a feature -> column, of options written as COLUMN or NAME=COLUMN.

    Raises:
        CorpusError: Two features have one name, or a column is given twice.
    """
    pairs = [(name, column) if equals else (feature_name(option), option) for option in options
             for name, equals, column in [option.partition("=")]]  # fmt: skip
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CorpusError(
            f"Several features are called {', '.join(twice)}. Give each column once, and a name of its own where two "
            "would have the same: --feature NAME=COLUMN."
        )
    return dict(pairs)


def feature_problems(features: Mapping[str, str], *, gap: bool) -> list[str]:
    """Return the problems of features, name -> column; `gap`: there is a feature of that name already."""
    problems = []
    columns = list(features.values())
    for name, column in features.items():
        if not _NAME.fullmatch(name):
            problems.append(f"a feature cannot be called {name!r}: use ASCII letters, digits and _")
        elif _RESERVED.fullmatch(name) or (gap and name == GAP):
            problems.append(
                f"a feature cannot be called {name!r}, which has another meaning in a model file; choose another name: "
                f"--feature NAME={column}"
            )
    twice = dict.fromkeys(column for column in columns if columns.count(column) > 1)
    return problems + [f"the column {column!r} is a feature twice" for column in twice]
