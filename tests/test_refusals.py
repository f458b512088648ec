"""What cannot be stepped is refused before anything is converted, everything at once."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from stepcell.export import NotSteppableError, build_step_function, export

L = keras.layers
SOFTMAX = {"activation": "softmax"}


def sequential(*layers):
    return keras.Sequential([keras.Input((None,), dtype="int32"), *layers])


def test_all_offenders_are_named_at_once_with_reason_and_remedy(tmp_path):
    model = sequential(
        L.Embedding(6, 4, mask_zero=True, name="look"),
        L.Bidirectional(L.LSTM(5, return_sequences=True), name="both"),
        L.Conv1D(4, 3, padding="same", name="wide"),
        L.LSTM(5, return_sequences=True, go_backwards=True, name="back"),
        L.GlobalAveragePooling1D(name="mean"),
        L.Dense(6, **SOFTMAX),
    )
    with pytest.raises(NotSteppableError) as caught:
        export(model, tmp_path)
    message = str(caught.value)
    for name, reason in {
        "look (Embedding)": "masks symbol 0",
        "both (Bidirectional)": "from its end too, so it looks at the future; use its forward layer",
        "wide (Conv1D)": "padding is 'same'",
        "back (LSTM)": "go_backwards",
        "mean (GlobalAveragePooling1D)": "whole sequence",
    }.items():
        assert name in message
        assert reason in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (
            [L.Embedding(6, 4), L.LSTM(5, return_sequences=True), L.LayerNormalization(), L.Dense(6, **SOFTMAX)],
            "no step rule",
        ),
        (
            [L.Embedding(6, 4), L.LSTM(5, activation="gelu"), L.Dense(6, **SOFTMAX)],
            "activation 'gelu' has no step rule",
        ),
        (
            [L.Embedding(6, 4), L.Conv1D(4, 3, padding="causal"), L.LSTM(3), L.Dense(6, **SOFTMAX)],
            "causal convolutions",
        ),
        ([L.Embedding(6, 4), L.Dense(6, **SOFTMAX)], "no recurrent layer"),
        ([L.Embedding(6, 4), L.LSTM(5)], "output is no probabilities"),
        ([L.Embedding(6, 4), L.LSTM(5), L.Dense(1)], "output is no probabilities"),
        ([L.CategoryEncoding(6, output_mode="multi_hot"), L.Dense(6, **SOFTMAX)], "output_mode is 'multi_hot'"),
        ([L.Embedding(6, 4), L.Flatten(), L.Dense(6, **SOFTMAX)], "whole sequence"),
    ],
)
def test_a_layer_that_cannot_be_stepped_is_refused_with_its_reason(layers, reason):
    source = keras.Input((8,), dtype="int32")
    model = keras.Sequential([source, *layers])
    with pytest.raises(NotSteppableError, match=reason):
        build_step_function(model)


def test_a_lambda_layer_is_refused():
    model = sequential(L.Embedding(6, 4), L.Lambda(lambda x: x), L.LSTM(5), L.Dense(6, **SOFTMAX))
    with pytest.raises(NotSteppableError, match="arbitrary code"):
        build_step_function(model)


def test_attention_over_the_sequence_is_refused():
    source = keras.Input((None,), dtype="int32")
    x = L.LSTM(5, return_sequences=True)(L.Embedding(6, 4)(source))
    model = keras.Model(source, L.Dense(6, **SOFTMAX)(L.MultiHeadAttention(2, 3, name="gaze")(x, x)))
    with pytest.raises(NotSteppableError, match="gaze"):
        build_step_function(model)


def test_a_subclassed_recurrent_layer_is_refused_because_it_may_do_something_else():
    class MyLSTM(L.LSTM):
        pass

    with pytest.raises(NotSteppableError, match="MyLSTM.*no step rule"):
        build_step_function(sequential(L.Embedding(6, 4), MyLSTM(5), L.Dense(6, **SOFTMAX)))


def test_a_custom_activation_of_a_known_name_is_refused():
    def tanh(x):
        return keras.ops.tanh(2 * x)

    with pytest.raises(NotSteppableError, match="activation 'tanh'"):
        build_step_function(sequential(L.Embedding(6, 4), L.LSTM(5, activation=tanh), L.Dense(6, **SOFTMAX)))


def test_several_inputs_are_refused():
    one, other = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    x = L.Add()([L.Embedding(6, 4)(one), L.Embedding(6, 4)(other)])
    with pytest.raises(NotSteppableError, match="2 inputs"):
        build_step_function(keras.Model([one, other], L.Dense(6, **SOFTMAX)(L.LSTM(5)(x))))


def test_a_given_initial_state_is_refused():
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(6, 5)(source)
    x, h, c = L.LSTM(5, return_sequences=True, return_state=True)(x)
    x = L.LSTM(5, name="second")(x, initial_state=[h, c])
    with pytest.raises(NotSteppableError, match="second"):
        build_step_function(keras.Model(source, L.Dense(6, **SOFTMAX)(x)))


def test_float_input_asks_whether_it_is_one_hot():
    model = keras.Sequential([keras.Input((None, 6)), L.LSTM(5), L.Dense(6, **SOFTMAX)])
    with pytest.raises(NotSteppableError, match="--one-hot"):
        build_step_function(model)


def test_one_hot_is_refused_for_a_model_that_reads_ids():
    with pytest.raises(NotSteppableError, match="one-hot input has the shape"):
        build_step_function(sequential(L.Embedding(6, 4), L.LSTM(5), L.Dense(6, **SOFTMAX)), one_hot=True)


def test_a_model_without_a_known_input_is_refused():
    with pytest.raises(NotSteppableError, match="keras.Input"):
        build_step_function(keras.Sequential([L.Embedding(6, 4), L.LSTM(5), L.Dense(6, **SOFTMAX)]))


def test_something_that_is_no_model_is_refused():
    with pytest.raises(NotSteppableError, match="cannot be listed"):
        build_step_function("model.keras")


def test_weights_that_are_not_finite_are_refused():
    model = sequential(L.Embedding(6, 4), L.LSTM(5, name="sick"), L.Dense(6, **SOFTMAX))
    weights = model.get_weights()
    weights[1][0, 0] = np.nan
    model.set_weights(weights)
    with pytest.raises(NotSteppableError, match=r"sick \(LSTM\): its kernel holds 1 numbers that are not finite"):
        build_step_function(model)
