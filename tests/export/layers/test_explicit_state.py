"""States that are inputs, outputs or constants of a Keras model are the states of its file."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support.broken_export import expected_of, prove

from stepcell.export import NotSteppableError, build_step_function
from stepcell.export.model_files import build_file
from stepcell.export.prepare import prepare
from stepcell.runtime import load

L = keras.layers
SEQUENCES = {"return_sequences": True}
SLOW, KINDS = pytest.mark.slow, ("variable", "positional", "traced")


def proven(model, device, folder, **options):
    """The loaded .onnx file of `model`, proven over 60 steps."""
    prepared = prepare(model, **options)
    built = build_file(prepared, "onnx", "float32", folder)
    assert prove(built, expected_of(prepared, steps=60), device).refusal is None
    return load(built.path)


def decoder(*, sequences=True, swapped=False):
    """A decoder as tutorials build it for inference: states in, states out."""
    symbol, h, c = keras.Input((None,), dtype="int32"), keras.Input((4,), name="h"), keras.Input((4,), name="c")
    layer = L.LSTM(4, return_sequences=sequences, return_state=True)
    y, next_h, next_c = layer(L.Embedding(5, 3)(symbol), initial_state=[h, c])
    states = [next_c, next_h] if swapped else [next_h, next_c]
    return keras.Model([symbol, h, c], [L.Dense(5, "softmax")(y), *states])


@pytest.mark.parametrize("sequences", [True, pytest.param(False, marks=SLOW)])
def test_a_decoder_with_its_states_in_sight_is_stepped_by_them(sequences, device, tmp_path):
    model = decoder(sequences=sequences)
    opened = proven(model, device, tmp_path)
    state = {"h0": np.full((1, 4), 0.3, np.float32), "c0": np.full((1, 4), -0.6, np.float32)}
    stream = opened.stream()
    stream.state = state
    answer, h, c = model([np.array([[2]]), state["h0"], state["c0"]])
    np.testing.assert_allclose(stream.step("2").probabilities, np.ravel(answer), atol=1e-6)
    np.testing.assert_allclose(stream.state["h0"], h, atol=1e-6)
    np.testing.assert_allclose(stream.state["c0"], c, atol=1e-6)


def test_the_report_says_which_inputs_and_outputs_are_states():
    assert build_step_function(decoder()).notes == [
        "its input 'h' is the state h0, and the output of it is next_h0",
        "its input 'c' is the state c0, and the output of it is next_c0",
    ]


def test_states_are_paired_by_the_call_and_not_by_their_order(device, tmp_path):
    proven(decoder(swapped=True), device, tmp_path)


def test_a_decoder_of_one_time_step_is_an_endless_stream():
    symbol, h = keras.Input((1,), dtype="int32"), keras.Input((4,))
    y, after = L.GRU(4, return_state=True)(L.Embedding(5, 3)(symbol), initial_state=h)
    assert build_step_function(keras.Model([symbol, h], [L.Dense(5, "softmax")(y), after])).window is None


def test_states_that_nothing_reads_and_last_outputs_are_no_states_of_their_own(device, tmp_path):
    source = keras.Input((None, 2))
    x, _, _ = L.LSTM(4, return_state=True, **SEQUENCES)(source)
    _, h, c = L.LSTM(3, return_state=True)(x)
    opened = proven(keras.Model(source, [L.Dense(2)(h), c]), device, tmp_path)
    assert list(opened.initial_state()) == ["h0", "c0", "h1", "c1"]
    assert opened.manifest.extra_outputs == ()


@pytest.mark.parametrize("kind", ["constant", *(pytest.param(kind, marks=SLOW) for kind in KINDS)])
def test_a_constant_initial_state_is_where_the_file_starts(kind, device, tmp_path):
    row = np.array([[0.5, -0.25, 0.125, 1.0]], np.float32)
    given = keras.Variable(row) if kind == "variable" else keras.ops.convert_to_tensor(row)
    source = keras.Input((None, 2))
    if kind == "positional":
        x = L.GRU(4, **SEQUENCES)(source, given)
    elif kind == "traced":

        class Leaky(L.SimpleRNNCell):
            pass

        x = L.RNN(Leaky(4), **SEQUENCES)(source, initial_state=given)
    else:
        x = L.LSTM(4, **SEQUENCES)(source, initial_state=[given, keras.ops.zeros((1, 4))])
    opened = proven(keras.Model(source, L.Dense(2)(x)), device, tmp_path)
    np.testing.assert_array_equal(next(iter(opened.initial_state().values())), row)
    if kind == "constant":
        assert not opened.initial_state()["c0"].any()


def test_a_constant_mask_of_all_steps_is_none_and_any_other_is_refused():
    source = keras.Input((4, 2))

    def masked(row):
        x = L.GRU(3, **SEQUENCES, name="masked")(source, mask=keras.ops.convert_to_tensor([row]))
        return keras.Model(source, L.Dense(1)(x))

    assert build_step_function(masked([True] * 4)).state
    with pytest.raises(NotSteppableError, match=r"masked \(GRU\): its mask is a constant that leaves out time steps"):
        build_step_function(masked([True, False, True, True]))


def refused(inputs, outputs, match):
    with pytest.raises(NotSteppableError, match=match) as refusal:
        build_step_function(keras.Model(inputs, outputs))
    assert str(refusal.value).count("\n  - ") == 1


def test_a_state_input_without_its_output_is_given_once_for_each_stream():
    source, h = keras.Input((None, 2)), keras.Input((4,), name="h")
    y, _ = L.GRU(4, return_state=True, **SEQUENCES)(source, initial_state=h)
    state = build_step_function(keras.Model([source, h], L.Dense(1)(y))).state
    assert [(tensor.name, tensor.given) for tensor in state] == [("h0", False), ("begun0", False), ("h", True)]


def test_states_that_cannot_be_paired_are_refused_with_the_one_cause():
    source = keras.Input((None, 2))
    encoder = L.LSTM(4, return_state=True, **SEQUENCES, name="encoder")
    _, *states = encoder(source)
    y = L.LSTM(4, **SEQUENCES, name="decoder")(source, initial_state=states)
    with pytest.raises(NotSteppableError, match=r"encoder \(LSTM\): its last state is read by 'decoder'") as refused:
        build_step_function(keras.Model(source, L.Dense(1)(y)))
    assert str(refused.value).count("\n  - ") == 1  # not once for h and once for c, and not the decoder too
