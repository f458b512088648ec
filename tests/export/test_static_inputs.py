"""Inputs without a time axis beside the sequence are given once for each stream."""

import keras
import numpy as np
import pytest
from support.broken_export import break_export
from support.keras_models import with_random_weights

from stepcell.export import build_step_function, export
from stepcell.export.step_function.run import run_numpy
from stepcell.runtime import StateMismatchError, load
from stepcell.runtime.common.errors import NotSteppableError, ParityError
from stepcell.runtime.format.tensor_specs import Inputs

L = keras.layers
STEPS = 12


def sequence(steps=None):
    return keras.Input((steps, 4), name="x")


def user():
    return keras.Input((3,), name="user")


def repeated():
    x, u = sequence(STEPS), user()
    y = L.Concatenate()([x, L.RepeatVector(STEPS)(L.Dense(2, activation="tanh")(u))])
    return keras.Model([x, u], L.Dense(2)(L.GRU(5, return_sequences=True)(y)))


def tiled():
    x, u = sequence(STEPS), user()
    spread = keras.ops.tile(keras.ops.expand_dims(u, 1), (1, STEPS, 1))
    return keras.Model([u, x], L.Dense(2)(L.LSTM(5, return_sequences=True)(L.Concatenate()([spread, x]))))


def modulated():
    x, u = sequence(), user()
    gate = keras.ops.expand_dims(L.Dense(5, activation="sigmoid")(u), -2)
    return keras.Model([x, u], L.Dense(2)(L.LSTM(5, return_sequences=True)(x) * gate))


def joined_at_the_end():
    x, u, v = sequence(), user(), keras.Input((2,), name="place")
    scaled = L.Normalization(mean=[5.0, 60, 700], variance=[1.0, 100, 1e4])(u)
    return keras.Model([x, u, v], L.Dense(2)(L.Concatenate()([L.LSTM(5)(x), L.Dense(4)(scaled), v])))


def added_to_symbols():
    symbol, u = keras.Input((None,), dtype="int32", name="symbol"), user()
    y = L.Embedding(6, 4)(symbol) + L.Reshape((1, 4))(L.Dense(4)(u))
    return keras.Model({"symbol": symbol, "user": u}, L.Dense(6, activation="softmax")(L.GRU(5)(y)))


def nested():
    x, u = sequence(), user()
    inner = keras.Sequential([keras.Input((3,)), L.Dense(4, activation="relu"), L.Dense(3)])
    return keras.Model([x, u], L.Dense(2)(L.Concatenate()([L.GRU(5)(x), inner(u)])))


def conditioned():
    x, u = sequence(), user()
    start = [L.Dense(5, activation="tanh")(u), L.Dense(5)(u)]
    return keras.Model([x, u], L.Dense(2)(L.LSTM(5, return_sequences=True)(x, initial_state=start)))


MODELS = [repeated, tiled, modulated, joined_at_the_end, added_to_symbols, nested, conditioned]


def given_to_keras(model, inputs, static):
    """What Keras answers to the whole sequence at its last step, (K,)."""
    named = {**inputs, **static}
    found = np.asarray(model([named[tensor.name][np.newaxis] for tensor in model.inputs]))[0]
    return found if found.ndim == 1 else found[-1]


@pytest.mark.parametrize("build", MODELS)
def test_a_step_function_with_static_inputs_answers_as_keras(build):
    model = with_random_weights(build())
    step_function = build_step_function(model, values=build is not added_to_symbols, carried=True)
    random = np.random.default_rng(0)
    for _ in range(3):
        static = {t.name: random.normal(5, 20, t.shape).astype("f4") for t in step_function.state if t.given}
        if step_function.symbols:
            inputs = {"symbol": random.integers(0, 6, STEPS).astype("i4")}
            run = Inputs(inputs["symbol"])
        else:
            inputs = {"x": random.normal(size=(STEPS, 4)).astype("f4")}
            run = Inputs(np.zeros(STEPS, np.int32), inputs)
        start = {t.name: static.get(t.name, np.zeros(t.shape, np.float32))[np.newaxis] for t in step_function.state}
        (found,) = run_numpy(step_function, run, [start])
        np.testing.assert_allclose(found.probabilities[-1], given_to_keras(model, inputs, static), rtol=2e-5, atol=1e-6)
        for name, numbers in static.items():
            np.testing.assert_array_equal(found.states[name], np.repeat(numbers[np.newaxis], STEPS, axis=0))


@pytest.mark.slow
def test_files_with_static_inputs_are_proven_and_have_format_4(tmp_path):
    model = with_random_weights(joined_at_the_end())
    export(model, tmp_path, values=True, steps=200)
    x = np.random.default_rng(1).normal(size=(STEPS, 4)).astype("f4")
    static = {"user": np.array([4, 70, 650], "f4"), "place": np.array([0.5, -1], "f4")}
    for path in (tmp_path / "model.tflite", tmp_path / "model.onnx"):
        loaded = load(path)
        assert loaded.manifest.format == 4
        assert [(tensor.name, tensor.shape) for tensor in loaded.manifest.static] == [("user", (3,)), ("place", (2,))]
        found = loaded.stream(static=static).run(None, x)[-1]
        np.testing.assert_allclose(found, given_to_keras(model, {"x": x}, static), atol=2e-6)
        with pytest.raises(StateMismatchError, match="user is missing; place is missing"):
            loaded.stream()


@pytest.mark.slow
def test_a_window_with_static_inputs_answers_as_keras_on_each_window(tmp_path):
    x, u = sequence(4), user()
    y = L.LSTM(5)(L.Concatenate()([x, L.RepeatVector(4)(u)]))
    model = with_random_weights(keras.Model([x, u], L.Dense(2)(L.Concatenate()([y, L.Dense(4, activation="tanh")(u)]))))
    export(model, tmp_path, values=True, steps=200, formats=("tflite",))
    rows, static = np.random.default_rng(1).normal(size=(9, 4)).astype("f4"), np.array([1, -2, 0.5], "f4")
    found = load(tmp_path / "model.tflite").stream(static={"user": static}).run(None, rows)
    assert np.isnan(found[:3]).all()
    windows = np.stack([rows[end - 4 : end] for end in range(4, 10)])
    np.testing.assert_allclose(found[3:], model([windows, np.repeat(static[None], 6, 0)]), atol=2e-6)


@pytest.mark.slow
def test_a_state_that_begins_with_static_inputs_begins_so_after_each_reset(tmp_path):
    model = with_random_weights(conditioned())
    export(model, tmp_path, values=True, steps=200)
    x = np.random.default_rng(1).normal(size=(STEPS, 4)).astype("f4")
    static = {"user": np.array([1, -0.5, 2], "f4")}
    for path in (tmp_path / "model.tflite", tmp_path / "model.onnx"):
        stream = load(path).stream(static=static)
        for _ in range(2):
            np.testing.assert_allclose(stream.run(None, x)[-1], given_to_keras(model, {"x": x}, static), atol=2e-6)
            stream.reset()


def test_a_static_input_that_gets_lost_is_noticed(tmp_path, monkeypatch):
    model = with_random_weights(modulated())

    def forgetful(advance):
        def wrong(a, inputs, state):
            outputs, following = advance(a, inputs, state)
            return outputs, {**following, "user": state["user"] * 0.5}

        return wrong

    break_export(monkeypatch, "onnx", forgetful)
    with pytest.raises(ParityError, match="user"):
        export(model, tmp_path / "out", values=True, steps=200, formats=("onnx",))
    assert not (tmp_path / "out").exists()


def test_a_vector_beside_the_sequence_without_time_is_added_by_name():
    x, u = sequence(), user()
    with pytest.raises(NotSteppableError, match="static input"):
        build_step_function(keras.Model([x, u], L.LSTM(3, return_sequences=True)(x) + L.Dense(1)(u)), values=True)


def test_ids_of_a_static_input_are_refused_with_the_one_cause():
    symbol, who = keras.Input((None,), dtype="int32", name="symbol"), keras.Input((1,), dtype="int32", name="who")
    known = L.Flatten()(L.Embedding(5, 3)(who))
    y = L.Concatenate()([L.GRU(4)(L.Embedding(6, 4)(symbol)), known])
    with pytest.raises(NotSteppableError, match="its input 'who' holds an id that is the same at all") as caught:
        build_step_function(keras.Model([symbol, who], L.Dense(6, activation="softmax")(y)))
    assert str(caught.value).count("\n  - ") == 1


def test_a_model_with_static_inputs_has_no_graph_of_whole_sequences(tmp_path):
    with pytest.raises(NotSteppableError, match=r"it reads user \[3\] once for each stream"):
        export(with_random_weights(added_to_symbols()), tmp_path, sequence=True)


def test_static_inputs_are_no_part_of_a_start_state():
    from stepcell.export.prepare import prepare

    model = with_random_weights(modulated())
    with pytest.raises(StateMismatchError, match="user is none of its states"):
        prepare(model, values=True, initial_state={"h0": np.zeros(5), "c0": np.zeros(5), "user": np.zeros(3)})
    started = prepare(model, values=True, initial_state={"h0": np.ones(5), "c0": np.zeros(5)})
    assert [tensor.initial for tensor in started.step_function.state] == [1.0, 0.0, 0.0]
    with pytest.raises(StateMismatchError, match=r"reads static inputs \(user \[3\]\)"):
        prepare(with_random_weights(added_to_symbols()), warm_up="0")
