"""The commands `stepcell score` and `stepcell calibrate`, which read data as the training does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from .options import AsJson, Backend, Encoding, Format, ModelFile, argument, output

if TYPE_CHECKING:
    from .. import Model
    from ..format.tensor_specs import Inputs


def score(
    file: ModelFile,
    data: Annotated[Path | None, argument("Data to score.", "stdin")] = None,
    format: Format = None,
    encoding: Encoding = None,
    per_symbol: Annotated[bool, output(
        "Print the surprise in bits and the rank of each symbol; the sum to stderr.", flag="--per-symbol")] = False,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure how likely a model finds data: each symbol given all symbols before it in its sequence.

    The data are read as the training data were, if the model file says how.

    Example: stepcell score model.tflite log.csv
    """
    from .. import ScoreSummary
    from ..common.terminal import format_table, print_table, print_text
    from ..tasks.score import HEADER, score_ids

    stdin = None if sys.stdin is None else sys.stdin.buffer
    model, sequences = _read(file, backend, data, stdin, format, encoding, "its symbols have no probability")
    stream, figures = model.stream(), ScoreSummary()
    for number, inputs in enumerate(sequences, start=1):
        stream.reset()
        found = score_ids(stream, inputs.ids, inputs.features)
        figures += found.summary
        if found.lanes is not None:
            print_text(found.lanes.describe(), err=True)
        if per_symbol:
            symbols = [model.vocabulary.symbols[id] for id in inputs.ids.tolist()]
            for line in found.lines(symbols, number if len(sequences) > 1 else None, as_json=as_json):
                print(line)
    if as_json:
        typer.echo(json.dumps(figures.to_json()), err=per_symbol)
    elif per_symbol:
        typer.echo("\n".join(format_table(HEADER, [figures.to_row()])), err=True)
    else:
        print_table(HEADER, [figures.to_row()])


def calibrate(
    file: ModelFile,
    data: Annotated[Path, argument("Normal data, other than the training data.")],
    out: Annotated[Path, output("File to write the threshold to.")],
    false_alarms: Annotated[float, output(
        "Fraction of normal symbols, and of sequences, that may exceed the threshold.")] = 0.01,
    format: Format = None,
    encoding: Encoding = None,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure how surprising normal data are, so that stepcell predict --threshold can mark data that are not normal.

    The data are read as the training data were, if the model file says how.

    Example: stepcell calibrate model.tflite normal.csv --out normal.threshold
    """
    from .. import calibrate as calibrate_model
    from ..common.terminal import print_table

    model, sequences = _read(file, backend, data, None, format, encoding, "none is surprising")
    symbols = model.vocabulary.symbols
    threshold = calibrate_model(
        model, ([symbols[id] for id in inputs.ids.tolist()] for inputs in sequences), false_alarms,
        [inputs.features for inputs in sequences],
    )  # fmt: skip
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


def _read(
    file: Path, backend: str | None, data: Path | None, stdin: BinaryIO | None, format: Format,
    encoding: str | None, why: str,
) -> tuple[Model, list[Inputs]]:  # fmt: skip
    """Return the model in `file` and the sequences of the data; `why` says what a model without symbols cannot do."""
    from .. import load
    from ..common.terminal import print_text, silence_stderr
    from ..data.for_model import read_data_or_stdin
    from ..tasks.distribution import require_next_symbols

    with silence_stderr():
        model = load(file, backend=backend)
    require_next_symbols(model.file, why, with_features=True)
    sequences, remarks = read_data_or_stdin(data, stdin, model.manifest, format, encoding)
    print_text("\n".join(remarks), err=True)
    return model, sequences
