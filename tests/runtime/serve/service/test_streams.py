"""The streams of a service in memory."""

from __future__ import annotations

from support.models import DATA
from support.serving import ListSource, serve_source

from stepcell.runtime import load

MODEL = load(DATA / "memory.tflite", backend="numpy")


def test_streams_that_never_begin_take_no_memory(tmp_path):
    records = [{"stream": f"stranger {number}", "symbol": "3"} for number in range(3000)]
    source = ListSource([{"stream": "known", "symbol": "3", "start": True}, *records])
    service = serve_source(tmp_path / "state.db", source, MODEL, require_start=True)
    assert {outcome.code for outcome in source.outcomes[1:]} == {"not-started"}
    assert service.engine.streams.in_memory < 1100
    assert service.engine.streams.known("known") is not None
