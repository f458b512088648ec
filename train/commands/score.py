"""The commands `stepcell score` and `stepcell calibrate`. They read data as the training does.

The work is the runtime's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from .train import DataFormat

if TYPE_CHECKING:
    from ...runtime import Model
    from ...runtime.format.tensor_specs import Inputs

_ModelFile = Annotated[Path, typer.Argument(help="Model file, .tflite or .onnx.", show_default=False)]
_Backend = Annotated[str | None, typer.Option("--backend", help="Interpreter: litert, tflite, onnxruntime or numpy.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_DataFormat = Annotated[
    DataFormat | None,
    typer.Option(
        "--format",
        help="A table with the columns of the training, a sequence on each line (lines), text, or a symbol on each "
        "line (symbols); by default as the training data were read, if the model file says how, else symbols.",
    ),
]
_Encoding = Annotated[str | None, typer.Option("--encoding", help="Of DATA; by default as in training, or UTF-8.")]


def score(
    file: _ModelFile,
    data: Annotated[
        Path | None, typer.Argument(help="Data; by default stdin.", show_default=False),
    ] = None,
    format: _DataFormat = None,
    encoding: _Encoding = None,
    per_symbol: Annotated[
        bool,
        typer.Option("--per-symbol", help="Print each symbol its surprise in bits and its rank; the rest to stderr."),
    ] = False,
    backend: _Backend = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Say how likely a model finds data: each symbol given all before it in its sequence.

    The data are read as the training data were, if the model file says how.
    """
    from ...runtime import ScoreSummary
    from ...runtime.common.terminal import format_table, print_table
    from ...runtime.tasks.score import HEADER, score_ids

    stdin = None if sys.stdin is None else sys.stdin.buffer
    model, sequences = _read(file, backend, data, stdin, format, encoding, "its symbols have no probability")
    stream, figures = model.stream(), ScoreSummary()
    for number, inputs in enumerate(sequences, start=1):
        stream.reset()
        found = score_ids(stream, inputs.ids, inputs.features)
        figures += found.summary
        if found.lanes is not None:
            typer.echo(found.lanes.describe(), err=True)
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
    file: _ModelFile,
    data: Annotated[
        Path, typer.Argument(help="Normal data, other than those of the training.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write the threshold to.", show_default=False)],
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Share of normal symbols, and of sequences, that may be above it.")
    ] = 0.01,
    format: _DataFormat = None,
    encoding: _Encoding = None,
    backend: _Backend = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Find out how surprising normal data are, so that stepcell predict --threshold can mark what is not normal.

    The data are read as the training data were, if the model file says how.
    """
    from ...runtime import calibrate as calibrate_model
    from ...runtime.common.terminal import print_table

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
    file: Path, backend: str | None, data: Path | None, stdin: BinaryIO | None, format: DataFormat | None,
    encoding: str | None, why: str,
) -> tuple[Model, list[Inputs]]:  # fmt: skip
    """Return the model in `file` and the sequences of the data; `why` says what a model without symbols cannot do."""
    from ...runtime import load
    from ...runtime.common.terminal import silence_stderr
    from ...runtime.data.for_model import read_data_or_stdin
    from ...runtime.tasks.distribution import require_next_symbols

    with silence_stderr():
        model = load(file, backend=backend)
    require_next_symbols(model.file, why, with_features=True)
    sequences, remarks = read_data_or_stdin(data, stdin, model.manifest, format and format.value, encoding)
    typer.echo("\n".join(remarks), err=True)
    return model, sequences
