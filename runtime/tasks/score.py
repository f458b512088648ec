"""How likely a model found symbols, one by one and all together.

What `score` has found, for people and for programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, log, nan

from ..common.arrays import Ids
from ..format.vocabulary import escape_symbol
from .distribution import Float64
from .lanes import Lanes


@dataclass(frozen=True)
class ScoreSummary:
    """What a model's predictions were worth on some symbols. ScoreSummary of two parts can be added.

    Attributes:
        symbols: How many symbols there were.
        scored: For how many of them there was a prediction.
        nats: Their negative log-probabilities, natural logarithm, summed.
        top_1: How many of them were the likeliest.
        top_5: How many were among the 5 likeliest.
    """

    symbols: int = 0
    scored: int = 0
    nats: float = 0.0
    top_1: int = 0
    top_5: int = 0

    def __add__(self, other: ScoreSummary) -> ScoreSummary:
        """Return the figures of both parts together."""
        return ScoreSummary(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    @property
    def nats_per_symbol(self) -> float:
        """Mean negative log-probability; nan where nothing was scored."""
        return self.nats / self.scored if self.scored else nan

    @property
    def bits_per_symbol(self) -> float:
        """The same in bits."""
        return self.nats_per_symbol / log(2)

    @property
    def perplexity(self) -> float:
        """Among how many equally likely symbols one would be as much at a loss."""
        return exp(self.nats_per_symbol)

    def to_json(self) -> dict[str, float | int | None]:
        """Return the figures as a JSON object; null where nothing was scored."""
        figures = {
            "nats_per_symbol": self.nats_per_symbol,
            "bits_per_symbol": self.bits_per_symbol,
            "perplexity": self.perplexity,
            "top_1": self.top_1 / max(self.scored, 1),
            "top_5": self.top_5 / max(self.scored, 1),
        }
        return {
            "symbols": self.symbols,
            "scored": self.scored,
            **{name: value if self.scored else None for name, value in figures.items()},
        }


@dataclass(frozen=True)
class Score:
    """How likely a model found each of T symbols, given all before it.

    Attributes:
        log_probabilities: float64 of shape (T,), natural logarithms. A probability below 2**-126, which float32 hardly
            tells from 0, counts as that: -87.3. nan for the first symbol where there was no prediction yet.
        ranks: int32 of shape (T,): 1 for the likeliest symbol, as `Prediction.top` orders them; 0 where
            `log_probabilities` is nan.
        lanes: The certificate, where it was made in lanes: log-probabilities are then those of stepping to within 1e-4,
            and nearly always 1e-5. None: symbol by symbol.
    """

    log_probabilities: Float64
    ranks: Ids
    lanes: Lanes | None = None

    @property
    def bits(self) -> Float64:
        """The surprise of each symbol in bits, float64 of shape (T,)."""
        return -self.log_probabilities / log(2)

    @property
    def summary(self) -> ScoreSummary:
        """What the predictions were worth altogether."""
        scored = self.ranks > 0
        ranks = self.ranks[scored]
        nats = float(-self.log_probabilities[scored].sum()) + 0.0  # never -0.0
        return ScoreSummary(self.ranks.size, ranks.size, nats, int((ranks == 1).sum()), int((ranks <= 5).sum()))

    @property
    def bits_per_symbol(self) -> float:
        """Mean surprise."""
        return self.summary.bits_per_symbol

    @property
    def perplexity(self) -> float:
        """See `ScoreSummary.perplexity`."""
        return self.summary.perplexity

    def __repr__(self) -> str:
        """Return the figures in a line."""
        figures = self.summary
        return f"Score({figures.symbols} symbols, {figures.bits_per_symbol:.4f} bits per symbol)"


HEADER = ("symbols", "nats per symbol", "bits per symbol", "perplexity", "top 1", "top 5")


def summary_row(figures: ScoreSummary) -> list[str]:
    """Return the figures under `HEADER`."""
    if not figures.scored:
        return [f"{figures.symbols:,}", *["-"] * 5]
    return [
        f"{figures.scored:,}", f"{figures.nats_per_symbol:.4f}", f"{figures.bits_per_symbol:.4f}",
        f"{figures.perplexity:.3f}", *(f"{100 * n / figures.scored:.2f} %" for n in (figures.top_1, figures.top_5)),
    ]  # fmt: skip


def certificate(lanes: Lanes) -> str:
    """Return in a sentence what the scoring in lanes is worth."""
    return (
        f"scored in {lanes.count} lanes, {lanes.redone} of them redone; where they meet, states differ by "
        f"{lanes.mismatch:.1e} at most"
    )


def symbol_lines(symbols: Sequence[str], score: Score, sequence: int | None, *, as_json: bool) -> Iterator[str]:
    """Yield a line for each symbol: its surprise in bits and its rank.

    Args:
        symbols: What was scored.
        score: What was found.
        sequence: Number of the sequence, counted from 1, to begin each line with; None: there is only one.
        as_json: Lines are JSON objects; else columns with tabs between them.
    """
    for symbol, bits, rank in zip(symbols, score.bits.tolist(), score.ranks.tolist(), strict=True):
        if as_json:
            found = {} if sequence is None else {"sequence": sequence}
            known = {"bits": round(bits, 4), "rank": rank} if rank else {"bits": None, "rank": None}
            yield json.dumps({**found, "symbol": symbol, **known}, ensure_ascii=False)
        else:
            columns = [] if sequence is None else [str(sequence)]
            yield "\t".join([*columns, escape_symbol(symbol), *([f"{bits:.4f}", str(rank)] if rank else ["-", "-"])])
