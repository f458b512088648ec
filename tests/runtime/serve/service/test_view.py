"""Questions to a service while it runs."""

from __future__ import annotations

from functools import partial

import pytest
from support.models import DATA
from support.serving import ListSource, serve_records, serve_source

from stepcell.runtime import load
from stepcell.runtime.serve.service.view import status_of, stream_of, streams_of

MODEL = load(DATA / "memory.tflite", backend="numpy")


@pytest.fixture
def store(tmp_path):
    return tmp_path / "state.db"


def numbered(symbols, stream="press", first=0):
    return [{"stream": stream, "seq": first + place, "symbol": symbol} for place, symbol in enumerate(symbols)]


def test_a_call_sees_what_is_kept(store):
    source = ListSource(numbered("301"), calls=[lambda service: service.store.find("press")[1]["serve"]["next_seq"]])
    serve_source(store, source, MODEL)
    assert source.results[0].result(0) == 3


def test_a_service_tells_where_its_streams_are(store):
    calls = [lambda service: streams_of(service, 9, None), *(partial(stream_of, stream=name) for name in "bc")]
    source = ListSource([*numbered("30", "b"), *numbered("4", "a")], calls=calls)
    serve_source(store, source, MODEL)
    streams, state, none = (result.result(0) for result in source.results)
    assert ([each["stream"] for each in streams["streams"]], none) == (["a", "b"], None)
    assert (state["seq"], state["symbols_seen"], state["answer"]["seq"]) == (1, 2, 1)
    assert {name: len(numbers) for name, numbers in state["state"].items()} == {
        tensor.name: tensor.shape[0] for tensor in MODEL.manifest.state
    }


def test_a_stream_that_was_forgotten_begins_anew(store):
    source = ListSource(numbered("30"), calls=[lambda service: service.forget(["press", "nobody"])])
    serve_source(store, source, MODEL)
    assert source.results[0].result(0) == 1
    assert serve_records(store, numbered("4", first=17), MODEL)[0]["symbol"] == MODEL.stream().step("4").symbol


def test_streams_come_in_pages_and_the_one_without_a_name_is_the_first(store):
    records = [{"stream": name, "symbol": "3"} for name in ("b", "", "ä", "a")]
    calls = [partial(streams_of, limit=3, after=after) for after in (None, "b", "ä")]
    source = ListSource(records, calls=calls)
    serve_source(store, source, MODEL)
    pages = [result.result(0) for result in source.results]
    assert [[each["stream"] for each in page["streams"]] for page in pages] == [["", "a", "b"], ["ä"], []]
    assert [page["next"] for page in pages] == ["b", None, None]


def test_asking_for_a_stream_that_is_not_known_makes_none(store):
    source = ListSource(numbered("30"), calls=[partial(stream_of, stream="other"), status_of])
    serve_source(store, source, MODEL)
    none, status = (result.result(0) for result in source.results)
    assert none is None
    assert (status["streams_known"], status["streams_in_memory"]) == (1, 1)


@pytest.mark.parametrize(("below", "bits"), [(0.25, 2.0), (None, None)])
def test_the_status_counts_what_was_done(store, below, bits):
    source = ListSource([*numbered("30"), *numbered("x", first=2)], calls=[status_of])
    serve_source(store, source, MODEL, alert_below=below)
    status = source.results[0].result(0)
    assert (status["steps"], status["errors"], status["threshold"], status["ready"]) == (2, 1, bits, True)
    assert sum(status["commit_buckets"]) == status["groups"] > 0
    assert {(each["outcome"], each["code"]): each["count"] for each in status["records"]} == {
        ("stepped", ""): 2, ("skipped", "unknown-symbol"): 1
    }  # fmt: skip
