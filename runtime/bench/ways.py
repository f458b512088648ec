"""The ways to step a model file: each as a function that takes many steps and says how long they took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns
from typing import Any

import numpy as np

from ..arrays import Ids
from ..errors import StepcellError
from ..fleet import Fleet
from ..lanes import FEWEST
from ..model import Model
from ..ports import STEP
from ..scoring import score_ids
from ..tflite_backend import HeldMemoryBackend, open_interpreter

REFERENCE = "numpy views and Invoke"  # what all ratios are to: the shortest way that anybody writes by hand
MEMBERS, TOGETHER = 2_000, 64
# Takes ids (T,), returns nanoseconds in all and how many symbols they were.
Loop = Callable[[Ids], tuple[int, int]]


@dataclass(frozen=True)
class Way:
    """One way to step.

    Attributes:
        name: What it is called in the table.
        loop: Takes the steps.
        symbols: How many symbols it wants at a time; more where something has to be amortised.
    """

    name: str
    loop: Loop
    symbols: int = 1000


def ways_of(model: Model) -> Iterator[Way]:
    """Yield the ways to step `model` that this backend and file have, the shortest by hand first."""
    backend = model._seat.backend
    if isinstance(backend, HeldMemoryBackend):
        held = backend.held
        yield Way("Invoke alone, nothing fed", _each(lambda _: held.invoke(held.subgraph)))
        yield Way(REFERENCE, _views(backend, model))
        yield Way("set_tensor, invoke, get_tensor", _by_hand(model))
    if model.file.format == "onnx" and not model.manifest.sequence and model.backend.startswith("onnxruntime"):
        yield Way("session.run", _session_run(model))
    if model.manifest.features:
        return  # nothing below feeds them
    step_id, symbols = model.stream().step_id, model.vocabulary.symbols
    stream = model.stream()
    yield Way("Stream.step_id", _each(step_id))
    yield Way("Stream.step", _each(lambda number: stream.step(symbols[number])))
    yield Way("Stream.step(...).symbol", _each(lambda number: stream.step(symbols[number]).symbol))
    try:
        fast = model.stream(low_latency=True)
    except StepcellError:
        pass  # this file, or this interpreter, has one phase
    else:
        yield Way("two phases: until the answer", _until_the_answer(fast.step_id, fast.settle))
    bulk = model.stream()
    yield Way("Stream.run, a symbol", _all(lambda ids: bulk.run_ids(ids)))
    texts = [*symbols]
    yield Way("Stream.absorb, a symbol", _all(lambda ids: bulk.absorb([texts[id] for id in ids.tolist()])))
    streams = model.streams(TOGETHER)
    yield Way(f"{TOGETHER} streams, one of them", _rows(streams.step_ids))
    yield Way(f"fleet: {TOGETHER} of {MEMBERS:,}, one of them", _fleet(model.fleet(), symbols))
    if model.manifest.labels is None and model.manifest.output != "linear":
        scored = model.stream()
        yield Way("score in lanes, a symbol", _all(lambda ids: score_ids(scored, ids)), symbols=2 * FEWEST)


def _each(step: Callable[[int], Any]) -> Loop:
    def loop(ids: Ids) -> tuple[int, int]:
        plain = ids.tolist()
        start = thread_time_ns()
        for id in plain:
            step(id)
        return thread_time_ns() - start, len(plain)

    return loop


def _all(run: Callable[[Ids], Any]) -> Loop:
    def loop(ids: Ids) -> tuple[int, int]:
        start = thread_time_ns()
        run(ids)
        return thread_time_ns() - start, len(ids)

    return loop


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


def _until_the_answer(step: Callable[[int], Any], settle: Callable[[], None]) -> Loop:
    """Time what is waited for, not what is done afterwards; what looking at the clock costs is taken off."""

    def loop(ids: Ids) -> tuple[int, int]:
        clock = perf_counter_ns
        empty = min(-clock() + clock() for _ in range(1000))
        taken = []
        for id in ids.tolist():
            start = clock()
            step(id)
            taken.append(clock() - start - empty)
            settle()
        return int(np.median(taken)) * len(taken), len(taken)

    return loop


def _views(backend: HeldMemoryBackend, model: Model) -> Loop:
    tensors = {name: array.reshape(-1) for name, array in backend.held.tensors.items()}
    pairs = [(tensors[tensor.name], tensors[tensor.next]) for tensor in model.manifest.state]
    symbol, invoke, subgraph = tensors.get("symbol", np.zeros(1)), backend.held.invoke, backend.held.subgraph

    def step(id: int) -> None:
        symbol[0] = id
        invoke(subgraph)
        for state, following in pairs:
            state[:] = following

    if len(pairs) == 2:  # as anybody would write it for an LSTM
        (h, next_h), (c, next_c) = pairs

        def loop(ids: Ids) -> tuple[int, int]:
            plain = ids.tolist()
            start = thread_time_ns()
            for id in plain:
                symbol[0] = id
                invoke(subgraph)
                h[:] = next_h
                c[:] = next_c
            return thread_time_ns() - start, len(plain)

        return loop
    return _each(step)


def _by_hand(model: Model) -> Loop:
    interpreter = open_interpreter(model._seat.backend_name, model.file.payload)
    signature = interpreter._get_full_signature_list()[STEP]
    inputs, outputs = signature["inputs"], signature["outputs"]
    features = {f.name: np.zeros((1, *f.shape), f.dtype) for f in model.manifest.features}
    state = model.initial_state()

    def step(id: int) -> None:
        if "symbol" in inputs:
            interpreter.set_tensor(inputs["symbol"], np.array([id], np.int32))
        for name, array in {**features, **state}.items():
            interpreter.set_tensor(inputs[name], array)
        interpreter.invoke()
        interpreter.get_tensor(outputs[model.manifest.answer])
        for name in state:
            state[name] = interpreter.get_tensor(outputs[f"next_{name}"])

    return _each(step)


def _session_run(model: Model) -> Loop:
    from ..onnxruntime_backend import open_interpreter as open_session

    session = open_session("onnxruntime", model.file.payload)
    features = {f.name: np.zeros((1, *f.shape), f.dtype) for f in model.manifest.features}
    state = model.initial_state()
    names = [model.manifest.answer, *(tensor.next for tensor in model.manifest.state)]

    def step(id: int) -> None:
        symbol = {"symbol": np.array([id], np.int32)} if len(model.vocabulary) else {}
        _, *following = session.run(names, {**symbol, **features, **state})
        state.update(zip(state, following, strict=True))

    return _each(step)
