"""The command `stepcell evaluate`. It reads data with the options of `stepcell train`; the work is the runtime's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .problems import Unit
from .train import DataFormat

_READ = "Reading, where the file is not to be read as in training"


def evaluate(
    file: Annotated[Path, typer.Argument(help="Model file, .tflite or .onnx.", show_default=False)],
    data: Annotated[Path, typer.Argument(help="Events or text to judge it by.", show_default=False)],
    baseline_from: Annotated[
        Path | None,
        typer.Option("--baseline-from", help="File that the baselines learn from; by default the rest of DATA."),
    ] = None,
    held_out: Annotated[
        float | None, typer.Option("--held-out", help="Share of DATA to judge by; by default as in training.")
    ] = None,
    top: Annotated[
        list[int] | None, typer.Option("--top", help="Share among the so many likeliest; repeatable; by default 3, 5.")
    ] = None,
    window: Annotated[
        int | None, typer.Option("--window", min=1, help="Symbols in view; by default as many as were learned at once.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write an HTML file with pictures, readable offline.")
    ] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Column of the symbol.", rich_help_panel=_READ)] = None,
    sequence: Annotated[
        str | None, typer.Option("--sequence", help="Column that tells sequences apart.", rich_help_panel=_READ)
    ] = None,
    order: Annotated[
        str | None, typer.Option("--order", help="Column that orders a sequence.", rich_help_panel=_READ)
    ] = None,
    format: Annotated[DataFormat | None, typer.Option("--format", help="Of DATA.", rich_help_panel=_READ)] = None,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help="Between columns.", rich_help_panel=_READ)
    ] = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="First line.", rich_help_panel=_READ)
    ] = None,
    encoding: Annotated[str | None, typer.Option("--encoding", help="Of DATA.", rich_help_panel=_READ)] = None,
    time_format: Annotated[
        str | None, typer.Option("--time-format", help="Of --order.", rich_help_panel=_READ)
    ] = None,
    gaps: Annotated[
        str | None, typer.Option("--gaps", help="Ranges of time as symbols.", rich_help_panel=_READ)
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            "--feature", metavar="[NAME=]COLUMN", help="Column of a feature; repeatable.", rich_help_panel=_READ
        ),
    ] = None,
    unit: Annotated[
        Unit | None, typer.Option("--unit", help="DATA is a text of these.", rich_help_panel=_READ)
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", help="End symbol; empty: none.", rich_help_panel=_READ)
    ] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", help="Interpreter: litert, tflite, onnxruntime or numpy.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Say how good a model file is on data, on the device runtime, beside counting: n-grams of order 1 to 5.

    DATA is read as in training. If it is the training file, what was held out is judged by.
    """
    from ...runtime import load
    from ...runtime.common.atomic_write import atomic_write, make_folder
    from ...runtime.common.terminal import print_table, silence_stderr, status
    from ...runtime.data import features_of
    from ...runtime.evaluation import evaluate as evaluate_model
    from ...runtime.evaluation import read_evaluation_data
    from ...runtime.evaluation.report import figures_table, html_report, mistakes_table, positions_table, remarks
    from ...runtime.tasks.distribution import require_next_symbols

    given = {
        "symbol": symbol, "sequence": sequence, "order": order, "format": format and format.value,
        "delimiter": delimiter, "header": header, "encoding": encoding, "time_format": time_format, "gaps": gaps,
        "unit": unit and unit.value, "features": features_of(feature) if feature else None,
    }  # fmt: skip
    if report is not None:
        make_folder(report.parent)  # before the work is done
    with silence_stderr():
        model = load(file, backend=backend)
    require_next_symbols(model.file, "it cannot be evaluated on a stream", with_features=True)
    options = {name: value for name, value in given.items() if value is not None}
    with status() as progress:
        progress(f"reading {data}")
        material = read_evaluation_data(
            model.manifest, data, baseline_from, held_out=held_out, end=end, options=options
        )  # fmt: skip
        evaluation = evaluate_model(model, material, top=top or (3, 5), window=window, progress=progress)
    if report is not None:
        atomic_write(report, html_report(evaluation))
    if as_json:
        print(json.dumps(evaluation.to_json(), ensure_ascii=False))
        return
    print(evaluation.model)
    print_table(*figures_table(evaluation))
    print()
    print_table(*positions_table(evaluation))
    print()
    print_table(*mistakes_table(evaluation))
    print()
    print("\n".join(remarks(evaluation)))
    if report is not None:
        print(f"written to {report}")
