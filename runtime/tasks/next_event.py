"""The next event of a model whose symbols are events and the gaps between them."""

from __future__ import annotations

import numpy as np

from ..common.arrays import Float32
from ..common.errors import CorpusError
from ..data.time_bins import TimeBins
from ..format.manifest import Manifest
from ..format.tensor_specs import Features
from ..streams.prediction import Prediction
from ..streams.stream import Stream

_NEGLIGIBLE = 1e-3  # probability of a gap that is not followed


class NextEvents:
    """Reads the next event, and the gap before it, from the predictions of a model with gap symbols.

    Attributes:
        gaps: The bins of the gaps.
    """

    def __init__(self, manifest: Manifest, gaps: TimeBins) -> None:
        """Read for a model; use `next_events_of`."""
        self.gaps, self._vocabulary = gaps, manifest.vocabulary
        ids = gaps.ids_in(manifest.vocabulary.symbols)
        self._gaps: list[int] = ids.tolist()
        self._events = np.ones(len(manifest.vocabulary), np.float32)  # 0 for gaps
        self._events[ids] = 0
        self._offered = self._events.copy()  # 0 for what is not offered too
        self._offered[list(manifest.output_symbols.hidden)] = 0

    def top(
        self, stream: Stream, prediction: Prediction, count: int, features: Features | None = None, *,
        gap_may_come: bool = True, offer_unknown: bool = False,
    ) -> list[tuple[str, float]]:  # fmt: skip
        """Return the likeliest next events with their probabilities, the likeliest first; gaps are none.

        Where a gap comes first, the probability of an event is summed over the gaps before it.

        Args:
            stream: The stream that has answered `prediction`; it does not move.
            prediction: Its last answer.
            count: How many events.
            features: Features of the last event.
            gap_may_come: Whether the next symbol may be a gap: where gaps are fed with their events it is none.
            offer_unknown: Count the unknown symbol among the events.
        """
        answers = prediction.probabilities
        events, mask = answers, self._events if offer_unknown else self._offered
        for id in self._gaps if gap_may_come else ():
            if answers[id] > _NEGLIGIBLE:
                events = events + self._peek(stream, self._vocabulary.symbols[id], features) * answers[id]
        events = events * mask
        if count == 1:
            likeliest = int(events.argmax())
            return [(self._vocabulary.symbols[likeliest], float(events[likeliest]))]
        ids = [id for id in np.argsort(-events, kind="stable").tolist() if mask[id]][: max(count, 0)]
        return [(self._vocabulary.symbols[id], float(events[id])) for id in ids]

    def gap_before(self, stream: Stream, event: str, features: Features | None = None) -> tuple[str, float] | None:
        """Return the likeliest gap before a next `event`, and its probability after the event; None: there is none."""
        answers = self._peek(stream, event, features)
        probability, id = max((float(answers[id]), -id) for id in self._gaps)  # of equals the first
        return (self._vocabulary.symbols[-id], probability) if probability > 0 else None

    def _peek(self, stream: Stream, symbol: str, features: Features | None) -> Float32:
        prediction: Prediction | None = stream.peek(symbol, features)
        assert prediction is not None, "`next_events_of` has seen that each step after an answer has one"
        return prediction.probabilities


def next_events_of(manifest: Manifest) -> NextEvents | None:
    """Return the reader of next events; None: the model has no gap symbols, or does not answer at each step."""
    limits = manifest.trained_data.reading.get("gaps")
    if not isinstance(limits, str) or manifest.labels is not None or manifest.output == "linear":
        return None
    if manifest.answers.every > 1:
        return None
    try:
        gaps = TimeBins.parse(limits)
    except CorpusError:
        return None
    return NextEvents(manifest, gaps) if gaps.ids_in(manifest.vocabulary.symbols).size else None
