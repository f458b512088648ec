"""What cannot be stepped is refused before anything is converted, everything at once."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from stepcell.export import LayerStep, NotSteppableError, build_step_function, export, model_files, step_rule
from stepcell.export.prepare import prepare
from stepcell.runtime import VocabularyError
from stepcell.runtime.common.errors import MissingPackageError

L = keras.layers
SOFTMAX = {"activation": "softmax"}


def sequential(*layers):
    return keras.Sequential([keras.Input((None,), dtype="int32"), *layers])


def test_all_offenders_are_named_at_once_with_reason_and_remedy():
    model = sequential(
        L.Embedding(6, 4),
        L.UpSampling1D(2, name="more"),
        L.Bidirectional(L.LSTM(5, return_sequences=True), name="both"),
        L.Conv1D(4, 3, padding="same", name="wide"),
        L.LSTM(5, return_sequences=True, go_backwards=True, name="back"),
        L.GlobalAveragePooling1D(name="mean"),
        L.Dense(6, **SOFTMAX),
    )
    with pytest.raises(NotSteppableError) as caught:
        build_step_function(model)
    message = str(caught.value)
    for name, reason in {
        "more (UpSampling1D)": "several time steps of one",
        "both (Bidirectional)": "from its end too, so it looks at the future; use its forward layer",
        "wide (Conv1D)": "padding is 'same'",
        "back (LSTM)": "go_backwards",
        "mean (GlobalAveragePooling1D)": "whole sequence",
    }.items():
        assert name in message
        assert reason in message


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([L.Embedding(6, 4), L.Dense(6, **SOFTMAX)], "no recurrent layer"),
        ([L.Embedding(6, 4), L.LSTM(6)], "output is no probabilities"),
        ([L.CategoryEncoding(6, output_mode="multi_hot"), L.Dense(6, **SOFTMAX)], "output_mode is 'multi_hot'"),
        ([L.Embedding(6, 4), L.GRU(3), L.Reshape((3, 1))], r"has the shape \(3, 1\) in a step"),
        *(
            ([L.Embedding(6, 4), layer, L.GRU(3), L.Dense(6, **SOFTMAX)], reason)
            for layer, reason in [
                (L.SeparableConv1D(4, 3, padding="same"), r"padding is 'same'.*ZeroPadding1D\(\(2, 0\)\)"),
                (L.Conv1DTranspose(4, 3), "several time steps of one"),
                (L.ZeroPadding1D((2, 0)), "it reads a sequence with zeros before its beginning"),
                (L.ZeroPadding1D(1), r"1 zeros behind the sequence.*padding=\(2, 0\)"),
                (L.Cropping1D(1), r"cuts 1 steps off the end.*cropping=\(1, 0\)"),
                (L.LayerNormalization(axis=1), "along axis .*looks at the future"),
                (L.BatchNormalization(axis=1), "along axis .*looks at the future"),
                (L.GroupNormalization(2), "over all time steps"),
                (L.Softmax(axis=1), "along axis .*looks at the future"),
                (L.PReLU(), "another slope for each time step"),
                (L.Normalization(axis=1, mean=[0.0] * 8, variance=[1.0] * 8), "another value for each time step"),
                (L.Permute((2, 1)), "move the time"),
                (L.Reshape((4, 8)), "mixes the time steps"),
                (L.EinsumDense("abc,bd->adc", output_shape=(5, 4)), "mixes the time steps"),
                (L.RNN(L.LSTMCell(3), go_backwards=True, return_sequences=True), "go_backwards"),
            ]
        ),
        (
            [L.Embedding(6, 4), L.LSTM(5), L.RepeatVector(3), L.GRU(3, name="decoder"), L.Dense(6, **SOFTMAX)],
            "decoder .*made within one step",
        ),
        (
            [L.Embedding(6, 4), L.LSTM(5), L.RepeatVector(3), L.TimeDistributed(L.Dense(3)), L.Dense(6, **SOFTMAX)],
            "made within one step",
        ),
    ],
)
def test_a_layer_that_cannot_be_stepped_is_refused_with_its_reason(layers, reason):
    source = keras.Input((8,), dtype="int32")
    model = keras.Sequential([source, *layers])
    with pytest.raises(NotSteppableError, match=reason):
        build_step_function(model, carried=True)


def test_masked_steps_do_not_slip_into_a_nested_model():
    inner = keras.Sequential([keras.Input((None, 4)), L.LSTM(5)], name="inner")
    with pytest.raises(NotSteppableError, match=r"inner \(Sequential\): it is a model and gets masked steps"):
        build_step_function(sequential(L.Embedding(6, 4, mask_zero=True), inner, L.Dense(6, **SOFTMAX)))


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("layer", [L.Multiply, L.Maximum, L.Minimum])
def test_layers_that_leave_out_masked_numbers_want_all_inputs_masked_or_none(layer):
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(6, 4, mask_zero=True)(source)
    merged = layer(name="merged")([x, L.Conv1D(4, 1, padding="causal")(x)])
    with pytest.raises(NotSteppableError, match=rf"merged \({layer.__name__}\): some of its inputs are masked"):
        build_step_function(keras.Model(source, L.Dense(6, **SOFTMAX)(L.GRU(3)(merged))))


def test_a_sequence_and_its_last_answer_cannot_be_mixed():
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(6, 4)(source)
    mixed = L.Add(name="mix")([L.GRU(4, return_sequences=True)(x), L.Reshape((1, 4))(L.GRU(4)(x))])
    with pytest.raises(NotSteppableError, match="mix .*return_sequences=False"):
        build_step_function(keras.Model(source, L.Dense(6, **SOFTMAX)(mixed)))


def test_symbol_ids_are_no_numbers():
    source = keras.Input((None,), dtype="int32")
    x = L.Concatenate()([L.Embedding(6, 4)(source), L.Reshape((-1, 1))(source)])
    with pytest.raises(NotSteppableError, match="reads symbol ids as if they were numbers"):
        build_step_function(keras.Model(source, L.Dense(6, **SOFTMAX)(L.GRU(3)(x))))


def test_a_step_rule_whose_state_has_a_name_that_could_collide_is_refused():
    class Mine(L.Layer):
        def call(self, x):
            return x

    step_rule(Mine)(lambda layer: LayerStep(lambda a, x, state: (x, state), state={"h1": (4,)}))
    with pytest.raises(NotSteppableError, match="calls a state 'h1'; use a word that does not end in a digit"):
        build_step_function(sequential(L.Embedding(6, 4), Mine(), L.LSTM(5), L.Dense(6, **SOFTMAX)))


def test_attention_over_the_sequence_is_refused():
    source = keras.Input((None,), dtype="int32")
    x = L.LSTM(5, return_sequences=True)(L.Embedding(6, 4)(source))
    model = keras.Model(source, L.Dense(6, **SOFTMAX)(L.MultiHeadAttention(2, 3, name="gaze")(x, x)))
    with pytest.raises(NotSteppableError, match="gaze"):
        build_step_function(model)


def test_inputs_and_outputs_that_cannot_be_are_refused_together_with_everything_else():
    symbol = keras.Input((None,), dtype="int32", name="symbol")
    counts = keras.Input((None, 3), dtype="int32", name="counts")
    x = L.LSTM(5, return_sequences=True)(L.Embedding(6, 4)(symbol))
    more = L.Dense(5)(L.Rescaling(0.5)(counts))
    x = L.Add()([x, more])
    flat = L.GlobalMaxPooling1D(name="flat")(x)
    model = keras.Model([symbol, counts], [L.Dense(3, name="tall")(L.Reshape((-1, 5, 1))(x)), L.Dense(2)(flat)])
    with pytest.raises(NotSteppableError) as caught:
        build_step_function(model)
    for problem in (
        "'counts' of int32 is read as numbers; put an Embedding",
        "'tall' has the shape (5, 3) in a step; end it in one row of numbers",
        "flat (GlobalMaxPooling1D)",
    ):
        assert problem in str(caught.value)


def test_a_given_initial_state_is_refused():
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(6, 5)(source)
    x, h, c = L.LSTM(5, return_sequences=True, return_state=True)(x)
    x = L.LSTM(5, name="second")(x, initial_state=[h, c])
    with pytest.raises(NotSteppableError, match="second"):
        build_step_function(keras.Model(source, L.Dense(6, **SOFTMAX)(x)))


def test_a_vocabulary_for_vectors_asks_whether_they_are_one_hot():
    model = keras.Sequential([keras.Input((None, 6)), L.LSTM(5), L.Dense(6, **SOFTMAX)])
    with pytest.raises(VocabularyError, match="reads features and no symbols.*--one-hot"):
        prepare(model, vocabulary="abcdef")


def test_numbers_that_are_no_probabilities_ask_whether_they_are_values_only_where_they_may_be_symbols():
    def ending(head, *first):
        first = first or (keras.Input((None, 6)),)
        return keras.Sequential([*first, L.LSTM(5, return_sequences=True), head])

    ids = keras.Input((None,), dtype="int32"), L.Embedding(6, 4)
    for head in (L.Dense(1), L.Dense(6), L.Dense(3, activation="relu")):
        assert build_step_function(ending(head)).main.activation == "linear"
    assert build_step_function(ending(L.Dense(3)), labelled=True).main.from_logits
    assert build_step_function(ending(L.Dense(1), *ids)).main.name == "values"
    assert build_step_function(ending(L.Dense(6), *ids)).main.from_logits
    with pytest.raises(NotSteppableError, match="no probabilities.*--values"):
        build_step_function(ending(L.Dense(6, activation="relu"), *ids))
    with pytest.raises(VocabularyError, match="answers with 3 probabilities: give a vocabulary of labels; .*--values"):
        prepare(ending(L.Dense(3), *ids), vocabulary="abcdef")


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


def test_what_only_follows_from_a_layer_that_cannot_be_stepped_is_not_listed():
    class Mine(L.Layer):
        def call(self, x):
            return x[:, ::-1]

    symbol = keras.Input((8,), dtype="int32", name="symbol")
    x = Mine(name="mine")(symbol)
    x = L.LayerNormalization(axis=1)(L.Embedding(6, 4)(x))
    backwards = L.GRU(3, return_sequences=True, go_backwards=True, name="backwards")(x)
    with pytest.raises(NotSteppableError) as refusal:
        build_step_function(keras.Model(symbol, [backwards, L.Reshape((-1, 3, 1))(backwards)]))
    problems = [line for line in str(refusal.value).splitlines() if line.startswith("  - ")]
    assert [problem.split(" (")[0] for problem in problems] == ["  - mine", "  - backwards"]


def test_onnx_files_without_their_converter_are_refused_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "find_spec", lambda name: None)
    model = sequential(L.Embedding(6, 4), L.GRU(3, return_sequences=True), L.Dense(6, **SOFTMAX))
    message = r"Writing \.onnx files needs onnx and tf2onnx: pip install 'stepcell\[export\]'. .*--format tflite"
    with pytest.raises(MissingPackageError, match=message):
        export(model, tmp_path / "out", steps=20)
    assert not (tmp_path / "out").exists()
    assert model_files.available_formats() == ["tflite"]
