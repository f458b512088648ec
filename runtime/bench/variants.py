"""The ways that people write by hand, on the bare interpreters.

One way to step a model file.

The ways to step a model file, by hand and ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns
from typing import Any, TypeAlias

import numpy as np

from ..common.arrays import AnyArray, Ids
from ..common.errors import StepcellError
from ..format.tensor_specs import STEP
from ..interpreters.tflite_backend import open_interpreter
from ..interpreters.tflite_signature import SignatureView, supports_views
from ..streams.fleet import Fleet
from ..streams.model import Model
from ..streams.stream import Stream
from ..tasks.lanes import FEWEST
from ..tasks.score import score_ids

# Takes ids (T,), returns nanoseconds in all and how many symbols they were.
Loop: TypeAlias = Callable[[Ids], tuple[int, int]]

# What all ratios are to: the shortest way that people write by hand. A function of the id that copies the next state
# over the state, in arrays as the interpreter gives them, and returns the answer.
REFERENCE = "numpy views and Invoke"
LATENCY = ": until the answer"  # ends the name of a way whose figure is the time until it, each call by itself


@dataclass(frozen=True)
class Variant:
    """One way to step.

    Attributes:
        name: What it is called in the table.
        loop: Takes the steps.
        symbols: How many symbols it wants at a time; more where something has to be amortised.
    """

    name: str
    loop: Loop
    symbols: int = 2000

    @property
    def reference(self) -> str:
        """The name of the way that its ratio is to."""
        return reference_of(self.name)


def reference_of(name: str) -> str:
    """Return the name of the way that the ratio of the way `name` is to."""
    return REFERENCE + LATENCY if name.endswith(LATENCY) else REFERENCE


def one_by_one(step: Callable[[int], Any]) -> Loop:
    """Return the loop that calls `step` with each id."""

    def loop(ids: Ids) -> tuple[int, int]:
        plain = ids.tolist()
        start = thread_time_ns()
        for id in plain:
            step(id)
        return thread_time_ns() - start, len(plain)

    return loop


def all_at_once(run: Callable[[Ids], Any]) -> Loop:
    """Return the loop that calls `run` with all ids."""

    def loop(ids: Ids) -> tuple[int, int]:
        start = thread_time_ns()
        run(ids)
        return thread_time_ns() - start, len(ids)

    return loop


def until_the_answer(step: Callable[[int], Any], afterwards: Callable[[], object] = lambda: None) -> Loop:
    """Return the loop that times what is waited for, each call by itself, and not what is done `afterwards`.

    It gives the median; what looking at the clock costs is taken off.
    """

    def loop(ids: Ids) -> tuple[int, int]:
        clock = perf_counter_ns
        empty = min(-clock() + clock() for _ in range(1000))
        taken = []
        for id in ids.tolist():
            start = clock()
            step(id)
            taken.append(clock() - start - empty)
            afterwards()
        return int(np.median(taken)) * len(taken), len(taken)

    return loop


def baselines(model: Model) -> Iterator[Variant]:
    """Yield the ways to step the file of `model` without stepcell, on the interpreter that `model` runs on."""
    name, manifest = model.pool.backend_name, model.manifest
    if manifest.io_mapping is not None:
        return
    if name in ("litert", "tflite"):
        interpreter = open_interpreter(name, model.file.payload)
        if supports_views(interpreter):
            held = SignatureView(interpreter, STEP)
            for array in held.tensors.values():
                array[...] = 0
            for tensor in manifest.state:  # from zeros some kernels are many times faster than they ever are in use
                held.tensors[tensor.name][...] = np.random.default_rng(0).uniform(-0.5, 0.5, (1, *tensor.shape))
            yield Variant("Invoke alone, nothing fed", one_by_one(lambda _: held.invoke(held.subgraph)))
            step = _views(held, model)
            yield Variant(REFERENCE, one_by_one(step))
            yield Variant(REFERENCE + LATENCY, until_the_answer(step))
            if len(manifest.state) == 2 and not manifest.features:
                yield Variant("numpy views, flat, without a call", _flat_views(held, model))
        yield Variant("set_tensor, invoke, get_tensor", _public(model))
    if name == "onnxruntime" and not manifest.sequence:
        yield Variant("session.run", _session_run(model))


def _symbol(held: SignatureView) -> AnyArray:
    return held.tensors.get("symbol", np.zeros(1, np.int32))


def _views(held: SignatureView, model: Model) -> Callable[[int], AnyArray]:
    symbol, invoke, subgraph = _symbol(held), held.invoke, held.subgraph
    pairs = [(held.tensors[tensor.name], held.tensors[tensor.next]) for tensor in model.manifest.state]
    answer = held.tensors[model.manifest.answer]

    def step(id: int) -> AnyArray:
        symbol[0] = id
        invoke(subgraph)
        for state, following in pairs:
            state[:] = following
        return answer

    if len(pairs) != 2:
        return step
    (h, next_h), (c, next_c) = pairs

    def step_of_lstm(id: int) -> AnyArray:
        symbol[0] = id
        invoke(subgraph)
        h[:] = next_h
        c[:] = next_c
        return answer

    return step_of_lstm


def _flat_views(held: SignatureView, model: Model) -> Loop:
    """What is left to save by hand: arrays of one axis, and the loop around the step instead of a function."""
    symbol, invoke, subgraph = _symbol(held), held.invoke, held.subgraph
    (h, next_h), (c, next_c) = (
        (held.tensors[tensor.name].reshape(-1), held.tensors[tensor.next].reshape(-1))
        for tensor in model.manifest.state
    )

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


def _public(model: Model) -> Loop:
    interpreter = open_interpreter(model.pool.backend_name, model.file.payload)
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

    return one_by_one(step)


def _session_run(model: Model) -> Loop:
    from ..interpreters.onnx_backend import open_interpreter as open_session

    session: Any = open_session("onnxruntime", model.file.payload)
    features = {f.name: np.zeros((1, *f.shape), f.dtype) for f in model.manifest.features}
    state = model.initial_state()
    names = [model.manifest.answer, *(tensor.next for tensor in model.manifest.state)]

    def step(id: int) -> None:
        symbol = {"symbol": np.array([id], np.int32)} if len(model.vocabulary) else {}
        _, *following = session.run(names, {**symbol, **features, **state})
        state.update(zip(state, following, strict=True))

    return one_by_one(step)


MEMBERS, TOGETHER = 2_000, 64
SCORED = 2 * FEWEST  # symbols


def variants_of(model: Model, scored: int = SCORED) -> Iterator[Variant]:
    """Yield the ways to step `model` that this backend and file have, those by hand first.

    Args:
        model: The model.
        scored: How many symbols to score at a time.
    """
    yield from baselines(model)
    if model.manifest.features:
        return  # nothing below feeds them
    step_id, symbols = model.stream().step_id, model.vocabulary.symbols
    stream = model.stream()
    yield Variant("Stream.step_id", one_by_one(step_id))
    yield Variant("Stream.step", one_by_one(lambda number: stream.step(symbols[number])))
    yield Variant("Stream.step(...).symbol", one_by_one(lambda number: stream.step(symbols[number]).symbol))
    try:
        fast = model.stream(low_latency=True)
    except StepcellError:
        pass  # this file, or this interpreter, has one phase
    else:
        yield Variant(f"two phases{LATENCY}", until_the_answer(fast.step_id, fast.settle))
        expecting = model.stream(low_latency=True)
        yield Variant(f"two phases, as expected{LATENCY}", until_the_answer(*_as_expected(expecting)))
    bulk = model.stream()
    yield Variant("Stream.run, a symbol", all_at_once(lambda ids: bulk.run_ids(ids)))
    texts = [*symbols]
    yield Variant("Stream.absorb, a symbol", all_at_once(lambda ids: bulk.absorb([texts[id] for id in ids.tolist()])))
    streams = model.streams(TOGETHER)
    yield Variant(f"{TOGETHER} streams, one of them", _rows(streams.step_ids))
    yield Variant(f"fleet: {TOGETHER} of {MEMBERS:,}, one of them", _fleet(model.fleet(), symbols))
    if model.manifest.labels is None and model.manifest.output != "linear":
        stream_of_score = model.stream()
        yield Variant(
            "score in lanes, a symbol", all_at_once(lambda ids: score_ids(stream_of_score, ids)), symbols=scored
        )


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
