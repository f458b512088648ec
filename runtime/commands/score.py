"""The commands `stepcell score` and `stepcell calibrate`, which read data as the training does."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from ..common.errors import OptionError
from .options import (
    AsJson,
    Backend,
    Encoding,
    Features,
    Format,
    ModelFile,
    Order,
    Sequence,
    Static,
    Symbol,
    Target,
    argument,
    output,
)

if TYPE_CHECKING:
    from .. import Model
    from ..format.tensor_specs import Inputs


def score(
    file: ModelFile,
    data: Annotated[Path | None, argument("Data to score.", "stdin")] = None,
    format: Format = None,
    encoding: Encoding = None,
    symbol: Symbol = None,
    sequence: Sequence = None,
    order: Order = None,
    features: Features = None,
    target: Target = None,
    per_symbol: Annotated[bool, output(
        "Print the surprise in bits and the rank of each symbol, or each row with its right answer and the difference; "
        "the sum to stderr.", flag="--per-symbol")] = False,
    backend: Backend = None,
    static: Static = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure how likely a model finds data: each symbol given all symbols before it in its sequence.

    The data are read as the training data were, if the model file says how. For a model of labels (classification) or
    values (regression, forecasting) its answers are compared with those in --target.

    Example: stepcell score model.tflite log.csv
    """
    from .. import ScoreSummary
    from ..common.terminal import format_table, print_table, print_text
    from ..evaluation import has_targets
    from ..format.tensor_specs import EVERY_STEP
    from ..tasks.score import HEADER, score_ids
    from .targets import read_rows, score_rows

    stdin = None if sys.stdin is None else sys.stdin.buffer
    model = _load(file, backend, static)
    columns = {"symbol": tuple(symbol or ()) or None, "sequence": sequence, "order": order}
    if has_targets(model.manifest):
        rows, answers = read_rows(model, data, target, features, format=format, encoding=encoding, **columns)
        score_rows(model, rows, answers, per_row=per_symbol, as_json=as_json)
        return
    _refuse_columns(model, {**columns, "feature": features, "target": target})
    sequences = _read(model, data, stdin, format, encoding, "its symbols have no probability")
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
    times = model.manifest.answers
    if times != EVERY_STEP:
        silent = f"{figures.symbols - figures.scored:,} of {figures.symbols:,} symbols have no prediction"
        print_text(f"the model answers {times.describe()}: {silent}", err=True)
    if as_json:
        typer.echo(json.dumps(figures.to_json()), err=per_symbol)
    elif per_symbol:
        typer.echo("\n".join(format_table(HEADER, [figures.to_row()])), err=True)
    else:
        print_table(HEADER, [figures.to_row()])


def calibrate(
    file: ModelFile,
    data: Annotated[Path, argument("Normal data; of the training data the held-out part is used.")],
    out: Annotated[Path, output("File to write the threshold to.")],
    false_alarms: Annotated[float, output(
        "Fraction of normal symbols, and of sequences, that may exceed the threshold.")] = 0.01,
    format: Format = None,
    encoding: Encoding = None,
    symbol: Symbol = None,
    sequence: Sequence = None,
    order: Order = None,
    features: Features = None,
    target: Target = None,
    backend: Backend = None,
    static: Static = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Calibrate anomaly detection: measure how surprising normal data are, for stepcell predict --threshold.

    The data are read as the training data were, if the model file says how. For a model of labels (classification) or
    values (regression, forecasting) the threshold is the difference between its answers and those in --target.

    Example: stepcell calibrate model.tflite normal.csv --out normal.threshold
    """
    from .. import calibrate as calibrate_model
    from ..common.terminal import print_table
    from ..evaluation import has_targets
    from .targets import calibrate_rows, read_rows

    model = _load(file, backend, static)
    columns = {"symbol": tuple(symbol or ()) or None, "sequence": sequence, "order": order}
    if has_targets(model.manifest):
        rows, answers = read_rows(model, data, target, features, format=format, encoding=encoding, **columns)
        calibrate_rows(model, rows, answers, false_alarms, out, as_json=as_json)
        return
    _refuse_columns(model, {**columns, "feature": features, "target": target})
    sequences = _read(model, data, None, format, encoding, "none is surprising", new_only=True)
    symbols = model.vocabulary.symbols
    threshold = calibrate_model(
        model, ([symbols[id] for id in inputs.ids.tolist()] for inputs in sequences), false_alarms,
        [inputs.features for inputs in sequences],
    )  # fmt: skip
    threshold.save(out)
    if as_json:
        print(json.dumps(threshold.to_json()))
        return
    table = [["symbol", f"{threshold.symbols:,}", f"{threshold.symbol_bits:.2f} bits"]]
    alone = threshold.sequence_bits
    table.append(["sequence", f"{threshold.sequences:,}", "too few to tell" if alone is None else f"{alone:.2f} bits"])
    note = f"above: {100 * false_alarms:g} % of normal ones, at most; a sequence counts by its most surprising symbol"
    print_table(["", "normal ones", "threshold"], table, note)
    print(f"written to {out}")


def _load(file: Path, backend: str | None, static: list[str] | None) -> Model:
    from .. import load
    from ..common.terminal import silence_stderr
    from ..streams.static import parse_static

    with silence_stderr():
        return load(file, backend=backend, static=parse_static(static))


def _refuse_columns(model: Model, columns: Mapping[str, Any]) -> None:
    """Refuse columns for a model of the next symbol, whose data are read as in training."""
    if given := [f"--{name}" for name, column in columns.items() if column]:
        raise OptionError(
            f"{model.file.name} predicts its next symbol, and data are read as in training: leave out "
            f"{', '.join(given)}. stepcell evaluate takes the columns of another table."
        )


def _read(
    model: Model, data: Path | None, stdin: BinaryIO | None, format: Format, encoding: str | None, why: str,
    *, new_only: bool = False,
) -> list[Inputs]:  # fmt: skip
    """Return the sequences of the data; `why` says what a model without symbols cannot do.

    `new_only` leaves out the sequences that the model has learned from.
    """
    from ..common.terminal import print_text
    from ..data.for_model import read_data_or_stdin
    from ..tasks.distribution import require_next_symbols

    require_next_symbols(model.file, why, with_features=True)
    sequences, remarks = read_data_or_stdin(data, stdin, model.manifest, format, encoding, new_only=new_only)
    print_text("\n".join(remarks), err=True)
    return sequences
