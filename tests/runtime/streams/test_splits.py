"""However a sequence is cut up and whatever feeds the parts: answers, scores and state are the same."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepcell.runtime import Watch

WAYS = ("step", "absorb", "run", "score", "watch", "save", "bytes", "fork", "copy", "peek", "park", "go_to")
PARTS = st.lists(st.tuples(st.sampled_from(WAYS), st.text("01234", max_size=12)), max_size=12)


def feed(stream, way, symbols, path):
    """Feed `symbols` in one of the ways; return the stream that has them, and the score of each where it was told."""
    if way == "step":
        for symbol in symbols:
            stream.step(symbol)
    elif way == "absorb":
        stream.absorb(symbols)
    elif way == "run":
        stream.run(symbols)
    elif way == "score":
        return stream, stream.score(symbols).bits.tolist()
    elif way == "watch":
        watch = Watch(stream)
        return stream, [watch.step(symbol).bits for symbol in symbols]
    elif way == "save":
        stream.save(path)
        stream.run("444")
        stream.restore(path)
    elif way == "bytes":
        content = stream.to_bytes()
        stream.reset()
        stream.from_bytes(content)
    elif way == "fork":
        elsewhere, stream = stream, stream.fork()
        elsewhere.run("34")
    elif way == "copy":
        stream = copy.deepcopy(stream)
    elif way == "peek":
        stream.peek("4")
    elif way == "park":
        stream.fork().step("4")
    elif way == "go_to":
        here = stream.snapshot()
        stream.absorb("21")
        stream.go_to(here)
    if way in WAYS[5:]:
        stream.absorb(symbols)
    return stream, [None] * len(symbols)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(PARTS)
def test_every_way_to_feed_a_sequence_gives_the_same(model, tmp_path_factory, parts):
    path = tmp_path_factory.getbasetemp() / "split.state"
    symbols = "".join(part for _, part in parts)
    whole = model.stream()
    expected = whole.score(symbols).bits
    stream, told = model.stream(), []
    for way, part in parts:
        stream, bits = feed(stream, way, part, path)
        told += bits
    assert stream.to_bytes() == whole.to_bytes()
    assert stream.symbols_seen == len(symbols)
    for found, exact in zip(told, expected, strict=True):
        assert found is None or found == pytest.approx(exact, abs=1e-12, nan_ok=True)
    for symbol in "01234":
        assert np.array_equal(stream.peek(symbol).probabilities, whole.peek(symbol).probabilities)
