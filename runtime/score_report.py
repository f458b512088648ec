"""What `score` has found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from .lanes import Lanes
from .score import Figures, Score
from .vocabulary import escape_symbol

HEADER = ("symbols", "nats per symbol", "bits per symbol", "perplexity", "top 1", "top 5")


def figures_row(figures: Figures) -> list[str]:
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
