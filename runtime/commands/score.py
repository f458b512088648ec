"""The command `stepcell score`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .data import read_data
from .options import Backend, Format, Json, ModelFile

if TYPE_CHECKING:
    from ..lanes import Lanes
    from ..score import Figures, Score


def score(
    file: ModelFile,
    data: Annotated[
        Path | None, typer.Argument(help="Data; by default stdin.", show_default=False),
    ] = None,
    format: Format = None,
    per_symbol: Annotated[
        bool,
        typer.Option("--per-symbol", help="Print each symbol its surprise in bits and its rank; the rest to stderr."),
    ] = False,
    backend: Backend = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say how likely a model finds data: each symbol given all before it in its sequence.

    The data are read as the training data were, if the model file says how.
    """
    from .. import Figures, load
    from ..console import format_table, print_table, quiet_stderr
    from ..distribution import require_next_symbols
    from ..scoring import score_ids

    with quiet_stderr():
        model = load(file, backend=backend)
    require_next_symbols(model.file, "its symbols have no probability")
    sequences = read_data(data, model.manifest, format)
    stream, figures = model.stream(), Figures()
    for number, ids in enumerate(sequences, start=1):
        stream.reset()
        found = score_ids(stream, ids)
        figures += found.figures
        if found.lanes is not None:
            typer.echo(_certificate(found.lanes), err=True)
        if per_symbol:
            symbols = [model.vocabulary.symbols[id] for id in ids.tolist()]
            _print_symbols(symbols, found, number if len(sequences) > 1 else None, as_json=as_json)
    table = [["symbols", "nats per symbol", "bits per symbol", "perplexity", "top 1", "top 5"], _row(figures)]
    if per_symbol:
        for line in [json.dumps(figures.to_json())] if as_json else format_table(table[0], table[1:]):
            typer.echo(line, err=True)
    elif as_json:
        print(json.dumps(figures.to_json()))
    else:
        print_table(table[0], table[1:])


def _certificate(lanes: Lanes) -> str:
    return (
        f"scored in {lanes.count} lanes, {lanes.redone} of them redone; where they meet, states differ by "
        f"{lanes.mismatch:.1e} at most"
    )


def _row(figures: Figures) -> list[str]:
    if not figures.scored:
        return [f"{figures.symbols:,}", *["-"] * 5]
    return [
        f"{figures.scored:,}", f"{figures.nats_per_symbol:.4f}", f"{figures.bits_per_symbol:.4f}",
        f"{figures.perplexity:.3f}", *(f"{100 * n / figures.scored:.2f} %" for n in (figures.top_1, figures.top_5)),
    ]  # fmt: skip


def _print_symbols(symbols: list[str], score: Score, sequence: int | None, *, as_json: bool) -> None:
    """Print a line for each symbol; of several sequences with their number, counted from 1."""
    from ..vocabulary import escape_symbol

    for symbol, bits, rank in zip(symbols, score.bits.tolist(), score.ranks.tolist(), strict=True):
        if as_json:
            found = {} if sequence is None else {"sequence": sequence}
            known = {"bits": round(bits, 4), "rank": rank} if rank else {"bits": None, "rank": None}
            print(json.dumps({**found, "symbol": symbol, **known}, ensure_ascii=False))
        else:
            columns = [] if sequence is None else [str(sequence)]
            print("\t".join([*columns, escape_symbol(symbol), *([f"{bits:.4f}", str(rank)] if rank else ["-", "-"])]))
