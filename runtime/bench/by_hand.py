"""The ways that people write by hand, on the bare interpreters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import thread_time_ns
from typing import Any

import numpy as np

from ..arrays import AnyArray, Ids
from ..held_signature import HeldSignature, can_hold
from ..model import Model
from ..ports import STEP
from ..tflite_backend import open_interpreter
from .way import REFERENCE, WAITED_FOR, Loop, Way, one_by_one, until_the_answer


def ways_by_hand(model: Model) -> Iterator[Way]:
    """Yield the ways to step the file of `model` without stepcell, on the interpreter that `model` runs on."""
    name, manifest = model._seat.backend_name, model.manifest
    if manifest.wiring is not None:
        return
    if name in ("litert", "tflite"):
        interpreter = open_interpreter(name, model.file.payload)
        if can_hold(interpreter):
            held = HeldSignature(interpreter, STEP)
            for array in held.tensors.values():
                array[...] = 0
            for tensor in manifest.state:  # from zeros some kernels are many times faster than they ever are in use
                held.tensors[tensor.name][...] = np.random.default_rng(0).uniform(-0.5, 0.5, (1, *tensor.shape))
            yield Way("Invoke alone, nothing fed", one_by_one(lambda _: held.invoke(held.subgraph)))
            step = _views(held, model)
            yield Way(REFERENCE, one_by_one(step))
            yield Way(REFERENCE + WAITED_FOR, until_the_answer(step))
            if len(manifest.state) == 2 and not manifest.features:
                yield Way("numpy views, flat, without a call", _flat_views(held, model))
        yield Way("set_tensor, invoke, get_tensor", _public(model))
    if name == "onnxruntime" and not manifest.sequence:
        yield Way("session.run", _session_run(model))


def _symbol(held: HeldSignature) -> AnyArray:
    return held.tensors.get("symbol", np.zeros(1, np.int32))


def _views(held: HeldSignature, model: Model) -> Callable[[int], AnyArray]:
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


def _flat_views(held: HeldSignature, model: Model) -> Loop:
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

    return one_by_one(step)


def _session_run(model: Model) -> Loop:
    from ..onnxruntime_backend import open_interpreter as open_session

    session: Any = open_session("onnxruntime", model.file.payload)
    features = {f.name: np.zeros((1, *f.shape), f.dtype) for f in model.manifest.features}
    state = model.initial_state()
    names = [model.manifest.answer, *(tensor.next for tensor in model.manifest.state)]

    def step(id: int) -> None:
        symbol = {"symbol": np.array([id], np.int32)} if len(model.vocabulary) else {}
        _, *following = session.run(names, {**symbol, **features, **state})
        state.update(zip(state, following, strict=True))

    return one_by_one(step)
