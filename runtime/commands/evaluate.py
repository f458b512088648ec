"""The command `stepcell evaluate`, which reads data as the training does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..common.errors import OptionError
from . import options as opt

if TYPE_CHECKING:
    from .. import Model
    from ..evaluation import Evaluation

judging = opt.panel("Evaluation")


def evaluate(
    file: opt.ModelFile,
    data: Annotated[Path, opt.argument("Events or text to evaluate on.")],
    held_out: Annotated[
        float | None,
        judging(
            "Fraction held out for evaluation; the n-grams learn from the rest.", "as in training; all of another file"
        ),
    ] = None,
    baseline_from: Annotated[
        Path | None, judging("File that the n-grams learn from, or run folder that names it.", "training part of DATA")
    ] = None,
    top: Annotated[list[int] | None, judging("Top-k accuracy to report; repeatable.", "3 and 5", min=1)] = None,
    window: Annotated[int | None, judging("Symbols that the windowed evaluation sees.", opt.AS_TRAINED, min=1)] = None,
    format: opt.Format = None,
    symbol: opt.Symbol = None,
    sequence: opt.Sequence = None,
    order: opt.Order = None,
    delimiter: opt.Delimiter = None,
    header: opt.Header = None,
    encoding: opt.Encoding = None,
    join: opt.Join = None,
    time_format: opt.TimeFormat = None,
    time_unit: opt.TimeUnit = None,
    time_zone: opt.TimeZone = None,
    gaps: opt.Gaps = None,
    features: opt.Features = None,
    target: opt.Target = None,
    unit: opt.Unit = None,
    end: opt.End = None,
    backend: opt.Backend = None,
    static: opt.Static = None,
    report: Annotated[Path | None, opt.output("Write an HTML page with pictures, readable offline.", "none")] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Evaluate a model file with the device runtime against n-grams, of growing order while they get better.

    The data are read as the training data were; the options of the group Data overrule that. On the training file only
    the held-out part is used, another file as a whole; then --baseline-from names what the n-grams learn from. A model
    of labels or values is evaluated on a table with the right answers in --target.

    Example: stepcell evaluate model.tflite log.csv --report evaluation.html

    Example: stepcell evaluate power.tflite power.csv --target watts --feature volts=volts --feature amps=amps
    """
    from .. import load
    from ..common.atomic_write import atomic_write, make_folder
    from ..common.printable import printable_json
    from ..common.terminal import silence_stderr, status
    from ..data import features_of
    from ..evaluation import evaluate as evaluate_model
    from ..evaluation import has_targets, read_evaluation_data
    from ..evaluation.report import html_report
    from ..streams.static import parse_static
    from ..tasks.distribution import require_next_symbols

    given = {
        "symbol": tuple(symbol) if symbol else None, "sequence": sequence, "order": order, "format": format,
        "delimiter": delimiter, "header": header, "encoding": encoding, "gaps": gaps, "unit": unit, "join": join,
        "time_format": time_format, "time_unit": time_unit, "time_zone": time_zone,
    }  # fmt: skip
    if report is not None:
        make_folder(report.parent)  # before the work is done
    with silence_stderr():
        model = load(file, backend=backend, static=parse_static(static))
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if has_targets(model.manifest):
        options |= {} if end is None else {"end": end}
        _evaluate_targets(
            model, data, target or (), features or (), baseline_from, held_out, options, report, as_json=as_json
        )
        return
    if target:
        raise OptionError(f"{model.file.name} predicts its next symbol, which needs no column: leave out --target.")
    require_next_symbols(model.file, "it cannot be evaluated on a stream", with_features=True)
    options |= {"features": features_of(features)} if features else {}
    with status() as progress:
        progress(f"reading {data}")
        found = read_evaluation_data(model.manifest, data, baseline_from, held_out=held_out, end=end, options=options)
        evaluation = evaluate_model(model, found, top=top or (3, 5), window=window, progress=progress)
    if report is not None:
        atomic_write(report, html_report(evaluation))
    if as_json:
        print(printable_json(evaluation.to_json()))
        return
    _print(evaluation)
    if report is not None:
        print(f"written to {report}")


def _evaluate_targets(
    model: Model, data: Path, targets: Sequence[str], features: Sequence[str], baseline_from: Path | None,
    held_out: float | None, options: Mapping[str, Any], report: Path | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Evaluate a model of labels or values and print the result."""
    from ..common.atomic_write import atomic_write
    from ..common.printable import printable_json
    from ..common.terminal import print_table, print_text, status
    from ..evaluation import evaluate_labels, evaluate_values, read_target_data
    from ..evaluation.report import html_report, html_report_of_values, value_remarks, value_table

    with status() as progress:
        progress(f"reading {data}")
        found = read_target_data(
            model.manifest, data, targets, features, baseline_from, held_out=held_out, options=options
        )
        values = evaluate_values(model, found, progress) if model.manifest.output == "linear" else None
        labels = evaluate_labels(model, found, progress) if values is None else None
    if report is not None:
        content = b"" if labels is None else html_report(labels)
        atomic_write(report, content if values is None else html_report_of_values(values))
    if as_json:
        for one in (values, labels):
            if one is not None:
                print(printable_json(one.to_json()))
        return
    if values is not None:
        print_text(values.model)
        print_table(*value_table(values))
        print()
        print_text("\n".join(value_remarks(values)))
    if labels is not None:
        _print(labels)
    if report is not None:
        print(f"written to {report}")


def _print(evaluation: Evaluation) -> None:
    from ..common.terminal import print_table, print_text
    from ..evaluation.report import confusion_table, figures_table, mistakes_table, positions_table, remarks

    print_text(evaluation.model)
    tables = [figures_table, positions_table, confusion_table if evaluation.of_labels else mistakes_table]
    for table in tables:
        print_table(*table(evaluation))
        print()
    print_text("\n".join(remarks(evaluation)))
