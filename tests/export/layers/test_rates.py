"""Layers with strides and with padding="valid": a step answers when Keras's whole sequence has an answer for it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support.broken_export import expected_of, prove
from support.keras_models import SYMBOLS, with_random_weights
from support.layer_rules import model_around, run_rule_test

from stepcell.export import NotSteppableError, ParityError, build_step_function, export
from stepcell.export.model_files import build_file
from stepcell.export.prepare import describe_past, prepare
from stepcell.export.step_function import clock, plan, rates
from stepcell.export.step_function.run import run_numpy
from stepcell.runtime.format.tensor_specs import AnswerTimes, Inputs
from stepcell.runtime.interpreters.base import initial_state

L = keras.layers
SEQUENCES, SOFTMAX = {"return_sequences": True}, {"activation": "softmax"}


def series(*layers):
    def body(x):
        for layer in layers:
            x = layer(x)
        return x

    return body


def branches(one, other):
    return lambda x: L.GRU(3, **SEQUENCES)(L.Concatenate()([series(*one)(x), series(*other)(x)]))


# Layers -> the first step that answers, and from one to the next.
RATES = {
    "Conv1D causal": (lambda: L.Conv1D(4, 3, strides=2, padding="causal"), (1, 2)),
    "Conv1D valid": (lambda: L.Conv1D(4, 3, dilation_rate=2), (5, 1)),
    "Conv1D valid with strides": (lambda: L.Conv1D(4, 3, strides=2), (3, 2)),
    "Conv1D after some zeros": (lambda: series(L.ZeroPadding1D((1, 0)), L.Conv1D(4, 3, strides=2)), (2, 2)),
    "Conv1D of one step": (lambda: L.Conv1D(4, 1, strides=3, padding="same"), (1, 3)),
    "DepthwiseConv1D": (lambda: L.DepthwiseConv1D(2, strides=3), (2, 3)),
    "SeparableConv1D": (lambda: series(L.ZeroPadding1D((2, 0)), L.SeparableConv1D(4, 3, strides=2)), (1, 2)),
    "MaxPooling1D": (lambda: L.MaxPooling1D(3), (3, 3)),
    "AveragePooling1D": (lambda: L.AveragePooling1D(2, strides=1), (2, 1)),
    "Cropping1D": (lambda: L.Cropping1D((3, 0)), (4, 1)),
    "a chain": (
        lambda: series(
            L.Conv1D(4, 3, strides=2), L.LayerNormalization(), L.GRU(4, **SEQUENCES), L.MaxPooling1D(2),
            L.Conv1D(4, 2, padding="causal"), L.Dropout(0.5), L.LSTM(3, **SEQUENCES),
        ),
        (5, 4),
    ),
    "the last answer": (lambda: series(L.AveragePooling1D(2), L.LSTM(4, **SEQUENCES), L.GRU(3)), (2, 2)),
    "zeros behind strides": (
        lambda: series(L.MaxPooling1D(2), L.ZeroPadding1D((2, 0)), L.Conv1D(4, 3), L.SimpleRNN(3, **SEQUENCES)),
        (2, 2),
    ),
    "branches of one rate": (
        lambda: branches([L.Conv1D(3, 2, strides=2), L.Conv1D(3, 2)], [L.MaxPooling1D(2), L.AveragePooling1D(2, 1)]),
        (4, 2),
    ),
    "masked steps behind strides": (
        lambda: series(L.AveragePooling1D(2), L.ReLU(), L.Masking(0.0), L.GRU(2, **SEQUENCES), L.LSTM(3, **SEQUENCES)),
        (2, 2),
    ),
    "Conv2D": (
        lambda: series(
            L.Reshape((-1, 6, 1)), L.Conv2D(3, (3, 2), strides=(2, 1)), L.DepthwiseConv2D((1, 3), strides=1),
            L.Cropping2D(((1, 0), (1, 0))), L.MaxPooling2D((2, 2)), L.Reshape((-1, 3)), L.GRU(3, **SEQUENCES),
        ),
        (7, 4),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RATES)
def test_a_layer_answers_when_keras_does(name):
    body, times = RATES[name]
    assert run_rule_test(model_around(body())).answers == AnswerTimes(*times)


def test_all_rates_of_a_model_are_counted_by_one_state():
    step_function = build_step_function(model_around(RATES["a chain"][0]()))
    assert [tensor.name for tensor in step_function.state] == [
        "past0",
        "past1",
        "h2",
        "past3",
        "past4",
        "h5",
        "c5",
        "phase",
    ]
    assert step_function.state[-1].shape == (1,)


def test_a_state_behind_strides_stays_between_two_answers():
    step_function = build_step_function(model_around(series(L.MaxPooling1D(4), L.GRU(3, **SEQUENCES))))
    ids = np.arange(12, dtype=np.int32) % SYMBOLS
    h = run_numpy(step_function, Inputs(ids), [initial_state(step_function.state)])[0].states["h2"]
    moves = [bool((after != before).any()) for before, after in zip([h[0] * 0, *h], h, strict=False)]
    assert moves == [step % 4 == 3 for step in range(12)]


def refusal(body):
    source = keras.Input((None,), dtype="int32")
    with pytest.raises(NotSteppableError) as caught:
        build_step_function(keras.Model(source, body(L.Embedding(SYMBOLS, 6)(source))))
    return str(caught.value)


def answer(x):
    return L.Dense(SYMBOLS, **SOFTMAX)(x)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            lambda x: answer(L.GRU(3)(L.Add(name="sum")([L.AveragePooling1D(3, 1)(x), L.Cropping1D((1, 1))(x)]))),
            "cuts 1 steps off the end",
        ),
        (
            lambda x: answer(L.Add(name="sum")([L.GRU(3)(L.MaxPooling1D(2)(x)), L.GRU(3)(x)])),
            "sum (Add): its inputs are there at different steps: every 2 steps from step 2 on and every step; give",
        ),
        (
            lambda x: [answer(L.GRU(3)(x)), answer(L.GRU(3)(L.Conv1D(4, 3)(x)))],
            "its outputs are there at different steps: every step and every step from step 3 on",
        ),
        (lambda x: answer(L.GRU(3)(L.MaxPooling1D(2, padding="same")(x))), "padding is 'same'"),
        (lambda x: answer(L.GRU(3)(L.Conv1D(3, 2, padding="same", strides=2)(x))), "use padding='causal'"),
        (
            lambda x: answer(L.GRU(3)(L.Conv1D(3, 2)(L.ZeroPadding1D((2, 0))(x)))),
            "2 zeros before the sequence its output begins before the first step",
        ),
        (
            lambda x: answer(
                L.GRU(3)(L.Reshape((-1, 6))(L.Conv2D(1, (3, 1), padding="same")(L.Reshape((-1, 6, 1))(x))))
            ),
            "put ZeroPadding2D(((2, 0), (0, 0))) before it",
        ),
        (lambda x: answer(L.GRU(3)(L.UpSampling1D(2)(x))), "several time steps of one"),
        (lambda x: answer(L.GRU(3)(L.MaxPooling1D(97)(L.MaxPooling1D(89)(x)))), "together at most 4096"),
    ],
)
def test_what_has_no_rate_that_a_step_can_follow_is_refused_with_its_cause(body, reason):
    assert reason in refusal(body)


@pytest.mark.slow
def test_a_static_input_joins_at_the_steps_that_answer(device, tmp_path):
    source, user = keras.Input((None, 4), name="x"), keras.Input((3,), name="user")
    joined = L.Concatenate()([L.Dense(2)(user), L.GRU(3)(L.Conv1D(4, 3, strides=2)(source))])
    prepared = prepare(with_random_weights(keras.Model([source, user], answer(joined))))
    assert prepared.manifest.answers == AnswerTimes(3, 2)
    built = build_file(prepared, "onnx", "float32", tmp_path)
    assert max(parity.error for parity in prove(built, expected_of(prepared, steps=100), device).parity) <= 1e-5


@pytest.fixture(scope="module")
def rated():
    body = series(L.Conv1D(4, 3, strides=2), L.GRU(4, **SEQUENCES), L.MaxPooling1D(2), L.LSTM(3, **SEQUENCES))
    return model_around(body)


@pytest.mark.slow
def test_a_file_of_rates_is_proven(rated, device, tmp_path):
    prepared = prepare(rated)
    assert prepared.manifest.answers == AnswerTimes(5, 4)
    assert prepared.manifest.format == 4
    assert describe_past(prepared.step_function).endswith("it answers at every 4th step, first at step 5")
    built = build_file(prepared, "tflite", "float32", tmp_path)
    proven = prove(built, expected_of(prepared, steps=300), device).parity
    assert max(parity.error for parity in proven) <= 1e-5
    assert {parity.compared for parity in proven if parity.start == "initial"} == {74}


class Late(clock.Clock):
    """A clock whose ticks come a step late."""

    def run(self, a, state):
        ticks, following = super().run(a, state)
        return {rate: a.constant(np.ones((1, 1), np.float32)) - tick for rate, tick in ticks.items()}, following


def never_held(self, a, values, state, tick=None):
    return RUN(self, a, values, state, None)


RUN = plan.Node.run


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        (plan, "Clock", Late),
        (plan.Node, "run", never_held),
        (rates, "composed", lambda outer, inner: outer),
    ],
    ids=["phase off by one", "state not held", "rates not composed"],
)
def test_a_wrong_rate_is_noticed(owner, name, wrong, rated, monkeypatch):
    monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(ParityError):
        expected_of(prepare(rated), steps=200)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [(plan, "Clock", Late), (plan.Node, "run", never_held)],
    ids=["phase off by one", "state not held"],
)
def test_a_file_with_a_wrong_rate_is_refused(owner, name, wrong, rated, device, tmp_path, monkeypatch):
    expected = expected_of(prepare(rated), steps=100)
    monkeypatch.setattr(owner, name, wrong)
    broken = build_file(prepare(rated), "onnx", "float32", tmp_path)
    with pytest.raises(ParityError):
        prove(broken, expected, device)


@pytest.mark.slow
def test_rates_over_frequency_in_a_file_equal_keras_on_every_interpreter(tmp_path):
    frames = keras.Input((None, 8))
    y = L.ZeroPadding2D(((2, 0), (1, 1)))(L.Reshape((-1, 8, 1))(frames))
    y = L.BatchNormalization()(L.Conv2D(4, (3, 3), strides=(2, 2), activation="relu")(y))
    y = L.AveragePooling2D((1, 2), padding="same")(L.DepthwiseConv2D((3, 3), depth_multiplier=2)(y))
    y = L.SeparableConv2D(6, (1, 1), padding="same")(y)
    y = L.GRU(5, **SEQUENCES)(L.Reshape((-1, y.shape[2] * y.shape[3]))(y))
    model = with_random_weights(keras.Model(frames, L.Dense(3, **SOFTMAX)(y)))
    exported = export(model, tmp_path, steps=300, quantize=["float16", "int8"])
    assert {parity.backend for parity in exported.parity} - {"native"} == {"litert", "tflite", "onnxruntime"}
    assert max(parity.error for parity in exported.parity if parity.quantization == "float32") <= 1e-5
