"""Traces have the outputs and states of stepping, and how far other ways to step are from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.models import RUNTIMES, answering, answers_of, path_of

from stepcell.runtime import load
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.worker.messages import RunSpec
from stepcell.runtime.worker.trace import trace_all


def spec_of(model, name, steps=150, **options):
    answers = answers_of(name)
    features = {name: array[:steps] for name, array in answers.features.items()}
    return RunSpec(Inputs(answers.ids[:steps], features), model.initial_state(), **options)


@pytest.mark.parametrize(("backend", "name"), RUNTIMES)
def test_a_carried_run_has_the_outputs_of_every_step_and_the_last_state(backend, name):
    model = load(path_of("lstm", name.split(".")[1]), backend=backend)
    spec = spec_of(model, "lstm")
    (found,) = trace_all(model, [spec])
    stream = model.stream()
    np.testing.assert_array_equal(found.probabilities, stream.run_ids(spec.inputs.ids))
    for name, array in stream.state.items():
        np.testing.assert_allclose(found.states[name], array, atol=1e-6)
    assert found.microseconds > 0


@pytest.mark.parametrize(
    ("backend", "format", "names"),
    [
        ("litert", "tflite", {"a batch"}),
        ("onnxruntime", "onnx", {"a batch"}),
        ("native", "onnx", {"two phases", "a batch"}),
        ("numpy", "onnx", set()),
    ],
)
def test_the_alternates_are_the_ways_of_the_interpreter_and_agree(backend, format, names):
    model = load(path_of("lstm", format), backend=backend)
    spec = spec_of(model, "lstm", after_reset=True)
    single = replace(spec, each=True, state={n: np.repeat(a, 150, axis=0) for n, a in spec.state.items()})
    carried, other, each = trace_all(model, [spec, spec, single])
    assert carried.alternates.keys() == other.alternates.keys() == names
    for alternate in carried.alternates.values():
        np.testing.assert_allclose(alternate.probabilities, carried.probabilities, atol=1e-5)
        for name, array in alternate.states.items():
            np.testing.assert_allclose(array, carried.states[name], atol=1e-5)
    assert each.alternates == {}


def test_single_steps_are_taken_each_from_its_own_state():
    model = load(path_of("wide"), backend="litert")
    carried = spec_of(model, "wide", 12)
    starts, stream = [], model.stream()
    expected = []
    for step, id in enumerate(carried.inputs.ids.tolist()):
        starts.append(stream.state)
        expected.append(stream.step(model.vocabulary.decode(id), carried.inputs.features_at(step)))
    states = {name: np.concatenate([state[name] for state in starts]) for name in starts[0]}
    order = np.arange(12)[::-1]
    inputs = Inputs(carried.inputs.ids[order], {n: array[order] for n, array in carried.inputs.features.items()})
    (found,) = trace_all(model, [RunSpec(inputs, {n: array[order] for n, array in states.items()}, each=True)])
    np.testing.assert_array_equal(found.probabilities[order], np.stack([one.values for one in expected]))
    for name, array in found.extra_outputs.items():
        np.testing.assert_array_equal(array[order], np.stack([one.outputs[name].values for one in expected]))
    for name, array in found.states.items():
        np.testing.assert_array_equal(array[order][:-1], states[name][1:])


def test_a_run_after_a_reset_starts_from_the_state_of_the_file():
    model = load(path_of("started"))
    spec = spec_of(model, "started", 5)
    elsewhere = {name: np.zeros_like(array) for name, array in spec.state.items()}
    given, reset, zeros = trace_all(
        model, [spec, replace(spec, state=elsewhere, after_reset=True), replace(spec, state=elsewhere)]
    )
    np.testing.assert_array_equal(given.probabilities, reset.probabilities)
    assert np.abs(zeros.probabilities - reset.probabilities).max() > 1e-3


KINDS = [("wide", "tflite", "float32"), ("lstm", "onnx", "float32"), ("lstm", "onnx", "sequence")]


@pytest.mark.parametrize(("name", "format", "precision"), KINDS)
def test_a_run_that_keeps_some_steps_makes_all_and_returns_these(name, format, precision):
    model = load(path_of(name, format, precision))
    whole = spec_of(model, name)
    steps = len(whole.inputs)
    single = replace(whole, each=True, state={n: np.repeat(a, steps, axis=0) for n, a in whole.state.items()})
    kept = np.array([step for step in (0, 1, 7, 99, 100, 120) if step < steps - 1] + [steps - 1], np.int32)
    pairs = zip(*(trace_all(model, [replace(s, kept=k) for s in (whole, single)]) for k in (None, kept)), strict=True)
    for every, some in pairs:
        np.testing.assert_array_equal(some.probabilities, every.probabilities[kept])
        assert some.states.keys() == every.states.keys()
        for tensor, array in some.states.items():
            np.testing.assert_array_equal(array, every.states[tensor])
        for output, array in some.extra_outputs.items():
            np.testing.assert_array_equal(array, every.extra_outputs[output][kept])
        for way, alternate in some.alternates.items():
            np.testing.assert_array_equal(alternate.probabilities, every.alternates[way].probabilities[kept])


def test_a_model_that_does_not_answer_at_each_step_is_traced_at_those_that_do(tmp_path):
    sparse = load(answering(tmp_path / "sparse.tflite", 3, 2, of="lstm"), backend="litert")
    plain, spec = load(path_of("lstm"), backend="litert"), spec_of(sparse, "lstm", 12)
    (whole,) = trace_all(plain, [spec])
    (found,) = trace_all(sparse, [replace(spec, kept=np.arange(2, 12, 2, dtype=np.int32))])
    np.testing.assert_array_equal(found.probabilities, whole.probabilities[2::2])
    (later,) = trace_all(
        sparse, [replace(spec, kept=np.arange(0, 12, 2, dtype=np.int32), seen=np.array([2], np.int32))]
    )
    np.testing.assert_array_equal(later.probabilities, whole.probabilities[::2])
    single = replace(spec, each=True, state={n: np.repeat(a, 12, axis=0) for n, a in spec.state.items()})
    seen = np.resize(np.array([1, 4], np.int32), 12)
    (each,) = trace_all(sparse, [replace(single, seen=seen, kept=np.arange(1, 12, 2, dtype=np.int32))])
    np.testing.assert_array_equal(each.probabilities, trace_all(plain, [single])[0].probabilities[1::2])
