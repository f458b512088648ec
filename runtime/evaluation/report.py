"""An evaluation as tables, as pictures, and as one HTML file that is readable offline."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import Any, TypeAlias

import numpy as np

from ..common.plotting import new_figure, to_png
from ..format.vocabulary import show_symbol
from .evaluation import AT_END, CARRIED, MEMORYLESS, RESET, WINDOWED, Evaluation
from .metrics import SymbolScores
from .values import ValueEvaluation

Table: TypeAlias = tuple[list[str], list[list[str]]]


def figures_table(evaluation: Evaluation) -> Table:
    """Return header and rows: the modes of the model, then the baselines."""
    names = {
        RESET: "state reset before each sequence",
        CARRIED: "state carried, never reset",
        WINDOWED: f"only the last {evaluation.window} symbols in view",
        MEMORYLESS: "state reset before each symbol: no memory",
        AT_END: "at the end of each sequence",
    }
    header = [
        "",
        "labels" if evaluation.of_labels else "symbols",
        "accuracy",
        *(f"top {count}" for count in evaluation.top),
        "nats",
        "bits",
    ]
    rows = [_row(names[name], scores, evaluation.top) for name, scores in evaluation.modes.items()]
    for one in evaluation.baselines:
        row = _row(one.name, one.scores, evaluation.top)
        rows.append(row if one.has_probabilities else [*row[:3], *[""] * (len(row) - 3)])
    return header, rows


def positions_table(evaluation: Evaluation) -> Table:
    """Return header and rows: accuracy and bits by the position in the sequence, of the best baseline too."""
    own, best = evaluation.main.by_position(), evaluation.best_baseline
    others = [] if best is None else best.scores.by_position()  # of the same symbols, so of the same ranges
    rows = []
    for index, row in enumerate(own):
        position = f"{row['from']:,}" if row["from"] == row["to"] else f"{row['from']:,} to {row['to']:,}"
        cells = [
            (percent(one["accuracy"]), f"{one['bits_per_symbol']:.4f}") for one in (row, *others[index : index + 1])
        ]
        rows.append([position, f"{row['symbols']:,}", *(cell for pair in cells for cell in pair)])
    header = ["position", "symbols", "accuracy", "bits"]
    return [
        *header,
        *(["baseline accuracy" if evaluation.of_labels else "n-gram accuracy", "bits"] if others else []),
    ], rows


def reliability_table(evaluation: Evaluation) -> Table:
    """Return header and rows: accuracy by bins of confidence."""
    rows = [
        [f"{row['from']:.1f} to {row['to']:.1f}", f"{row['symbols']:,}", percent(row["confidence"]),
         percent(row["accuracy"])]
        for row in evaluation.main.reliability()
    ]  # fmt: skip
    return ["confidence", "symbols", "mean confidence", "accuracy"], rows


def confusion_table(evaluation: Evaluation) -> Table:
    """Return header and rows: how often each label was answered for each right one."""
    names = [visible(symbol) for symbol in evaluation.symbols]
    counts = evaluation.main.confusion(len(names))
    rows = [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, counts, strict=True)]
    return ["right \\ answered", *names], rows


def value_table(evaluation: ValueEvaluation) -> Table:
    """Return header and rows: the errors of each value, of the model and of the baselines."""
    names = {
        RESET: "state reset before each sequence",
        CARRIED: "state carried, never reset",
        MEMORYLESS: "state reset before each row: no memory",
    }
    found = {names[name]: errors for name, errors in evaluation.modes.items()} | dict(evaluation.baselines)
    rows = [
        [value, name, f"{len(errors):,}", f"{absolute:.6g}", f"{squared:.6g}", f"{squared**0.5:.6g}"]
        for index, value in enumerate(evaluation.names)
        for name, errors in found.items()
        for absolute, squared in [(float(errors.absolute[index]), float(errors.squared[index]))]
    ]
    return ["value", "", "answers", "mean absolute error", "mean squared error", "its root"], rows


def mistakes_table(evaluation: Evaluation) -> Table:
    """Return header and rows: the most frequent mistakes."""
    rows = [
        [visible(one["actual"]), visible(one["predicted"]), f"{one['count']:,}",
         percent(one["share_of_mistakes"]), percent(one["share_of_symbol"])]
        for one in evaluation.main.mistakes(evaluation.symbols)
    ]  # fmt: skip
    return ["actual", "predicted", "times", "of all mistakes", "of that symbol"], rows


def remarks(evaluation: Evaluation) -> list[str]:
    """Return the notes under the tables."""
    evaluated = f"{evaluation.sequences:,} sequences" if evaluation.sequences > 1 else "one sequence"
    what = "labels" if evaluation.of_labels else "predictions"
    unknown = f", {evaluation.unknown:,} of the symbols unknown to the model" if evaluation.unknown else ""
    alone = [
        f"{name} {percent(scores.accuracy)}, {scores.bits:.4f} bits"
        for name, scores in evaluation.events_alone().items()
    ]
    return [
        *evaluation.notes,
        f"evaluated: {evaluated}, {len(evaluation.main):,} {what}{unknown}",
        f"calibration: probabilities are off by {100 * evaluation.main.calibration_error:.2f} points "
        "(expected calibration error)",
        *([f"events alone, without gaps: {'; '.join(alone)}"] if alone else []),
        evaluation.verdict(),
    ]


def value_remarks(evaluation: ValueEvaluation) -> list[str]:
    """Return the notes under the table of values."""
    sequences = f"{evaluation.sequences:,} sequences" if evaluation.sequences > 1 else "one sequence"
    return [*evaluation.notes, f"evaluated: {sequences}, {len(evaluation.main):,} answers", evaluation.verdict()]


def visible(symbol: str) -> str:
    """Return a symbol for a table: blanks and punctuation marks in quotes."""
    return show_symbol(symbol) if any(character.isalnum() for character in symbol) else repr(symbol)


def percent(share: float) -> str:
    """Return a fraction as a percentage."""
    return f"{100 * share:.2f} %"


def _row(name: str, scores: SymbolScores, top: tuple[int, ...]) -> list[str]:
    shares = [percent(scores.top(count)) for count in (1, *top)]
    return [name, f"{len(scores):,}", *shares, f"{scores.nats:.4f}", f"{scores.bits:.4f}"]


_MOST_CONFUSED = 20  # symbols in the picture of mistakes


def draw(evaluation: Evaluation) -> list[tuple[str, bytes]]:
    """Return names and PNGs: bits and baselines, by position, calibration, mistakes; [] without matplotlib."""
    first, second = new_figure(12, 4), new_figure(12, 5)
    if first is None or second is None:
        return []
    pictures = (_draw_bits, _draw_positions, _draw_reliability, _draw_mistakes)
    for picture, axes in zip(pictures, (*first.subplots(1, 2), *second.subplots(1, 2)), strict=True):
        picture(axes, evaluation)
    return [("bits per symbol, and by position", to_png(first)), ("calibration and mistakes", to_png(second))]


def _draw_bits(axes: Any, evaluation: Evaluation) -> None:
    bars = [(name, scores.bits, "tab:blue") for name, scores in evaluation.modes.items()]
    bars += [(one.name, one.scores.bits, "tab:gray") for one in evaluation.baselines if one.has_probabilities]
    names, bits, colours = zip(*reversed(bars), strict=True)
    axes.barh(range(len(names)), bits, color=colours)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="bits per symbol: less is better")
    axes.grid(axis="x", alpha=0.3)


def _draw_positions(axes: Any, evaluation: Evaluation) -> None:
    best = evaluation.best_baseline
    drawn = [("network", evaluation.main, "tab:blue")]
    drawn += [] if best is None else [(best.name, best.scores, "tab:gray")]
    for name, scores, colour in drawn:
        bits = {row["from"]: row["bits_per_symbol"] for row in scores.by_position()}
        axes.plot(list(bits), list(bits.values()), "o-", color=colour, label=name)
    axes.set(xscale="log", xlabel="position in the sequence", ylabel="bits per symbol")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_reliability(axes: Any, evaluation: Evaluation) -> None:
    rows = evaluation.main.reliability()
    axes.plot([0, 1], [0, 1], color="lightgray")
    axes.plot([row["confidence"] for row in rows], [row["accuracy"] for row in rows], "o-", color="tab:blue")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)


def _draw_mistakes(axes: Any, evaluation: Evaluation) -> None:
    scores, size = evaluation.main, len(evaluation.symbols)
    chosen = np.argsort(-np.bincount(scores.targets, minlength=size), kind="stable")[:_MOST_CONFUSED]
    row_of = np.full(size, -1)
    row_of[chosen] = np.arange(len(chosen))
    actual, predicted = row_of[scores.targets], row_of[scores.predicted]
    shown = (actual >= 0) & (predicted >= 0)
    table = np.zeros((len(chosen), len(chosen)))
    np.add.at(table, (actual[shown], predicted[shown]), 1)
    image = axes.imshow(table / np.maximum(table.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    names = [visible(evaluation.symbols[id]) for id in chosen.tolist()]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set(xlabel="predicted", ylabel="actual")
    axes.figure.colorbar(image, ax=axes)


_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
"""


def html_report(evaluation: Evaluation) -> bytes:
    """Return the report, UTF-8; without matplotlib it has no pictures and says so."""
    pictures = draw(evaluation)
    shown = [f'<img alt="{name}" src="data:image/png;base64,{b64encode(png).decode()}">' for name, png in pictures]
    missing = [] if pictures else ["<p>No pictures without matplotlib: pip install 'stepcell[plot]'</p>"]
    notes = "".join(f"<li>{escape(note)}</li>" for note in remarks(evaluation))
    labels = ["<h2>Confusion</h2>", _html_table(confusion_table(evaluation))] if evaluation.of_labels else []
    body = [
        f"<h1>{escape(evaluation.model)}</h1>",
        f"<p><strong>{escape(evaluation.verdict())}</strong></p>",
        _html_table(figures_table(evaluation)),
        f"<ul>{notes}</ul>",
        *shown,
        *missing,
        "<h2>By position in the sequence</h2>",
        _html_table(positions_table(evaluation)),
        "<h2>Calibration</h2>",
        _html_table(reliability_table(evaluation)),
        "<h2>Most frequent mistakes</h2>",
        _html_table(mistakes_table(evaluation)),
        *labels,
    ]
    return _html_page(evaluation.model, body)


def html_report_of_values(evaluation: ValueEvaluation) -> bytes:
    """Return the report of values, UTF-8, without pictures."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in value_remarks(evaluation))
    heading = f"<h1>{escape(evaluation.model)}</h1>"
    return _html_page(evaluation.model, [heading, _html_table(value_table(evaluation)), f"<ul>{notes}</ul>"])


def _html_page(title: str, body: list[str]) -> bytes:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{chr(10).join(body)}\n</body></html>\n'.encode()
    )


def _html_table(table: Table) -> str:
    header, rows = table
    lines = ["".join(f"<th>{escape(name)}</th>" for name in header)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"
