"""Recurrent layers and whole models, stepped in float64 numpy, equal Keras on the whole sequence from any state."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.keras_models import sharp_model

from stepcell.export import build_step_function
from stepcell.export.ops import NumpyOps
from stepcell.export.parity.reference import KerasReference
from stepcell.export.step_function.run import run_numpy
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.interpreters.base import initial_state

L = keras.layers
TOLERANCE = 2e-5  # Keras computes in float32


def stepped_equals_whole(model, *, one_hot=False, steps=120):
    step_function = build_step_function(model, one_hot=one_hot)
    reference = KerasReference(model, step_function)
    random = np.random.default_rng(3)
    inputs = Inputs(random.integers(0, step_function.symbols, steps, dtype=np.int32))
    for scale in (0.0, 0.8):
        state = {
            n: scale * random.normal(size=a.shape).astype("f4") for n, a in initial_state(step_function.state).items()
        }
        whole, stepped = reference.run(inputs, state), run_numpy(step_function, inputs, [state])[0]
        assert np.abs(whole.probabilities - stepped.probabilities).max() < TOLERANCE
        for name, array in whole.states.items():
            assert np.abs(array[-1] - stepped.states[name][-1]).max() < TOLERANCE
    return step_function


def model_of(*layers, symbols=6):
    random = np.random.default_rng(2)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    model.set_weights([random.normal(0, 0.5, w.shape).astype("f4") for w in model.get_weights()])
    return model


SEQUENCES = {"return_sequences": True}
SOFTMAX = {"activation": "softmax"}


@pytest.mark.parametrize(
    "layer",
    [
        L.LSTM(5, **SEQUENCES),
        L.LSTM(5, use_bias=False, **SEQUENCES),
        L.LSTM(5, activation="relu", recurrent_activation="hard_sigmoid", **SEQUENCES),
        L.LSTM(5, dropout=0.3, recurrent_dropout=0.3, **SEQUENCES),
        L.GRU(5, **SEQUENCES),
        L.GRU(5, use_bias=False, **SEQUENCES),
        L.GRU(5, reset_after=False, **SEQUENCES),
        L.GRU(5, reset_after=False, use_bias=False, **SEQUENCES),
        L.GRU(5, activation="linear", recurrent_activation="hard_sigmoid", reset_after=False, **SEQUENCES),
        L.SimpleRNN(5, **SEQUENCES),
        L.SimpleRNN(5, activation="sigmoid", use_bias=False, **SEQUENCES),
    ],
    ids=lambda layer: f"{layer.name}",
)
def test_a_recurrent_layer_steps_as_keras_runs_it(layer):
    stepped_equals_whole(model_of(L.Embedding(6, 4), layer, L.Dense(6, **SOFTMAX)), steps=40)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_stacked_layers_step_as_keras_runs_them(cell, layers):
    stepped_equals_whole(sharp_model(cell, layers))


def test_layers_that_act_in_training_alone_do_nothing():
    layers = [L.Embedding(6, 4), L.SpatialDropout1D(0.5), L.GaussianNoise(1.0), L.LSTM(5, **SEQUENCES), L.Dropout(0.5)]
    stepped_equals_whole(model_of(*layers, L.GaussianDropout(0.5), L.Dense(6, **SOFTMAX)))


def test_dense_layers_and_activations_may_stand_anywhere():
    layers = [L.Embedding(6, 4), L.Dense(7, activation="relu"), L.Activation("tanh"), L.GRU(5, **SEQUENCES)]
    stepped_equals_whole(model_of(*layers, L.Dense(9, activation="tanh"), L.SimpleRNN(5), L.Dense(6, **SOFTMAX)))


def test_a_one_hot_layer_is_a_lookup():
    layers = [L.CategoryEncoding(6, output_mode="one_hot"), L.LSTM(5, **SEQUENCES), L.Dense(6, **SOFTMAX)]
    stepped_equals_whole(model_of(*layers))


def test_a_one_hot_input_is_stepped_by_id():
    stepped_equals_whole(sharp_model("lstm", 1, embedding=0), one_hot=True)


def test_an_embedding_before_a_cell_is_folded_into_one_table():
    gathered = []

    class Spy(NumpyOps):
        def gather(self, table, ids):
            gathered.append(table.shape)
            return super().gather(table, ids)

    step_function = build_step_function(sharp_model("lstm", 1, units=12, symbols=7))
    step_function.advance(Spy(), {"symbol": np.array([0])}, initial_state(step_function.state))
    assert gathered == [(7, 48)]


def test_an_embedding_whose_folded_table_would_bloat_the_file_stays():
    layers = [L.Embedding(3000, 8), L.LSTM(100, **SEQUENCES), L.Dense(6, **SOFTMAX)]
    stepped_equals_whole(keras.Sequential([keras.Input((None,), dtype="int32"), *layers]), steps=30)


def test_logits_get_their_softmax():
    step_function = stepped_equals_whole(model_of(L.Embedding(6, 4), L.LSTM(5, **SEQUENCES), L.Dense(6)))
    assert (step_function.main.activation, step_function.main.from_logits) == ("softmax", True)


def test_a_sigmoid_output_stays_a_sigmoid():
    step_function = stepped_equals_whole(model_of(L.Embedding(6, 4), L.LSTM(5), L.Dense(1, activation="sigmoid")))
    assert (step_function.main.activation, step_function.outputs) == ("sigmoid", 1)


def test_a_stateful_model_keeps_the_state_it_carries():
    embedding, lstm, dense = L.Embedding(6, 4), L.LSTM(5, stateful=True, **SEQUENCES), L.Dense(6, **SOFTMAX)
    model = keras.Sequential([keras.Input(batch_shape=(3, 10)), embedding, lstm, dense])
    model(np.ones((3, 10)))
    before = [np.array(state) for state in lstm.states]
    assert np.abs(before[0]).max() > 0
    step_function = build_step_function(model)
    KerasReference(model, step_function)
    assert all(np.array_equal(state, np.array(now)) for state, now in zip(before, lstm.states, strict=True))
    assert [tensor.name for tensor in step_function.state] == ["h0", "c0"]


def test_a_functional_model_and_nested_models_are_taken_apart():
    source = keras.Input((None,), dtype="int32")
    inner = keras.Sequential([keras.Input((None, 4)), L.GRU(5, **SEQUENCES), L.Dropout(0.1)])
    output = L.Dense(6, **SOFTMAX)(L.LSTM(4, **SEQUENCES)(inner(L.Embedding(6, 4)(source))))
    step_function = stepped_equals_whole(keras.Model(source, output))
    assert [tensor.name for tensor in step_function.state] == ["h0", "h1", "c1"]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["lstm", "gru", "gru_before", "rnn", "dense", "dropout"]), st.integers(1, 6)),
        max_size=4,
    ),
    st.integers(2, 8),
    st.integers(0, 5),
)
def test_any_stack_of_known_layers_steps_as_keras_runs_it(middle, symbols, embedding):
    makers = {
        "lstm": lambda units: L.LSTM(units, **SEQUENCES),
        "gru": lambda units: L.GRU(units, **SEQUENCES),
        "gru_before": lambda units: L.GRU(units, reset_after=False, **SEQUENCES),
        "rnn": lambda units: L.SimpleRNN(units, **SEQUENCES),
        "dense": lambda units: L.Dense(units, activation="tanh"),
        "dropout": lambda units: L.Dropout(units / 10),
    }
    first = L.Embedding(symbols, embedding) if embedding else L.CategoryEncoding(symbols, output_mode="one_hot")
    layers = [makers[kind](units) for kind, units in middle]
    stepped_equals_whole(model_of(first, *layers, L.LSTM(3), L.Dense(symbols, **SOFTMAX)), steps=30)
