"""The command `stepcell calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .data import read_data
from .options import Backend, Format, Json, ModelFile


def calibrate(
    file: ModelFile,
    data: Annotated[
        Path, typer.Argument(help="Normal data, other than those of the training.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write the threshold to.", show_default=False)],
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Share of normal symbols, and of sequences, that may be above it.")
    ] = 0.01,
    format: Format = None,
    backend: Backend = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Find out how surprising normal data are, so that stepcell predict --threshold can mark what is not normal.

    The data are read as the training data were, if the model file says how.
    """
    from .. import calibrate as calibrate_model
    from .. import load
    from ..console import print_table, quiet_stderr
    from ..distribution import require_next_symbols

    with quiet_stderr():
        model = load(file, backend=backend)
    require_next_symbols(model.file, "none is surprising")
    symbols = model.vocabulary.symbols
    sequences = read_data(data, model.manifest, format)
    threshold = calibrate_model(model, ([symbols[id] for id in ids.tolist()] for ids in sequences), false_alarms)
    threshold.save(out)
    if as_json:
        print(json.dumps(threshold.to_json()))
        return
    rows = [["symbol", f"{threshold.symbols:,}", f"{threshold.symbol_bits:.2f} bits"]]
    alone = threshold.sequence_bits
    rows.append(["sequence", f"{threshold.sequences:,}", "too few to tell" if alone is None else f"{alone:.2f} bits"])
    note = f"above: {100 * false_alarms:g} % of normal ones, at most; a sequence counts by its most surprising symbol"
    print_table(["", "normal ones", "threshold"], rows, note)
    print(f"written to {out}")
