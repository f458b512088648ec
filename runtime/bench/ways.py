"""The ways to step a model file, by hand and ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import thread_time_ns
from typing import Any

import numpy as np

from ..arrays import Ids
from ..errors import StepcellError
from ..fleet import Fleet
from ..lanes import FEWEST
from ..model import Model
from ..scoring import score_ids
from ..stream import Stream
from .by_hand import ways_by_hand
from .way import WAITED_FOR, Loop, Way, all_at_once, one_by_one, until_the_answer

MEMBERS, TOGETHER = 2_000, 64
SCORED = 2 * FEWEST  # symbols


def ways_of(model: Model, scored: int = SCORED) -> Iterator[Way]:
    """Yield the ways to step `model` that this backend and file have, those by hand first.

    Args:
        model: The model.
        scored: How many symbols to score at a time.
    """
    yield from ways_by_hand(model)
    if model.manifest.features:
        return  # nothing below feeds them
    step_id, symbols = model.stream().step_id, model.vocabulary.symbols
    stream = model.stream()
    yield Way("Stream.step_id", one_by_one(step_id))
    yield Way("Stream.step", one_by_one(lambda number: stream.step(symbols[number])))
    yield Way("Stream.step(...).symbol", one_by_one(lambda number: stream.step(symbols[number]).symbol))
    try:
        fast = model.stream(low_latency=True)
    except StepcellError:
        pass  # this file, or this interpreter, has one phase
    else:
        yield Way(f"two phases{WAITED_FOR}", until_the_answer(fast.step_id, fast.settle))
        expecting = model.stream(low_latency=True)
        yield Way(f"two phases, as expected{WAITED_FOR}", until_the_answer(*_as_expected(expecting)))
    bulk = model.stream()
    yield Way("Stream.run, a symbol", all_at_once(lambda ids: bulk.run_ids(ids)))
    texts = [*symbols]
    yield Way("Stream.absorb, a symbol", all_at_once(lambda ids: bulk.absorb([texts[id] for id in ids.tolist()])))
    streams = model.streams(TOGETHER)
    yield Way(f"{TOGETHER} streams, one of them", _rows(streams.step_ids))
    yield Way(f"fleet: {TOGETHER} of {MEMBERS:,}, one of them", _fleet(model.fleet(), symbols))
    if model.manifest.labels is None and model.manifest.output != "linear":
        stream_of_score = model.stream()
        yield Way("score in lanes, a symbol", all_at_once(lambda ids: score_ids(stream_of_score, ids)), symbols=scored)


def _as_expected(stream: Stream) -> tuple[Callable[[int], Any], Callable[[], object]]:
    """Return a step that feeds what the last answer calls likeliest, whatever it is given, and what comes after it."""
    step_id, settle, expected = stream.step_id, stream.settle, 0

    def step(id: int) -> None:
        step_id(expected)

    def afterwards() -> None:
        nonlocal expected
        settle()
        prediction = stream.prediction
        assert prediction is not None, "a step has been taken"
        expected = prediction.id

    return step, afterwards


def _rows(step: Callable[[Ids], Any]) -> Loop:
    def loop(ids: Ids) -> tuple[int, int]:
        rows = [np.resize(ids[first:], TOGETHER) for first in range(0, len(ids), 8)]
        start = thread_time_ns()
        for row in rows:
            step(row)
        return thread_time_ns() - start, len(rows) * TOGETHER

    return loop


def _fleet(fleet: Fleet, symbols: tuple[str, ...]) -> Loop:
    keys = [f"member {number}" for number in range(MEMBERS)]
    fleet.step(dict.fromkeys(keys, symbols[0]))

    def loop(ids: Ids) -> tuple[int, int]:
        random = np.random.default_rng(0)
        calls = [
            {keys[place]: symbols[id] for place, id in zip(random.choice(MEMBERS, TOGETHER, replace=False),
                                                           np.resize(ids[first:], TOGETHER).tolist(), strict=True)}
            for first in range(0, len(ids), 8)
        ]  # fmt: skip
        start = thread_time_ns()
        for call in calls:
            fleet.step(call)
        return thread_time_ns() - start, len(calls) * TOGETHER

    return loop
