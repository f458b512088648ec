"""`stepcell score` and `stepcell calibrate` for models of labels and of values: rows with the right answer of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import OptionError
from ..common.printable import printable_json
from ..common.terminal import format_table, print_table, print_text

if TYPE_CHECKING:
    from .. import Model
    from ..common.arrays import Float32
    from ..evaluation import SymbolScores, TargetData, ValueErrors

_LABELS = ("labels", "accuracy", "nats per label", "bits per label")
_VALUES = ("value", "answers", "mean absolute error", "mean squared error", "its root")


def read_rows(
    model: Model, data: Path | None, targets: Sequence[str] | None, features: Sequence[str] | None,
    **options: Any,
) -> tuple[TargetData, Float32]:  # fmt: skip
    """Return rows with their right answers, and the answers of the model, the state reset before each sequence.

    The origin of the data is printed on stderr. Rows without an answer are left out, and counted there.

    Raises:
        OptionError: There is no file, or no row has an answer.
        CorpusError: The data cannot be read, or lack what the model reads.
    """
    import numpy as np

    from ..evaluation import read_target_data
    from ..evaluation.answers import answers_by_sequence, silent_note

    if data is None:
        raise OptionError("Rows with right answers are read from a file: name it behind the model.")
    given = {name: value for name, value in options.items() if value is not None}
    rows = read_target_data(model.manifest, data, targets or (), features or (), options=given)
    notes = [note for note in rows.notes if not note.startswith("baselines")]
    answers = answers_by_sequence(model, rows)
    answered = ~np.isnan(answers[:, 0])
    if not answered.any():
        raise OptionError(
            f"{model.file.name} answers {model.manifest.answers.describe()}, and no sequence of {data} is so long."
        )
    print_text("\n".join([*notes, *silent_note(model, np.flatnonzero(answered), len(answered))]), err=True)
    return (rows, answers) if answered.all() else (rows.select(answered), answers[answered])


def score_rows(model: Model, rows: TargetData, answers: Float32, *, per_row: bool, as_json: bool) -> None:
    """Print how far the answers are from the right ones."""
    from ..evaluation import ValueErrors
    from ..evaluation.labels import label_scores

    numbers = rows.sequence_numbers
    if model.manifest.output == "linear":
        errors = ValueErrors.of(answers, rows)
        header: Sequence[str] = _VALUES
        table = [
            [name, f"{len(errors):,}", f"{absolute:.6g}", f"{squared:.6g}", f"{squared**0.5:.6g}"]
            for name, absolute, squared in zip(rows.names, errors.absolute, errors.squared, strict=True)
        ]
        summary: dict[str, Any] = errors.to_json(rows.names)
        lines = _value_lines(rows, answers, errors, numbers, as_json=as_json)
    else:
        scores = label_scores(answers, rows, model)
        header = _LABELS
        table = [[f"{len(scores):,}", f"{100 * scores.accuracy:.2f} %", f"{scores.nats:.4f}", f"{scores.bits:.4f}"]]
        summary = {
            "labels": len(scores), "accuracy": scores.accuracy, "nats_per_label": scores.nats,
            "bits_per_label": scores.bits, "calibration_error": scores.calibration_error,
        }  # fmt: skip
        lines = _label_lines(rows, scores, numbers, as_json=as_json)
    if per_row:
        for line in lines:
            print_text(line)
    if as_json:
        print_text(json.dumps(summary), err=per_row)
    elif per_row:
        print_text("\n".join(format_table(header, table)), err=True)
    else:
        print_table(header, table)


def calibrate_rows(
    model: Model, rows: TargetData, answers: Float32, false_alarms: float, out: Path, *, as_json: bool
) -> None:
    """Write the threshold of residuals, and print it.

    Raises:
        OptionError: `false_alarms` makes no sense.
        ThresholdError: There are too few rows.
        OutputError: The file cannot be written.
    """
    from ..evaluation import ValueErrors
    from ..evaluation.labels import label_scores
    from ..tasks.residuals import calibrate_residuals

    if model.manifest.output == "linear":
        residuals = ValueErrors.of(answers, rows).residuals
        what = "residual: |answer - right value|"
    else:
        scores = label_scores(answers, rows, model)
        residuals = scores.surprises[:, None]
        what = "residual: surprise of the right label, in bits"
    threshold = calibrate_residuals(model.file, rows.columns, residuals, rows.starts, false_alarms)
    threshold.save(out)
    if as_json:
        print_text(printable_json(threshold.to_json()))
        return
    alone = threshold.sequence_residuals
    table = [
        [name, f"{limit:.6g}", "too few to tell" if alone is None else f"{alone[index]:.6g}"]
        for index, (name, limit) in enumerate(zip(threshold.columns, threshold.residuals, strict=True))
    ]
    header = ["column", f"residual of {threshold.rows:,} rows", f"largest of {threshold.sequences:,} sequences"]
    print_table(header, table, f"above: {100 * false_alarms:g} % of normal ones, at most; {what}")
    print_text(f"written to {out}")


def _value_lines(
    rows: TargetData, answers: Float32, errors: ValueErrors, numbers: list[int] | None, *, as_json: bool
) -> Iterator[str]:
    for index, (right, answer, residual) in enumerate(zip(rows.targets, answers, errors.residuals, strict=True)):
        numbered = {} if numbers is None else {"sequence": numbers[index]}
        columns = {"right": right, "values": answer, "residuals": residual}
        if as_json:
            found = {name: [float(f"{value:.6g}") for value in array.tolist()] for name, array in columns.items()}
            yield json.dumps({**numbered, **found})
        else:
            cells = [f"{value:.6g}" for array in columns.values() for value in array.tolist()]
            yield "\t".join([*map(str, numbered.values()), *cells])


def _label_lines(rows: TargetData, scores: SymbolScores, numbers: list[int] | None, *, as_json: bool) -> Iterator[str]:
    triples = zip(scores.targets.tolist(), scores.predicted.tolist(), scores.surprises.tolist(), strict=True)
    for index, (right, answered, surprise) in enumerate(triples):
        numbered = {} if numbers is None else {"sequence": numbers[index]}
        names = {"right": rows.names[right], "answered": rows.names[answered]}
        if as_json:
            yield printable_json({**numbered, **names, "surprise": round(surprise, 4)})
        else:
            yield "\t".join([*map(str, numbered.values()), *names.values(), f"{surprise:.4f}"])
