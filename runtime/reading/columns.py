"""Which columns of a table mean what, and what to say where they are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from ..errors import CorpusError

_SHOWN = 30


@dataclass(frozen=True)
class ColumnPlaces:
    """Where the columns that are read are among all, counted from 0; see `Columns`."""

    symbol: int
    sequence: int | None
    order: int | None
    features: tuple[int, ...]


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are read.

    Attributes:
        symbol: Of the symbol; None: the only column there is.
        sequence: Of what tells sequences apart; None: all is one sequence.
        order: Of the time or number that orders a sequence; None: as in the file.
        features: Name of a feature -> its column.
    """

    symbol: str | None
    sequence: str | None = None
    order: str | None = None
    features: Mapping[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Option and name of those that are given."""
        named = (("--symbol", self.symbol), ("--sequence", self.sequence), ("--order", self.order))
        features = [("--feature", column) for column in self.features.values()]
        return [*((option, name) for option, name in named if name is not None), *features]

    def find(self, existing: Sequence[str], source: str, hint: str = "") -> ColumnPlaces:
        """Return where they are among the `existing` columns.

        Raises:
            CorpusError: One is not there or there twice, or it is not said which is the symbol; all that is wrong is
                said, and the columns that exist, and `hint`.
        """
        problems = []
        for option, name in self.asked:
            if name not in existing:
                close = get_close_matches(name, existing, 1) if len(existing) > 1 else []
                problems.append(f"no column {name!r} ({option}){f', perhaps {close[0]!r}' if close else ''}")
            elif existing.count(name) > 1:
                problems.append(f"{existing.count(name)} columns {name!r} ({option})")
        if self.symbol is None and len(existing) != 1:
            problems.append(f"{len(existing)} columns; say which is the symbol, for example --symbol {existing[-1]!r}")
        if problems:
            shown = ", ".join(map(repr, existing[:_SHOWN])) + (", ..." if len(existing) > _SHOWN else "")
            raise CorpusError(f"{source} has {'; '.join(problems)}. Its columns: {shown}.{hint}")
        symbol = existing[0] if self.symbol is None else self.symbol
        return ColumnPlaces(
            existing.index(symbol),
            None if self.sequence is None else existing.index(self.sequence),
            None if self.order is None else existing.index(self.order),
            tuple(existing.index(column) for column in self.features.values()),
        )
