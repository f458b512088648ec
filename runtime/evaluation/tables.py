"""An evaluation as tables."""

from __future__ import annotations

from typing import TypeAlias

from ..vocabulary import escape_symbol
from .evaluation import CARRIED, FORGETFUL, RESET, WINDOWED, Evaluation
from .judgement import Judgement

Table: TypeAlias = tuple[list[str], list[list[str]]]


def figures_table(evaluation: Evaluation) -> Table:
    """Return header and rows: the model in each way of feeding it, then the yardsticks."""
    names = {
        RESET: "state reset before each sequence",
        CARRIED: "state carried, never reset",
        WINDOWED: f"only the last {evaluation.window} symbols in view",
        FORGETFUL: "state reset before each symbol: no memory",
    }
    header = ["", "symbols", "accuracy", *(f"top {count}" for count in evaluation.top), "nats", "bits"]
    rows = [_row(names[name], judged, evaluation.top) for name, judged in evaluation.passes.items()]
    for one in evaluation.baselines:
        row = _row(one.name, one.judgement, evaluation.top)
        rows.append(row if one.has_probabilities else [*row[:3], *[""] * (len(row) - 3)])
    return header, rows


def positions_table(evaluation: Evaluation) -> Table:
    """Return header and rows: accuracy and bits by the position in the sequence, of the best yardstick too."""
    header = ["position", "symbols", "accuracy", "bits", "n-gram accuracy", "bits"]
    counted = {row["from"]: row for row in evaluation.best_baseline.judgement.by_position()}
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


def _row(name: str, judged: Judgement, top: tuple[int, ...]) -> list[str]:
    shares = [percent(judged.top(count)) for count in (1, *top)]
    return [name, f"{len(judged):,}", *shares, f"{judged.nats:.4f}", f"{judged.bits:.4f}"]


def _pair(row: dict[str, float]) -> list[str]:
    return [percent(row["accuracy"]), f"{row['bits_per_symbol']:.4f}"]
