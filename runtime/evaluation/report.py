"""An evaluation as tables.

Pictures of an evaluation.

An evaluation as one HTML file: everything is in it, so that it can be read offline.
"""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import Any, TypeAlias

import numpy as np

from ..common.plotting import new_figure, to_png
from ..format.vocabulary import escape_symbol
from .evaluation import CARRIED, MEMORYLESS, RESET, WINDOWED, Evaluation
from .metrics import SymbolScores

Table: TypeAlias = tuple[list[str], list[list[str]]]


def figures_table(evaluation: Evaluation) -> Table:
    """Return header and rows: the model in each way of feeding it, then the baselines."""
    names = {
        RESET: "state reset before each sequence",
        CARRIED: "state carried, never reset",
        WINDOWED: f"only the last {evaluation.window} symbols in view",
        MEMORYLESS: "state reset before each symbol: no memory",
    }
    header = ["", "symbols", "accuracy", *(f"top {count}" for count in evaluation.top), "nats", "bits"]
    rows = [_row(names[name], judged, evaluation.top) for name, judged in evaluation.modes.items()]
    for one in evaluation.baselines:
        row = _row(one.name, one.scores, evaluation.top)
        rows.append(row if one.has_probabilities else [*row[:3], *[""] * (len(row) - 3)])
    return header, rows


def positions_table(evaluation: Evaluation) -> Table:
    """Return header and rows: accuracy and bits by the position in the sequence, of the best baseline too."""
    header = ["position", "symbols", "accuracy", "bits", "n-gram accuracy", "bits"]
    counted = {row["from"]: row for row in evaluation.best_baseline.scores.by_position()}
    rows = []
    for row in evaluation.main.by_position():
        other = counted[row["from"]]
        place = f"{row['from']:,}" if row["from"] == row["to"] else f"{row['from']:,} to {row['to']:,}"
        rows.append([place, f"{row['symbols']:,}", *_pair(row), *_pair(other)])
    return header, rows


def reliability_table(evaluation: Evaluation) -> Table:
    """Return header and rows: how often the likeliest symbol came, by how likely it was said to be."""
    rows = [
        [f"{row['from']:.1f} to {row['to']:.1f}", f"{row['symbols']:,}", percent(row["confidence"]),
         percent(row["accuracy"])]
        for row in evaluation.main.reliability()
    ]  # fmt: skip
    return ["probability", "symbols", "said", "came"], rows


def mistakes_table(evaluation: Evaluation) -> Table:
    """Return header and rows: what is taken for what most often."""
    rows = [
        [visible(one["came"]), visible(one["named"]), f"{one['count']:,}",
         percent(one["share_of_mistakes"]), percent(one["share_of_symbol"])]
        for one in evaluation.main.mistakes(evaluation.symbols)
    ]  # fmt: skip
    return ["came", "named instead", "times", "of all mistakes", "of that symbol"], rows


def remarks(evaluation: Evaluation) -> list[str]:
    """Return what has to be said under the figures."""
    judged = f"{evaluation.sequences:,} sequences" if evaluation.sequences > 1 else "one sequence"
    unknown = f", {evaluation.unknown:,} of the symbols unknown to the model" if evaluation.unknown else ""
    return [
        *evaluation.notes,
        f"judged: {judged}, {len(evaluation.main):,} predictions{unknown}",
        f"calibration: probabilities are off by {100 * evaluation.main.calibration_error:.2f} points "
        "(expected calibration error)",
        evaluation.verdict(),
    ]


def visible(symbol: str) -> str:
    """Return a symbol as it can be seen in a table: blanks and punctuation marks in quotes."""
    return escape_symbol(symbol) if any(character.isalnum() for character in symbol) else repr(symbol)


def percent(share: float) -> str:
    """Return a share in words."""
    return f"{100 * share:.2f} %"


def _row(name: str, judged: SymbolScores, top: tuple[int, ...]) -> list[str]:
    shares = [percent(judged.top(count)) for count in (1, *top)]
    return [name, f"{len(judged):,}", *shares, f"{judged.nats:.4f}", f"{judged.bits:.4f}"]


def _pair(row: dict[str, float]) -> list[str]:
    return [percent(row["accuracy"]), f"{row['bits_per_symbol']:.4f}"]


_MOST_CONFUSED = 20  # symbols in the picture of mistakes


def draw(evaluation: Evaluation) -> list[tuple[str, bytes]]:
    """Return names and PNGs: bits beside the baselines, by position, calibration, mistakes; [] without matplotlib."""
    first, second = new_figure(12, 4), new_figure(12, 5)
    if first is None or second is None:
        return []
    bars, curve = first.subplots(1, 2)
    _draw_bits(bars, evaluation)
    _draw_positions(curve, evaluation)
    reliability, mistakes = second.subplots(1, 2)
    _draw_reliability(reliability, evaluation)
    _draw_mistakes(second, mistakes, evaluation)
    return [("bits per symbol, and by position", to_png(first)), ("calibration and mistakes", to_png(second))]


def _draw_bits(axes: Any, evaluation: Evaluation) -> None:
    named = [(name, judged.bits, "tab:blue") for name, judged in evaluation.modes.items()]
    named += [(one.name, one.scores.bits, "tab:gray") for one in evaluation.baselines if one.has_probabilities]
    names, bits, colours = zip(*reversed(named), strict=True)
    axes.barh(range(len(names)), bits, color=colours)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="bits per symbol: less is better")
    axes.grid(axis="x", alpha=0.3)


def _draw_positions(axes: Any, evaluation: Evaluation) -> None:
    for name, judged, colour in (
        ("network", evaluation.main, "tab:blue"),
        (evaluation.best_baseline.name, evaluation.best_baseline.scores, "tab:gray"),
    ):
        rows = judged.by_position()
        axes.plot(
            [row["from"] for row in rows], [row["bits_per_symbol"] for row in rows], "o-", color=colour, label=name
        )
    axes.set(xscale="log", xlabel="position in the sequence", ylabel="bits per symbol")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_reliability(axes: Any, evaluation: Evaluation) -> None:
    rows = evaluation.main.reliability()
    axes.plot([0, 1], [0, 1], color="lightgray")
    axes.plot([row["confidence"] for row in rows], [row["accuracy"] for row in rows], "o-", color="tab:blue")
    axes.set(
        xlabel="how likely the likeliest symbol was said to be", ylabel="how often it came", xlim=(0, 1), ylim=(0, 1)
    )
    axes.grid(alpha=0.3)


def _draw_mistakes(figure: Any, axes: Any, evaluation: Evaluation) -> None:
    judged, size = evaluation.main, len(evaluation.symbols)
    chosen = np.argsort(-np.bincount(judged.targets, minlength=size), kind="stable")[:_MOST_CONFUSED]
    place = np.full(size, -1)
    place[chosen] = np.arange(len(chosen))
    came, named = place[judged.targets], place[judged.named]
    shown = (came >= 0) & (named >= 0)
    table = np.zeros((len(chosen), len(chosen)))
    np.add.at(table, (came[shown], named[shown]), 1)
    image = axes.imshow(table / np.maximum(table.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    names = [visible(evaluation.symbols[id]) for id in chosen.tolist()]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set(xlabel="this was the likeliest", ylabel="this came")
    figure.colorbar(image, ax=axes)


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
    ]
    head = f'<meta charset="utf-8"><title>{escape(evaluation.model)}</title><style>{_STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{chr(10).join(body)}\n</body></html>\n'.encode()
    )


def _html_table(table: Table) -> str:
    header, rows = table
    lines = ["".join(f"<th>{escape(name)}</th>" for name in header)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"
