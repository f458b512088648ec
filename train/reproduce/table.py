"""The reproduction as a table for the screen, a Markdown page and JSON, with a verdict on each claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .questions import READERS_ASKED
from .recipe import Outcome
from .reproduction import OURS, PUBLISHED, Reproduction
from .system import System

_HEADER = [
    "system", "what is learned", "claimed", "as published", "streamed", "CPU-s", "stepcell", "CPU-s", "verdict",
]  # fmt: skip
_PAPER_HEADER = [
    "experiment", "what is learned", "published", "sequences", "stepcell", "sequences", "criterion met", "CPU-s",
    "verdict",
]  # fmt: skip
TITLES = {
    "tutorials": "Tutorials",
    "questions": "What their readers ask",
    "extensions": "What they propose to try next",
    "paper": "Hochreiter and Schmidhuber 1997",
}
# Of accuracy: a claim of 100 % is met by 98 %; one of 84 % by 79 %, because such results differ more from seed to seed.
_CLOSE, _CLOSE_BELOW_PERFECT = 0.02, 0.05
_PERFECT = 0.98
_FAILS_STREAMED = 0.1  # of accuracy


def table(reproduction: Reproduction, chosen: Sequence[System], group: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows for the systems of one group, without empty columns; variants stand below their recipe."""
    rows = []
    for system in chosen:
        if system.group != group:
            continue
        ours = reproduction.outcomes(system, OURS)
        if system.experiment is not None:
            rows.append(_paper_row(system, ours))
            continue
        published = reproduction.outcomes(system, PUBLISHED)
        rows.append(
            [
                system.name,
                system.about,
                f"{100 * system.claim.accuracy:.4g} %" if system.claim else "",
                *_as_cells(published),
                _ours(ours),
                _seconds(ours),
                verdict(system, published, ours),
            ]
        )
        for way in system.variants:
            rows.append(["", f"- {way}", "", *_as_cells(reproduction.outcomes(system, way)), "", "", ""])
    header = _PAPER_HEADER if group == "paper" else _HEADER
    used = [column for column in range(len(header)) if any(row[column] for row in rows)]
    return [header[column] for column in used], [[row[column] for column in used] for row in rows]


def questions_table(reproduction: Reproduction, chosen: Sequence[System]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: each question about the chosen systems, its answer, and what was measured."""
    systems = {system.name: system for system in chosen}
    rows = []
    for question in READERS_ASKED:
        if question.system in systems:
            found = [
                f"{way}, {measure}: {_measured(outcomes, measure)}, seeds: {len(outcomes)}"
                for way, measure in question.measured
                if (outcomes := reproduction.outcomes(systems[question.system], way))
            ]
            command = f"`stepcell reproduce {question.system}`"
            rows.append([question.text, question.answer, "; ".join(found) or "not measured yet", command])
    return ["question", "answer", "measured", "command"], rows


def as_markdown(reproduction: Reproduction, chosen: Sequence[System], machine: str, picture: str | None = None) -> str:
    """Return a page with a table for each group, the reasons, every further measurement, and the sources.

    Args:
        reproduction: The results.
        chosen: The systems.
        machine: Where it was measured, in words.
        picture: File name of the picture to show.
    """
    parts = ["# Published recurrent systems, claimed and measured", "", _EXPLANATION, "", f"Measured on {machine}."]
    if picture:
        parts += ["", f"![Accuracy and cost of every system]({picture})"]
    for group, title in TITLES.items():
        header, rows = table(reproduction, chosen, group)
        if rows:
            parts += ["", f"## {title}", "", *_markdown(header, rows), ""]
            alike: dict[str, list[str]] = {}
            for system in (one for one in chosen if one.group == group):
                alike.setdefault(_remark(reproduction, system), []).append(system.name)
            parts += [f"- **{', '.join(names)}**: {remark}" for remark, names in alike.items()]
    header, rows = questions_table(reproduction, chosen)
    if rows:
        parts += ["", "## Questions of readers, with their measured rows", "", *_markdown(header, rows)]
    return "\n".join(parts) + "\n"


def as_json(reproduction: Reproduction, chosen: Sequence[System]) -> list[dict[str, Any]]:
    """Return everything about the chosen systems as JSON values."""
    described = []
    for system in chosen:
        outcomes = {
            way: [{**vars(outcome), "details": dict(outcome.details)} for outcome in reproduction.outcomes(system, way)]
            for way in (PUBLISHED, *system.variants, OURS)
        }
        published, ours = reproduction.outcomes(system, PUBLISHED), reproduction.outcomes(system, OURS)
        described.append(
            {
                "name": system.name,
                "about": system.about,
                "claimed": system.claim.accuracy if system.claim else None,
                "source": system.source,
                "outcomes": {way: found for way, found in outcomes.items() if found},
                "verdict": verdict(system, published, ours),
                "reason": system.reason,
            }
        )
    return described


_EXPLANATION = (
    "Accuracies are means over seeds, by the measure of the claim, with the lowest and the highest in brackets. "
    "*Streamed*: the same weights stepped one symbol at a time, the state carried over a stream at least ten times as "
    "long as what they learned from. The column *stepcell* is always measured that way. CPU-seconds count all threads "
    "and compilation; means over seeds. Published recipes make the updates of their calls of `fit` without the cost of "
    "those calls: the weights are the same to the bit, and it costs less than the recipes as written."
)


def _measured(outcomes: Sequence[Outcome], measure: str) -> str:
    """Return accuracy, streamed accuracy or a detail of all outcomes in words."""
    if measure in ("accuracy", "streamed"):
        return _range([share for outcome in outcomes if (share := getattr(outcome, measure)) is not None])
    return _mean([outcome.details[measure] for outcome in outcomes])


def _as_cells(outcomes: Sequence[Outcome]) -> list[str]:
    streamed = [outcome.streamed for outcome in outcomes if outcome.streamed is not None]
    return [_range([outcome.accuracy for outcome in outcomes]), _range(streamed), _seconds(outcomes)]


def _range(shares: Sequence[float]) -> str:
    if not shares:
        return ""
    low, mean, high = (100 * float(f(shares)) for f in (np.min, np.mean, np.max))
    return f"{mean:.1f} %" if high - low < 0.05 else f"{mean:.1f} % ({low:.1f} to {high:.1f})"


def _seconds(outcomes: Sequence[Outcome]) -> str:
    return f"{np.mean([outcome.cpu_seconds for outcome in outcomes]):.1f}" if outcomes else ""


def _ours(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return ""
    return f"{_range([o.accuracy for o in outcomes])}, solved {solved(outcomes)} of {len(outcomes)}"


def _paper_row(system: System, ours: Sequence[Outcome]) -> list[str]:
    experiment = system.experiment
    if experiment is None:
        raise ValueError(f"{system.name} is no experiment of a paper")
    sequences = [float(outcome.details["sequences"]) for outcome in ours if "sequences" in outcome.details]
    met = [float(value) for o in ours for name, value in o.details.items() if "error below" in name]
    return [
        system.name,
        system.about,
        experiment.success,
        f"{experiment.sequences:,}" if experiment.sequences else "",
        f"solved {solved(ours)} of {len(ours)}" if ours else "",
        f"{np.median(sequences):,.0f}" if sequences else "",
        f"{100 * float(np.mean(met)):.2f} %" if met else "",
        _seconds(ours),
        verdict(system, [], ours),
    ]


def _remark(reproduction: Reproduction, system: System) -> str:
    """Return the reason, further measurements, and the source."""
    measured = []
    for way in (PUBLISHED, *system.variants):
        outcomes = reproduction.outcomes(system, way)
        found = [
            f"{name} {_mean([o.details[name] for o in outcomes])}" for name in (outcomes[0].details if outcomes else ())
        ]
        if found:
            measured.append(f"{way}: {', '.join(found)}")
    also = f" Also measured: {'; '.join(measured)}." if measured else ""
    source = system.source
    return f"{system.reason}{also}{f' Source: {source}' if source else ''}"


def _mean(values: Sequence[float | str]) -> str:
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) == len(values):
        return f"{100 * float(np.mean(numbers)):.1f} %"
    return " and ".join(dict.fromkeys(str(value) for value in values))


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def as_claimed(system: System, outcomes: Sequence[Outcome]) -> int:
    """Return how many of the outcomes of a published recipe meet the claim."""
    if system.claim is None:
        return 0
    claimed = system.claim.accuracy
    if claimed == 0.0:  # the claim is that it fails
        return sum(outcome.accuracy < 0.05 for outcome in outcomes)
    close = _CLOSE if claimed >= _PERFECT else _CLOSE_BELOW_PERFECT
    return sum(outcome.accuracy >= claimed - close for outcome in outcomes)


def solved(outcomes: Sequence[Outcome]) -> int:
    """Return how many of stepcell's trainings solved their problem."""
    return sum(outcome.details.get("solved") == 1.0 for outcome in outcomes)


def verdict(system: System, published: Sequence[Outcome], ours: Sequence[Outcome]) -> str:
    """Return a verdict on the claim that follows from the measurements alone."""
    parts = []
    if system.claim is not None and published:
        count = as_claimed(system, published)
        held = "holds" if count == len(published) else "does not hold" if count == 0 else "depends on the seed"
        parts.append(f"claim {held} ({count} of {len(published)})")
        streamed = [outcome.streamed for outcome in published if outcome.streamed is not None]
        accuracy = float(np.mean([outcome.accuracy for outcome in published]))
        if streamed and float(np.mean(streamed)) < accuracy - _FAILS_STREAMED:
            parts.append("not when streamed")
    if system.experiment is not None and ours:
        found = [float(outcome.details["sequences"]) for outcome in ours if "sequences" in outcome.details]
        if found and system.experiment.sequences and solved(ours) == len(ours):
            ratio = system.experiment.sequences / float(np.median(found))
            parts.append(
                f"{ratio:.1f} times fewer sequences" if ratio >= 1 else f"{1 / ratio:.1f} times more sequences"
            )
    if ours:
        parts.append("solved" if solved(ours) == len(ours) else f"stepcell solves {solved(ours)} of {len(ours)}")
    return ", ".join(parts) or "not measured yet"
