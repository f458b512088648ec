"""A table and a plot of series of values, shown before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.common.plotting import new_figure, to_png
from ...runtime.data import Corpus, FeatureStats, Recording
from ..network.values import ValueScaling
from .value_score import ValueScore

LAST, MEAN = "the last value again", "the mean"
_MOST_POINTS = 4_000  # in the picture


@dataclass(frozen=True)
class SeriesReport:
    """The summary of series before training.

    Attributes:
        corpus: The rows.
        values: See `DataSummary.values`.
        ahead: How many rows ahead of its row a value is; 0: in its row.
    """

    corpus: Corpus
    values: ValueScaling
    ahead: int

    @property
    def scales(self) -> tuple[FeatureStats, ...]:
        """See `DataSummary.scales`."""
        return self.corpus.feature_stats

    def record(self) -> dict[str, Any]:
        """Return the entry of the model file with which other files are read and evaluated alike."""
        return {"data": self.corpus.to_json()}

    def table(self) -> tuple[list[str], list[list[str]], str]:
        """Return header, rows and remarks: sequences, rows, lengths, and the spread of the values."""
        corpus, scaling = self.corpus, self.values
        header = ["", "sequences", "rows", "shortest", "median", "longest"]
        header += [f"{name} {what}" for name in scaling.names for what in ("mean", "deviation", "least", "most")]
        rows = [self._row(name, part) for name, part in (("learned", corpus.train), ("held out", corpus.held_out))]
        rows_later = f"{self.ahead} row{'s' * (self.ahead > 1)} later"
        what = f"the value {rows_later}" if self.ahead else "the value of the row"
        slow = [name for name, base in zip(scaling.names, scaling.bases, strict=False) if base >= 0]
        which = f" of {', '.join(slow)}" if len(slow) < len(scaling.names) else ""
        how = f", as the change from the present one{which}" if slow else ""
        notes = [
            f"{corpus.train.source}: {corpus.train.found}",
            f"answered: {', '.join(scaling.names)}, {what}{how}",
            f"features: {', '.join(f'{s.name} ({s.mean:.4g} ± {s.variance**0.5:.3g})' for s in self.scales)}",
            *corpus.train.remarks,
        ]
        return header, rows, "\n".join(notes)

    def baselines(self) -> dict[str, ValueScore]:
        """Return name -> the score of a baseline on the held-out rows: the last value, if there is one, and the mean.

        The first rows of a sequence, which have no last value, do not count.
        """
        corpus, lag = self.corpus, max(1, self.ahead)
        held_out = corpus.encoded_held_out
        targets, index = held_out.targets, np.arange(len(held_out))
        rows = index[index - np.repeat(held_out.starts[:-1], np.diff(held_out.starts)) >= lag]
        found = {}
        if len(rows):
            found[LAST] = ValueScore.of(targets[rows - lag] - targets[rows], self.values, len(rows))
        else:
            rows = index
        mean = corpus.encoded_train.targets.mean(axis=0)
        return {**found, MEAN: ValueScore.of(mean - targets[rows], self.values, len(rows))}

    def picture(self) -> bytes | None:
        """Return a PNG of the values over the rows, learned and held out; None without matplotlib."""
        names = self.values.names
        figure = new_figure(13, 2.2 * len(names) + 1)
        if figure is None:
            return None
        learned, held_out = self._targets(self.corpus.train), self._targets(self.corpus.held_out)
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for index, (axes, name) in enumerate(zip(panels, names, strict=True)):
            for values, first, colour, label in (
                (learned, 0, "tab:blue", "learned"), (held_out, len(learned), "tab:orange", "held out"),
            ):  # fmt: skip
                shown = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_POINTS)).astype(int))
                axes.plot(first + shown, values[shown, index], color=colour, linewidth=0.8, label=label)
            axes.set_ylabel(name)
            axes.grid(alpha=0.3)
        panels[0].legend()
        panels[-1].set_xlabel("rows, the held-out ones behind the others")
        return to_png(figure)

    def _row(self, name: str, part: Recording) -> list[str]:
        values, lengths = self._targets(part), part.lengths
        spread = [values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0)]
        return [
            name,
            f"{len(part):,}",
            f"{len(part.ids):,}",
            *(f"{int(of(lengths)):,}" for of in (np.min, np.median, np.max)),
            *(f"{each[index]:.5g}" for index in range(values.shape[1]) for each in spread),
        ]

    @staticmethod
    def _targets(part: Recording) -> Any:
        assert part.targets is not None
        return part.targets.astype(np.float64)
