"""Counts of a service as metrics of Prometheus."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.http_serving import HttpService
from support.models import DATA
from support.serving import ListSource

from stepcell.runtime import load
from stepcell.runtime.serve.adapters.base import SKIPPED, STEPPED, Incoming, Outcome
from stepcell.runtime.serve.adapters.metrics import Metrics

MODEL = load(DATA / "memory.tflite", backend="numpy")


def samples_of(text):
    """Return (name, labels) -> value of each sample."""
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_what_a_service_has_done(tmp_path):
    lines = [{"stream": "pipe", "symbol": symbol} for symbol in "30"]
    source = ListSource(lines, "pipe")
    with HttpService(tmp_path / "state.db", MODEL, sources=[source], alert_below=0.01) as served:
        for seq, symbol in enumerate("30124"):
            served.step("press", {"seq": seq, "symbol": symbol})
        served.step("press", {"seq": 4, "symbol": "4"})
        served.step("press", {"seq": 9, "symbol": "4"})
        served.step("press", {"seq": 5, "symbol": "x"})
        status, body, headers = served.raw("GET", "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = samples_of(body.decode())
    assert found["stepcell_ready", ()] == 1
    assert found["stepcell_steps_total", ()] == 7
    assert found["stepcell_records_total", ("", "http", "stepped")] == 5
    assert found["stepcell_records_total", ("", "http", "repeated")] == 1
    assert found["stepcell_records_total", ("gap", "http", "refused")] == 1
    assert found["stepcell_records_total", ("http", "skipped", "unknown-symbol")] == 1
    assert found["stepcell_records_total", ("", "pipe", "stepped")] == 2
    assert found["stepcell_streams", ("store",)] == found["stepcell_streams", ("memory",)] == 2
    assert found["stepcell_model_info", (MODEL.manifest.fingerprint, "memory.tflite")] == 1
    assert found["stepcell_groups_total", ()] == found["stepcell_commit_seconds_count", ()] > 0
    assert found["stepcell_commit_seconds_bucket", ("+Inf",)] == found["stepcell_groups_total", ()]
    assert found["stepcell_surprise_bits_count", ()] == 4 + 1  # not of the first symbol of a stream
    assert found["stepcell_alerts_total", ()] == 1
    assert 0 <= found["stepcell_last_commit_age_seconds", ()] < 60
    assert found["stepcell_undelivered_groups", ()] == found["stepcell_inbox_records", ()] == 0


def answered(kind, **answer):
    return Outcome(Incoming(b""), kind, json.dumps(answer))


@pytest.mark.parametrize(
    ("outcome", "count", "alerts"),
    [
        (answered(STEPPED, surprise=0.3, rank=1, alert=False, alarm=False), 1, 0),
        (answered(STEPPED, surprise=20.5, rank=9, alert=True, alarm=False, line="x"), 1, 1),
        (answered(STEPPED, surprise=2.5, rank=9, alert=False, alarm=True, line="x"), 1, 1),
        (answered(STEPPED, surprise=None, rank=None, alert=False, alarm=False), 0, 0),
        (answered(STEPPED, input='"surprise": 3, "alert": true', symbol="x"), 0, 0),
        (answered(STEPPED, surprise=0.5, rank=1, alert=False, alarm=False, line='"surprise": 9, "alert": true'), 1, 0),
        (answered(SKIPPED, error='"surprise": 3'), 0, 0),
    ],
)
def test_surprise_is_found_in_answers_and_not_in_their_strings(outcome, count, alerts):
    metrics = Metrics()
    metrics.count([outcome])
    found = samples_of(metrics.text().decode())
    assert (found["stepcell_surprise_bits_count", ()], found["stepcell_alerts_total", ()]) == (count, alerts)
