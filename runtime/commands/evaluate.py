"""The command `stepcell evaluate`, which reads data as the training does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from . import options as opt

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
    unit: opt.Unit = None,
    end: opt.End = None,
    backend: opt.Backend = None,
    report: Annotated[Path | None, opt.output("Write an HTML page with pictures, readable offline.", "none")] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Evaluate a model file with the device runtime against n-grams, of growing order while they get better.

    The data are read as the training data were; the options of the group Data overrule that. On the training file only
    the held-out part is used, another file as a whole; then --baseline-from names what the n-grams learn from.

    Example: stepcell evaluate model.tflite log.csv --report evaluation.html
    """
    from .. import load
    from ..common.atomic_write import atomic_write, make_folder
    from ..common.printable import printable_json
    from ..common.terminal import print_table, print_text, silence_stderr, status
    from ..data import features_of
    from ..evaluation import evaluate as evaluate_model
    from ..evaluation import read_evaluation_data
    from ..evaluation.report import figures_table, html_report, mistakes_table, positions_table, remarks
    from ..tasks.distribution import require_next_symbols

    given = {
        "symbol": tuple(symbol) if symbol else None, "sequence": sequence, "order": order, "format": format,
        "delimiter": delimiter, "header": header, "encoding": encoding, "gaps": gaps, "unit": unit, "join": join,
        "time_format": time_format, "time_unit": time_unit, "time_zone": time_zone,
        "features": features_of(features) if features else None,
    }  # fmt: skip
    if report is not None:
        make_folder(report.parent)  # before the work is done
    with silence_stderr():
        model = load(file, backend=backend)
    require_next_symbols(model.file, "it cannot be evaluated on a stream", with_features=True)
    options = {name: value for name, value in given.items() if value is not None}
    with status() as progress:
        progress(f"reading {data}")
        found = read_evaluation_data(model.manifest, data, baseline_from, held_out=held_out, end=end, options=options)
        evaluation = evaluate_model(model, found, top=top or (3, 5), window=window, progress=progress)
    if report is not None:
        atomic_write(report, html_report(evaluation))
    if as_json:
        print(printable_json(evaluation.to_json()))
        return
    print_text(evaluation.model)
    for table in (figures_table, positions_table, mistakes_table):
        print_table(*table(evaluation))
        print()
    print_text("\n".join(remarks(evaluation)))
    if report is not None:
        print(f"written to {report}")
