"""Which columns of a table mean what, and what to say where they are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ..errors import CorpusError

_SHOWN = 30


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are read.

    Attributes:
        symbol: Of the symbol; None: the only column there is.
        sequence: Of what tells sequences apart; None: all is one sequence.
        order: Of the time or number that orders a sequence; None: as in the file.
    """

    symbol: str | None
    sequence: str | None = None
    order: str | None = None

    @property
    def asked(self) -> dict[str, str]:
        """Option -> name, of those that are given."""
        named = {"--symbol": self.symbol, "--sequence": self.sequence, "--order": self.order}
        return {option: name for option, name in named.items() if name is not None}

    def find(self, existing: Sequence[str], source: str, hint: str = "") -> tuple[int, int | None, int | None]:
        """Return the places of symbol, sequence and order among the `existing` columns.

        Raises:
            CorpusError: One is not there or there twice, or it is not said which is the symbol; all that is wrong is
                said, and the columns that exist, and `hint`.
        """
        problems = []
        for option, name in self.asked.items():
            if name not in existing:
                close = get_close_matches(name, existing, 1) if len(existing) > 1 else []
                problems.append(f"no column {name!r} ({option}){f'; did you mean {close[0]!r}?' if close else ''}")
            elif existing.count(name) > 1:
                problems.append(f"{existing.count(name)} columns {name!r} ({option})")
        if self.symbol is None and len(existing) != 1:
            problems.append(f"{len(existing)} columns; say which is the symbol, for example --symbol {existing[-1]!r}")
        if problems:
            shown = ", ".join(map(repr, existing[:_SHOWN])) + (", ..." if len(existing) > _SHOWN else "")
            raise CorpusError(f"{source} has {'; '.join(problems)}. Its columns: {shown}.{hint}")
        symbol = existing[0] if self.symbol is None else self.symbol
        return (
            existing.index(symbol),
            None if self.sequence is None else existing.index(self.sequence),
            None if self.order is None else existing.index(self.order),
        )
