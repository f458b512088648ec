"""Counts of a service as metrics of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from .base import STEPPED, Outcome

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SURPRISE_BOUNDS = (0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0)  # bits
_SURPRISE, _ALERTS = '"surprise": ', ('"alert": true', '"alarm": true')
_GAUGES = {
    "last_commit_age": ("last_commit_age_seconds", "Seconds since records were kept last."),
    "undelivered": ("undelivered_groups", "Groups of answers that an output has not delivered yet."),
    "waiting": ("inbox_records", "Records that wait to be stepped."),
}


class Metrics:
    """Counts what is known of answers alone, and writes all counts of a service.

    Attributes:
        status: The counts of the service, as `view.status_of` returns them; {}: it has not been asked.
        alerts: Number of answers with an alert or alarm.
        readers: Number of readers of the event stream.
        dropped: Number of them that were dropped.
    """

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self.status: Mapping[str, Any] = {}
        self.alerts = self.readers = self.dropped = 0
        self._surprise = [0] * (len(SURPRISE_BOUNDS) + 1)
        self._bits = 0.0

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Count the surprise in answers, which are not parsed for it: quotes in their strings are escaped."""
        for outcome in outcomes:
            answer = outcome.answer
            if answer is None or outcome.kind != STEPPED:
                continue
            place = answer.rfind(_SURPRISE)
            if place < 0:
                continue
            begin = place + len(_SURPRISE)
            number = answer[begin : answer.find(",", begin)]
            if number == "null":
                continue
            bits = float(number)
            self._surprise[bisect_left(SURPRISE_BOUNDS, bits)] += 1
            self._bits += bits
            self.alerts += any(answer.find(mark, begin) > 0 for mark in _ALERTS)

    def text(self) -> bytes:
        """Return all counts in the text format of Prometheus."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; called by the registry."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
            InfoMetricFamily,
        )

        status = self.status
        yield GaugeMetricFamily("stepcell_ready", "1 if records are taken and kept.", float(bool(status.get("ready"))))
        yield GaugeMetricFamily("stepcell_event_readers", "Readers of the event stream.", self.readers)
        yield CounterMetricFamily("stepcell_event_readers_dropped", "Readers that were too slow.", self.dropped)
        yield CounterMetricFamily("stepcell_alerts", "Answers with an alert or alarm.", self.alerts)
        yield HistogramMetricFamily(
            "stepcell_surprise_bits", "Surprise of symbols.", _buckets(SURPRISE_BOUNDS, self._surprise), self._bits
        )
        if not status:
            return
        yield InfoMetricFamily(
            "stepcell_model", "The model file.", {"name": status["model"], "fingerprint": status["fingerprint"]}
        )
        records = CounterMetricFamily(
            "stepcell_records", "Records by source, what became of them, and code of an error.",
            labels=("source", "outcome", "code"),
        )  # fmt: skip
        for each in status["records"]:
            records.add_metric((each["source"], each["outcome"], each["code"]), each["count"])
        yield records
        yield CounterMetricFamily("stepcell_steps", "Records that were stepped.", status["steps"])
        yield CounterMetricFamily("stepcell_groups", "Groups of records that were kept.", status["groups"])
        yield HistogramMetricFamily(
            "stepcell_commit_seconds", "Seconds until a group was kept.",
            _buckets(status["commit_bounds"], status["commit_buckets"]), status["commit_seconds"],
        )  # fmt: skip
        yield CounterMetricFamily(
            "stepcell_streams_forgotten", "Streams that were not used for a long time.", status["forgotten"]
        )
        streams = GaugeMetricFamily("stepcell_streams", "Streams in the store, and in memory.", labels=("where",))
        streams.add_metric(("store",), status["streams_known"])
        streams.add_metric(("memory",), status["streams_in_memory"])
        yield streams
        reloads = CounterMetricFamily("stepcell_reloads", "New models, by what became of them.", labels=("outcome",))
        for outcome, count in status["reloads"].items():
            reloads.add_metric((outcome,), count)
        yield reloads
        handover = status["handover"] or {}
        if "difference" in handover:
            name = "stepcell_handover_difference"
            yield GaugeMetricFamily(name, "Mean difference of the last new model.", handover["difference"])
        for key, (name, text) in _GAUGES.items():
            if status[key] is not None:
                yield GaugeMetricFamily(f"stepcell_{name}", text, status[key])


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return the buckets of a histogram: bound -> number of values up to it."""
    return list(zip([*map(str, bounds), "+Inf"], accumulate(counts), strict=True))
