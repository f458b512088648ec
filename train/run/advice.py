"""Advice after a training: what would help, from its curve and its scores.

Each piece of advice says what was seen and names an option to type. The limits were chosen by hand; they are wide
enough that the noise of a run of some thousand symbols stays below them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..fitting.fit import FitResult

_GAP = 0.05  # of the held-out loss, by which it is above that of the training part
_OVERTAKEN = 0.01  # share by which a later evaluation is worse than the kept one
_EARLY = 0.5  # share of the updates after which the kept one came early
_FALLING = 0.008  # share of the loss that the last third of the evaluations gained
_LENGTHS = 1.25  # factor between the mean lengths of sequences
_MOST_DROPOUT, _FEWEST_UNITS = 0.4, 8


@dataclass(frozen=True)
class Seen:
    """What a training showed.

    Attributes:
        curve: (update, held-out loss) of each evaluation, in order.
        updates: Updates made.
        kept: The update whose weights were kept.
        held_out: Loss of the kept weights on the held-out part, in nats or standard deviations.
        learned: The same on the training part.
        stopped: See `FitResult`.
        units: Units of a recurrent layer.
        dropout: Fraction that was dropped.
        baselines: Name -> held-out loss of what needs no network.
        lengths: See `Problem.weighed_lengths`.
        minutes: The time limit that ended training; None: it was another limit.
        of_values: Losses are of values, not in nats.
        may_change: Another network may be tried; a training that goes on from a run keeps that of the run.
        most_units: Units that the budget allows; None: there is no budget.
    """

    curve: Sequence[tuple[int, float]]
    updates: int
    kept: int
    held_out: float
    learned: float
    stopped: str
    units: int
    dropout: float
    baselines: Mapping[str, float]
    lengths: tuple[float, float] | None = None
    minutes: float | None = None
    of_values: bool = False
    may_change: bool = True
    most_units: int | None = None

    def show(self, loss: float) -> str:
        """Return a loss in its unit."""
        return f"{loss:.4g}" if self.of_values else f"{loss / log(2):.3f} bits"


def advice(seen: Seen) -> Iterator[str]:
    """Yield what would help, one sentence or two each; nothing if nothing stands out."""
    if seen.stopped in ("diverged", "interrupted", "solved"):
        return
    worse = max((loss for update, loss in seen.curve if update > seen.kept), default=0.0)
    overtaken = worse > (1 + _OVERTAKEN) * seen.held_out
    # A gap alone does no harm: while the held-out part gets better, more units and updates still helped.
    by_heart = overtaken and seen.held_out - seen.learned > _GAP * seen.held_out
    if seen.baselines:
        yield from _beside_baselines(seen)
    if by_heart:
        yield from _against_learning_by_heart(seen)
    if seen.kept <= _EARLY * seen.updates and overtaken:
        enough = _rounded(1.2 * seen.kept)
        yield (
            f"The best update came early, {seen.kept:,} of {seen.updates:,}: --max-updates {enough} takes "
            f"{_share(enough, seen.updates)} of the time, and lowers the learning rate in time."
        )
    elif _is_falling(seen) and not by_heart:
        units = "".join(f"{option}, or " for option in _more_units(seen))
        yield (
            f"The held-out part was still getting better at the end: try {units}{_longer(seen)}, which goes on for "
            "twice as long."
        )
    if seen.lengths is not None:
        learned, held_out = seen.lengths
        if max(learned, held_out) > _LENGTHS * min(learned, held_out):
            yield (
                f"Sequences have {learned:.1f} symbols in the training part and {held_out:.1f} in the held-out part, "
                "and long ones weigh more: --sequence-weights lets each sequence weigh the same."
            )


def _beside_baselines(seen: Seen) -> Iterator[str]:
    name = min(seen.baselines, key=lambda one: seen.baselines[one])
    if seen.held_out < seen.baselines[name]:
        return
    found = (
        f"No better than {name} on the held-out part ({seen.show(seen.held_out)}, without a network "
        f"{seen.show(seen.baselines[name])})"
    )
    if seen.learned < seen.baselines[name] and seen.held_out - seen.learned > _GAP * seen.held_out:
        yield f"{found}: what was learned beyond it was learned by heart."
        return
    longer = [_longer(seen)] if seen.stopped in ("updates", "minutes") else []
    options = " or ".join([*longer, *_more_units(seen)])
    yield f"{found}: {f'try {options}, else ' if options else ''}the data hold no more."


def _more_units(seen: Seen) -> list[str]:
    """Return the option of a larger network, or nothing where it would be refused."""
    units = 2 * seen.units if seen.most_units is None else min(2 * seen.units, seen.most_units)
    return [f"--units {units}"] if seen.may_change and units > seen.units else []


def _longer(seen: Seen) -> str:
    """Return the option of twice the training."""
    return f"--minutes {2 * seen.minutes:g}" if seen.minutes else f"--max-updates {2 * seen.updates}"


def _against_learning_by_heart(seen: Seen) -> Iterator[str]:
    found = (
        f"The training part is learned better than the held-out part ({seen.show(seen.learned)} against "
        f"{seen.show(seen.held_out)})"
    )
    fewer = max(seen.units // 2, _FEWEST_UNITS)
    if not seen.may_change:
        options = ""
    elif seen.dropout < _MOST_DROPOUT:
        dropout = f"--dropout {min(seen.dropout + 0.2, 0.5):g}"
        options = f"{dropout} or --units {fewer}" if fewer < seen.units else dropout
    else:
        options = f"--units {fewer}" if fewer < seen.units else ""
    yield f"{found}: {f'try {options}, or ' if options else ''}learn from more data (--held-out with a smaller share)."


def _is_falling(seen: Seen) -> bool:
    """Return whether the last third of the evaluations still gained something, and training ended by its limit."""
    if seen.stopped not in ("updates", "minutes") or len(seen.curve) < 6:
        return False
    before = min(loss for _, loss in seen.curve[: -(len(seen.curve) // 3)])
    return before - seen.held_out > _FALLING * before


def _rounded(updates: float) -> int:
    """Return a number of updates with two digits."""
    return max(int(float(f"{updates:.2g}")), 1)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"


def seen_in(
    fitted: FitResult, *, minutes: float | None = None, may_change: bool = True, most_units: int | None = None
) -> Seen | None:
    """Return what a training showed; None where its data are generated, or its evaluation was cut short.

    Args:
        fitted: The training.
        minutes: Its time limit.
        may_change: See `Seen`.
        most_units: See `Seen`.
    """
    held_out = fitted.scores.get(fitted.data.recipe.monitor)
    if fitted.learned is None or held_out is None:
        return None
    layer = fitted.network.recurrent[0]
    return Seen(
        [(row.update, row.evaluation.loss) for row in fitted.history if row.evaluation is not None],
        fitted.history[-1].update, fitted.kept_update, held_out.loss, fitted.learned.loss, fitted.stopped, layer.units,
        fitted.network.dropout, {name: score.loss for name, score in fitted.baselines.items()},
        fitted.data.problem.weighed_lengths, minutes if fitted.stopped == "minutes" else None,
        fitted.network.values is not None, may_change, most_units,
    )  # fmt: skip
