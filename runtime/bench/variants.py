"""The variants of stepping a model file: baselines that people write without stepcell, and ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns
from typing import Any, TypeAlias

import numpy as np

from ..common.arrays import AnyArray, Ids
from ..common.errors import StepcellError
from ..format.tensor_specs import EVERY_STEP, STEP
from ..interpreters.tflite_backend import open_interpreter
from ..interpreters.tflite_signature import SignatureView, open_view
from ..streams.fleet import Fleet
from ..streams.model import Model
from ..streams.stream import Stream
from ..tasks.lanes import FEWEST
from ..tasks.score import score_ids
from ..worker.measure import blank_features

# Takes ids (T,), returns nanoseconds in all and how many symbols they were.
Loop: TypeAlias = Callable[[Ids], tuple[int, int]]

# All ratios are to this: the shortest code that people write by hand. A function of the id that copies the next state
# over the state, in the arrays of the interpreter, and returns the output.
REFERENCE = "numpy views and Invoke"
LATENCY = ": until the answer"  # ends the name of a variant whose figure is the time until the output of each call
MEMBERS, TOGETHER = 2_000, 64
SCORED = 2 * FEWEST  # symbols


@dataclass(frozen=True)
class Variant:
    """One way to step.

    Attributes:
        name: Its name in the table.
        loop: Takes the steps.
        symbols: How many symbols it takes at a time; more if something has to be amortised.
    """

    name: str
    loop: Loop
    symbols: int = 2000


def reference_of(name: str) -> str:
    """Return the name of the variant that the ratio of the variant `name` is to."""
    return REFERENCE + LATENCY if name.endswith(LATENCY) else REFERENCE


def timed(
    step: Callable[[Any], Any], arguments: Callable[[Ids], list[Any]] = lambda ids: ids.tolist(), *, each: int = 0
) -> Loop:
    """Return the loop that measures the processor time of calls of `step`.

    Args:
        step: The function to call.
        arguments: Makes the arguments of the calls from ids, before the time starts; by default each id is one.
        each: How many symbols a call takes; 0: all calls together take all ids.
    """

    def loop(ids: Ids) -> tuple[int, int]:
        calls = arguments(ids)
        start = thread_time_ns()
        for call in calls:
            step(call)
        return thread_time_ns() - start, each * len(calls) or len(ids)

    return loop


def timed_at_once(run: Callable[[Ids], Any]) -> Loop:
    """Return the loop that measures the processor time of one call of `run` with all ids."""
    return timed(run, lambda ids: [ids])


def timed_until_answer(step: Callable[[int], Any], afterwards: Callable[[], object] = lambda: None) -> Loop:
    """Return the loop that measures the latency of each call of `step`, without the call of `afterwards` after it.

    It gives the median, without the time of reading the clock.
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
    """Yield the variants without stepcell, for the file and the interpreter of `model`."""
    name, manifest = model.pool.backend_name, model.manifest
    if manifest.io_mapping is not None:
        return
    if name in ("litert", "tflite"):
        interpreter = open_interpreter(name, model.file.payload)
        if (view := open_view(interpreter, STEP)) is not None:
            for array in view.tensors.values():
                array[...] = 0
            for tensor in manifest.state:  # from zeros some kernels are many times faster than in use
                view.tensors[tensor.name][...] = np.random.default_rng(0).uniform(-0.5, 0.5, (1, *tensor.shape))
            yield Variant("Invoke alone, nothing fed", timed(lambda _: view.invoke(view.subgraph)))
            step = _views(view, model)
            yield Variant(REFERENCE, timed(step))
            yield Variant(REFERENCE + LATENCY, timed_until_answer(step))
            if len(manifest.state) == 2 and not manifest.features:
                yield Variant("numpy views, flat, without a call", _flat_views(view, model))
        yield Variant("set_tensor, invoke, get_tensor", timed(_public_step(model)))
    if name == "onnxruntime" and not manifest.sequence:
        yield Variant("session.run", timed(_session_step(model)))


def _symbol(view: SignatureView) -> AnyArray:
    return view.tensors.get("symbol", np.zeros(1, np.int32))


def _views(view: SignatureView, model: Model) -> Callable[[int], AnyArray]:
    symbol, invoke, subgraph = _symbol(view), view.invoke, view.subgraph
    pairs = [(view.tensors[tensor.name], view.tensors[tensor.next]) for tensor in model.manifest.state]
    answer = view.tensors[model.manifest.answer]

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


def _flat_views(view: SignatureView, model: Model) -> Loop:
    """Return the fastest loop by hand: arrays of one axis, and no function for a step."""
    symbol, invoke, subgraph = _symbol(view), view.invoke, view.subgraph
    (h, next_h), (c, next_c) = (
        (view.tensors[tensor.name].reshape(-1), view.tensors[tensor.next].reshape(-1))
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


def _public_step(model: Model) -> Callable[[int], None]:
    interpreter = open_interpreter(model.pool.backend_name, model.file.payload)
    signature = interpreter._get_full_signature_list()[STEP]
    inputs, outputs = signature["inputs"], signature["outputs"]
    features, state = _blank_batch(model), model.initial_state()

    def step(id: int) -> None:
        if "symbol" in inputs:
            interpreter.set_tensor(inputs["symbol"], np.array([id], np.int32))
        for name, array in {**features, **state}.items():
            interpreter.set_tensor(inputs[name], array)
        interpreter.invoke()
        interpreter.get_tensor(outputs[model.manifest.answer])
        for name in state:
            state[name] = interpreter.get_tensor(outputs[f"next_{name}"])

    return step


def _session_step(model: Model) -> Callable[[int], None]:
    from ..interpreters.onnx_backend import open_interpreter as open_session

    session: Any = open_session("onnxruntime", model.file.payload)
    features, state = _blank_batch(model), model.initial_state()
    names = [model.manifest.answer, *(tensor.next for tensor in model.manifest.state)]

    def step(id: int) -> None:
        symbol = {"symbol": np.array([id], np.int32)} if len(model.vocabulary) else {}
        _, *following = session.run(names, {**symbol, **features, **state})
        state.update(zip(state, following, strict=True))

    return step


def _blank_batch(model: Model) -> dict[str, AnyArray]:
    return {name: array[np.newaxis] for name, array in (blank_features(model.manifest) or {}).items()}


def variants_of(model: Model, scored: int = SCORED) -> Iterator[Variant]:
    """Yield the variants that this backend and file have, the baselines first.

    Args:
        model: The model.
        scored: How many symbols to score at a time.
    """
    yield from baselines(model)
    if model.manifest.features:
        return  # nothing below feeds them
    symbols, stream = model.vocabulary.symbols, model.stream()
    yield Variant("Stream.step_id", timed(model.stream().step_id))
    yield Variant("Stream.step", timed(lambda number: stream.step(symbols[number])))
    if model.manifest.answers == EVERY_STEP:
        yield Variant("Stream.step(...).symbol", timed(lambda number: stream.step(symbols[number]).symbol))
    try:
        fast = model.stream(low_latency=True)
    except StepcellError:
        pass  # this file, or this interpreter, has one phase
    else:
        yield Variant(f"two phases{LATENCY}", timed_until_answer(fast.step_id, fast.settle))
        expecting = model.stream(low_latency=True)
        yield Variant(f"two phases, as expected{LATENCY}", timed_until_answer(*_as_expected(expecting)))
    bulk = model.stream()
    yield Variant("Stream.run, a symbol", timed_at_once(bulk.run_ids))
    yield Variant("Stream.absorb, a symbol", timed_at_once(lambda ids: bulk.absorb([symbols[i] for i in ids.tolist()])))
    streams = model.streams(TOGETHER)
    yield Variant(f"{TOGETHER} streams, one of them", timed(streams.step_ids, _rows, each=TOGETHER))
    yield Variant(f"fleet: {TOGETHER} of {MEMBERS:,}, one of them", _fleet(model.fleet(), symbols))
    if model.manifest.labels is None and model.manifest.output != "linear":
        scoring = model.stream()
        yield Variant("score in lanes, a symbol", timed_at_once(lambda ids: score_ids(scoring, ids)), symbols=scored)


def _as_expected(stream: Stream) -> tuple[Callable[[int], Any], Callable[[], object]]:
    """Return a step that feeds the likeliest symbol of the last output, whatever its id, and the call after it."""
    step_id, settle, expected = stream.step_id, stream.settle, 0

    def step(id: int) -> None:
        step_id(expected)

    def afterwards() -> None:
        nonlocal expected
        settle()
        if stream.prediction is not None:
            expected = stream.prediction.id

    return step, afterwards


def _rows(ids: Ids) -> list[Any]:
    """Return ids for `TOGETHER` streams, (TOGETHER,) for each call."""
    return [np.resize(ids[first:], TOGETHER) for first in range(0, len(ids), 8)]


def _fleet(fleet: Fleet, symbols: tuple[str, ...]) -> Loop:
    keys = [f"member {number}" for number in range(MEMBERS)]
    fleet.step(dict.fromkeys(keys, symbols[0]))

    def calls(ids: Ids) -> list[Any]:
        random = np.random.default_rng(0)
        chosen = ((random.choice(MEMBERS, TOGETHER, replace=False), row) for row in _rows(ids))
        return [{keys[key]: symbols[id] for key, id in zip(*pair, strict=True)} for pair in chosen]

    return timed(fleet.step, calls, each=TOGETHER)
