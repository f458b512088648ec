"""Any causal model of known layers: Keras on the whole sequence == one symbol at a time == absorbed in chunks."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.architectures import KINDS, difference_of_ways

from stepcell.export import build_step_function, export
from stepcell.export.step_function.run import run_numpy
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.interpreters.base import initial_state

TOLERANCE = 1e-5
UNTIMED = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, derandomize=True, **UNTIMED)  # benchmarks/architectures.py draws others
@given(data=st.data())
def test_any_causal_architecture_steps_as_keras_runs_it(kind, data):
    model = KINDS[kind](lambda options: data.draw(st.sampled_from(options)))
    step_function = build_step_function(model)
    times, drawn = step_function.answers, st.integers(0, step_function.symbols - 1)
    ids = np.array(data.draw(st.lists(drawn, min_size=12, max_size=12)), np.int32)
    ids = np.resize(ids, max(12, times.first + 2 * times.every))
    if step_function.window is None:
        whole = np.asarray(model(ids[None], training=False))[0]
    else:
        windows = np.lib.stride_tricks.sliding_window_view(ids, times.first)
        whole = np.asarray(model(windows.copy(), training=False))
    whole = softmax(whole) if step_function.main.from_logits else whole
    cut = data.draw(st.integers(1, len(ids) - 1))
    first = run_numpy(step_function, Inputs(ids[:cut]), [initial_state(step_function.state)])[0]
    taken_out = {name: array[-1:] for name, array in first.states.items()}
    second = run_numpy(step_function, Inputs(ids[cut:]), [taken_out])[0]
    stepped = np.concatenate([first.probabilities, second.probabilities])
    answers = stepped[times.first - 1 :: times.every]
    assert np.abs(answers - whole if whole.ndim == 2 else answers[-1] - whole).max() < TOLERANCE


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=2, derandomize=True, **UNTIMED)
@given(data=st.data())
def test_any_causal_architecture_in_a_file_answers_alike_in_every_way_on_every_interpreter(kind, data):
    model = KINDS[kind](lambda options: data.draw(st.sampled_from(options)))
    with tempfile.TemporaryDirectory() as folder:
        exported = export(model, folder, steps=100)
        assert len([parity for parity in exported.parity if parity.backend != "native"]) == 9
        ids = np.random.default_rng(1).integers(0, build_step_function(model).symbols, 90)
        cut = data.draw(st.integers(1, len(ids) - 1))
        tflite, onnx, _ = exported.files
        for path, backend in [(tflite, "litert"), (tflite, "tflite"), (onnx, "onnxruntime")]:
            assert difference_of_ways(path, backend, ids, cut) < TOLERANCE
