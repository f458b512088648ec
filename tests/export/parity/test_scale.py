"""Differences are measured on the scale of each number: right files pass and faults are found, from 1e-6 to 1e6."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import keras
import numpy as np
import pytest
from support.broken_export import expected_of, miswired

from stepcell.export import build_step_function
from stepcell.export.ops import RoundedOps
from stepcell.export.parity.check import compare
from stepcell.export.parity.parity import EACH
from stepcell.export.parity.rounding import limits_of
from stepcell.export.parity.scale import scale_of
from stepcell.export.prepare import prepare
from stepcell.export.step_function.run import as_mapping, run_numpy
from stepcell.runtime.worker.messages import RunResult

L = keras.layers
SCALES = [
    pytest.param(scale, marks=() if scale in (1e-6, 1e6) else pytest.mark.slow) for scale in 10.0 ** np.arange(-6, 7, 3)
]


def large_answers(scale):
    """A meter: the answers are as large as `scale`, the states are not."""
    layers = [L.LSTM(6, return_sequences=True), L.Dense(2), L.Rescaling(scale, offset=3 * scale)]
    return _seeded(keras.Sequential([keras.Input((None, 2)), *layers]))


def large_states(scale):
    """A leaky sum: states and answers are as large as `scale`."""
    layers = [L.SimpleRNN(6, activation="linear", return_sequences=True), L.Dense(2)]
    model = _seeded(keras.Sequential([keras.Input((None, 2)), *layers]))
    kernel, recurrent, bias, *head = model.get_weights()
    model.set_weights([kernel * scale, recurrent * 0.9, bias * scale, head[0], head[1] * scale])
    return model


def _seeded(model):
    random = np.random.default_rng(5)
    model.set_weights([random.normal(0, 0.5, w.shape).astype("f4") if w.ndim == 1 else w for w in model.get_weights()])
    return model


MODELS = {"answers": large_answers, "states": large_states}


@cache
def expected(kind, scale):
    keras.utils.set_random_seed(1)
    model = MODELS[kind](scale)
    return model, expected_of(prepare(model, values=True), steps=120)


def found_with(expected_runs, step_function, start):
    """The result of stepping the run `start` with another step function, in float32."""
    spec = expected_runs.runs[start].spec
    if start != EACH:
        found = run_numpy(step_function, spec.inputs, [spec.state], np.float32)[0]
        return replace(found, states={name: array[-1:] for name, array in found.states.items()})
    outputs, after = step_function.advance(RoundedOps(), as_mapping(spec.inputs), spec.state)
    return RunResult(outputs["values"], after)


def is_noticed(expected_runs, step_function):
    return [
        not compare(expected_runs, start, found_with(expected_runs, step_function, start), "litert", "tflite").holds
        for start in expected_runs.runs
    ]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", MODELS)
def test_a_right_file_passes_and_faults_are_found_at_every_scale(kind, scale):
    model, runs = expected(kind, scale)
    assert is_noticed(runs, runs.step_function) == [False, False, False]
    for index, weights in enumerate(model.get_weights()):
        for change in (1e-3, None):  # a weight off by a thousandth, a bias that is missed
            if change is None and weights.ndim != 1:
                continue
            wrong = [array.copy() for array in model.get_weights()]
            wrong[index] = wrong[index] * 0 if change is None else wrong[index]
            largest = np.unravel_index(np.abs(weights).argmax(), weights.shape)
            if change is not None:
                wrong[index][largest] *= 1 + change
            other = keras.models.clone_model(model)
            other.set_weights(wrong)
            assert any(is_noticed(runs, build_step_function(other, values=True))), (index, change)
    faults = [
        "never fed back",
        "reset at every step",
        *(["h and c swapped", "only h fed back"] if kind == "answers" else []),
    ]
    for fault in faults:
        advance = miswired(runs.step_function.advance, fault)
        assert any(is_noticed(runs, replace(runs.step_function, advance=advance))), fault


def test_each_number_of_a_tensor_has_a_scale_of_its_own():
    values = np.array([[0.0, 5e4, 7.0], [2.0, 6e4, 7.0]])
    scale = scale_of(values, np.array([0.0, 0.05, 0.0]))
    assert scale.fine[:2] == pytest.approx([2.0, 5e4])
    assert 0 < scale.fine[2] < 1  # it does not change, so its rounding is its scale
    assert scale_of(values / 1e5, bounded=True).fine.tolist() == [1, 1, 1]


def test_a_carried_run_proves_nothing_from_where_rounding_alone_is_beyond_the_tolerance():
    errors = np.array([1e-7, 3e-6, 2e-6, 5e-5, 1e-7])
    limits = limits_of({"values": errors}, {"next_h0": errors[-2:]}, np.arange(5), 5)
    assert limits["values"].tolist() == pytest.approx([1e-5, 3e-5, 3e-5, np.inf, np.inf])
    assert np.isinf(limits["next_h0"]).all()
