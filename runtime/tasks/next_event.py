"""The next event of a model whose symbols are events and the gaps between them."""

from __future__ import annotations

import numpy as np

from ..common.errors import CorpusError
from ..data.time_bins import TimeBins
from ..format.manifest import Manifest
from ..format.tensor_specs import Features
from ..streams.prediction import Prediction
from ..streams.stream import Stream
from .distribution import Float64

_NEGLIGIBLE = 1e-3  # probability of a gap that is not followed


class NextEvents:
    """Reads the next event, and the gap before it, from the predictions of a model with gap symbols.

    Attributes:
        gaps: The bins of the gaps.
    """

    def __init__(self, manifest: Manifest, gaps: TimeBins) -> None:
        """Read for a model; use `next_events_of`."""
        self.gaps, self._vocabulary = gaps, manifest.vocabulary
        self._is_gap = np.isin(np.arange(len(manifest.vocabulary)), gaps.ids_in(manifest.vocabulary.symbols))
        self._hidden = list(manifest.output_symbols.hidden)

    def top(
        self, stream: Stream, prediction: Prediction, count: int, features: Features | None = None, *,
        offer_unknown: bool = False,
    ) -> list[tuple[str, float]]:  # fmt: skip
        """Return the likeliest next events with their probabilities, the likeliest first; gaps are none.

        Where a gap comes first, the probability of an event is summed over the gaps before it.

        Args:
            stream: The stream that has answered `prediction`; it does not move.
            prediction: Its last answer.
            count: How many events.
            features: Features of the last event.
            offer_unknown: Count the unknown symbol among the events.
        """
        events = np.where(self._is_gap, 0.0, prediction.probabilities.astype(np.float64))
        for id in np.flatnonzero(self._is_gap & (prediction.probabilities > _NEGLIGIBLE)).tolist():
            after = self._peek(stream, self._vocabulary.symbols[id], features)
            events += np.where(self._is_gap, 0.0, after) * float(prediction.probabilities[id])
        order = np.argsort(-events, kind="stable").tolist()
        left_out = set(np.flatnonzero(self._is_gap).tolist()) | set(() if offer_unknown else self._hidden)
        ids = [id for id in order if id not in left_out][: max(count, 0)] or order[:1]
        return [(self._vocabulary.symbols[id], float(events[id])) for id in ids]

    def gap_before(self, stream: Stream, event: str, features: Features | None = None) -> tuple[str, float] | None:
        """Return the likeliest gap before a next `event`, with its share of the gaps; None: the model tells none."""
        gaps = np.where(self._is_gap, self._peek(stream, event, features), 0.0)
        total = float(gaps.sum())
        if not total > 0:
            return None
        id = int(gaps.argmax())
        return self._vocabulary.symbols[id], float(gaps[id])

    def _peek(self, stream: Stream, symbol: str, features: Features | None) -> Float64:
        return stream.peek(symbol, features).probabilities.astype(np.float64)


def next_events_of(manifest: Manifest) -> NextEvents | None:
    """Return the reader of next events; None: the model has no gap symbols."""
    limits = manifest.trained_data.reading.get("gaps")
    if not isinstance(limits, str) or manifest.labels is not None or manifest.output == "linear":
        return None
    try:
        gaps = TimeBins.parse(limits)
    except CorpusError:
        return None
    return NextEvents(manifest, gaps) if gaps.ids_in(manifest.vocabulary.symbols).size else None
