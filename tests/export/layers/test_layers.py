"""Every Keras layer that has a rule passes `run_rule_test`; then families of layers go through real files.

To test a new rule add a case to `LAYERS`.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from support.broken_export import expected_of, prove
from support.keras_models import SYMBOLS, masked, with_random_weights
from support.layer_rules import STEPS, model_around, run_rule_test

from stepcell.export import LayerStep, ParityError, build_step_function, export, step_rule
from stepcell.export.layers.keras2_activation import keras_activation
from stepcell.export.model_files import build_file
from stepcell.export.ops import ACTIVATIONS, HARD_SIGMOID_KERAS2, NumpyOps, precision
from stepcell.export.prepare import prepare
from stepcell.export.step_function.run import run_numpy
from stepcell.export.tflite import convert as tflite
from stepcell.runtime import load
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.interpreters.base import initial_state

L, ops = keras.layers, keras.ops
SEQUENCES, SOFTMAX = {"return_sequences": True}, {"activation": "softmax"}


def twice(layer, x):
    return layer(x) + layer(layer(x))


def series(*layers):
    def body(x):
        for layer in layers:
            x = layer(x)
        return x

    return body


def over_frequency(*layers):
    """Layers over (time, frequency, channels), and a row of numbers again."""

    def body(x):
        y = series(L.Dense(12), L.Reshape((-1, 6, 2)), *layers)(x)
        return L.Reshape((-1, y.shape[2] * y.shape[3]))(y)

    return body


LAYERS = {
    "Add": lambda: lambda x: L.Add()([x, L.Dense(6)(x), x]),
    "Subtract": lambda: lambda x: L.Subtract()([x, L.Dense(6)(x)]),
    "Multiply": lambda: lambda x: L.Multiply()([x, L.Dense(1)(x)]),
    "Average": lambda: lambda x: L.Average()([x, L.Dense(6)(x), L.Dense(6)(x)]),
    "Maximum": lambda: lambda x: L.Maximum()([x, L.Dense(6)(x)]),
    "Minimum": lambda: lambda x: L.Minimum()([x, L.Dense(6)(x)]),
    "Concatenate": lambda: lambda x: L.Concatenate()([x, L.Dense(2)(x), x]),
    "operations": lambda: lambda x: 2.0 * x - x / 3.0 + ops.tanh(L.Dense(6)(x)) * np.arange(6.0) - (-x),
    "logarithms": lambda: lambda x: ops.log1p(L.ReLU()(x)) + ops.log(ops.exp(x) + 1.0),
    "operations on three axes": lambda: (
        lambda x: L.Reshape((-1, 6))(ops.maximum(L.Reshape((-1, 2, 3))(x), 0.1) + np.ones((2, 1)))
    ),
    "activation operations": lambda: (
        lambda x: series(
            keras.activations.relu, keras.activations.gelu, keras.activations.elu, keras.activations.softmax
        )(x)
    ),
    "Dense": lambda: L.Dense(4, activation="gelu"),
    "Dense without bias": lambda: L.Dense(4, use_bias=False),
    "Dense on three axes": lambda: series(L.Reshape((-1, 2, 3)), L.Dense(4), L.Reshape((-1, 8))),
    "EinsumDense": lambda: L.EinsumDense("abc,cd->abd", output_shape=(None, 4), bias_axes="d", activation="relu"),
    "EinsumDense with dots": lambda: L.EinsumDense("...x,xy->...y", output_shape=4),
    "EinsumDense on three axes": lambda: series(
        L.Reshape((-1, 2, 3)), L.EinsumDense("abcd,cde->abe", output_shape=(None, 5), bias_axes="e")
    ),
    "EinsumDense that reorders": lambda: series(
        L.Reshape((-1, 2, 3)), L.EinsumDense("btcd,dg->btgc", (None, 4, 2), bias_axes="g"), L.Reshape((-1, 8))
    ),
    "TimeDistributed": lambda: L.TimeDistributed(L.Dense(4, activation="tanh")),
    "TimeDistributed on a model": lambda: L.TimeDistributed(
        keras.Sequential([keras.Input((6,)), L.Dense(4), L.Reshape((2, 2)), L.Flatten(), L.BatchNormalization()])
    ),
    "LayerNormalization": lambda: L.LayerNormalization(),
    "LayerNormalization without center and scale": lambda: L.LayerNormalization(center=False, scale=False, epsilon=0.1),
    "LayerNormalization on two axes": lambda: series(
        L.Reshape((-1, 2, 3)), L.LayerNormalization(axis=[2, 3]), L.Reshape((-1, 6))
    ),
    "LayerNormalization on the first of two axes": lambda: series(
        L.Reshape((-1, 2, 3)), L.LayerNormalization(axis=2), L.Reshape((-1, 6))
    ),
    "LayerNormalization by root mean square": lambda: L.LayerNormalization(rms_scaling=True),
    "RMSNormalization": lambda: L.RMSNormalization(),
    "BatchNormalization": lambda: L.BatchNormalization(),
    "BatchNormalization without center and scale": lambda: L.BatchNormalization(center=False, scale=False),
    "BatchNormalization on the first of two axes": lambda: series(
        L.Reshape((-1, 2, 3)), L.BatchNormalization(axis=2), L.Reshape((-1, 6))
    ),
    "UnitNormalization": lambda: L.UnitNormalization(),
    "Rescaling": lambda: L.Rescaling(2.0, offset=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    "Normalization": lambda: L.Normalization(mean=np.arange(6) / 6, variance=np.arange(6) / 3),
    "Normalization inverted": lambda: L.Normalization(mean=np.arange(6) / 6, variance=np.arange(1, 7) / 3, invert=True),
    "ReLU": lambda: L.ReLU(),
    "ReLU of six": lambda: L.ReLU(max_value=0.6, negative_slope=0.2, threshold=0.1),
    "LeakyReLU": lambda: L.LeakyReLU(0.2),
    "ELU": lambda: L.ELU(0.7),
    "PReLU": lambda: L.PReLU(shared_axes=[1]),
    "Softmax": lambda: L.Softmax(),
    "Softmax on another axis": lambda: series(L.Reshape((-1, 2, 3)), L.Softmax(axis=2), L.Reshape((-1, 6))),
    "Dropout": lambda: L.Dropout(0.5),
    "SpatialDropout1D": lambda: L.SpatialDropout1D(0.5),
    "AlphaDropout": lambda: L.AlphaDropout(0.5),
    "GaussianDropout": lambda: L.GaussianDropout(0.5),
    "GaussianNoise": lambda: L.GaussianNoise(1.0),
    "ActivityRegularization": lambda: L.ActivityRegularization(0.1),
    "Identity": lambda: L.Identity(),
    "Masking": lambda: series(L.ReLU(), L.Masking(0.0), L.GRU(4, **SEQUENCES)),
    "Reshape and Permute": lambda: series(L.Reshape((-1, 2, 3)), L.Permute((1, 3, 2)), L.Reshape((-1, 6))),
    "RepeatVector and Flatten": lambda: series(
        L.GRU(4), L.RepeatVector(3), L.Dense(2), L.Permute((2, 1)), L.LayerNormalization(), L.Flatten()
    ),
    "layers after the last time step": lambda: series(
        L.GRU(4), L.Reshape((2, 2)), L.Reshape((4,)), L.BatchNormalization()
    ),
    "LSTM": lambda: L.LSTM(4, **SEQUENCES),
    "LSTM with other activations": lambda: L.LSTM(
        4, activation="softsign", recurrent_activation="hard_sigmoid", **SEQUENCES
    ),
    "LSTM without bias": lambda: L.LSTM(4, use_bias=False, unit_forget_bias=False, **SEQUENCES),
    "GRU": lambda: L.GRU(4, **SEQUENCES),
    "GRU without bias, reset before": lambda: L.GRU(
        4, use_bias=False, reset_after=False, activation="elu", **SEQUENCES
    ),
    "SimpleRNN without bias": lambda: L.SimpleRNN(4, use_bias=False, activation="gelu", **SEQUENCES),
    "the last recurrent layer answers at each step": lambda: series(L.LSTM(4, **SEQUENCES), L.GRU(4)),
    "RNN over an LSTMCell": lambda: L.RNN(L.LSTMCell(4, recurrent_activation="sigmoid"), **SEQUENCES),
    "RNN over a GRUCell": lambda: L.RNN(L.GRUCell(4, reset_after=False), **SEQUENCES),
    "RNN over a SimpleRNNCell": lambda: L.RNN(L.SimpleRNNCell(4, activation="silu")),
    "RNN over StackedRNNCells": lambda: L.RNN([L.LSTMCell(4), L.GRUCell(3), L.SimpleRNNCell(2)], **SEQUENCES),
    "recurrent layers in parallel": lambda: (
        lambda x: L.Concatenate()(
            [L.LSTM(3, **SEQUENCES)(x), L.GRU(2, **SEQUENCES)(x), L.SimpleRNN(4, **SEQUENCES)(x), x]
        )
    ),
    "one recurrent layer called twice": lambda: lambda x: twice(L.GRU(6, **SEQUENCES), x),
    "a nested model called twice": lambda: (
        lambda x: twice(keras.Sequential([keras.Input((None, 6)), L.GRU(6, **SEQUENCES)]), x)
    ),
    "Conv1D": lambda: L.Conv1D(4, 3, padding="causal", activation="relu"),
    "Conv1D with dilation and groups": lambda: L.Conv1D(
        4, 3, padding="causal", dilation_rate=3, groups=2, use_bias=False
    ),
    "Conv1D of one step": lambda: L.Conv1D(4, 1, padding="same"),
    "Conv1D after zeros": lambda: series(L.ZeroPadding1D((4, 0)), L.Conv1D(4, 3, dilation_rate=2)),
    "DepthwiseConv1D": lambda: series(
        L.ZeroPadding1D((4, 0)), L.DepthwiseConv1D(3, depth_multiplier=2, dilation_rate=2)
    ),
    "SeparableConv1D": lambda: series(L.ZeroPadding1D((3, 0)), L.SeparableConv1D(5, 4, activation="tanh")),
    "AveragePooling1D": lambda: series(L.ZeroPadding1D((2, 0)), L.AveragePooling1D(3, strides=1)),
    "MaxPooling1D": lambda: series(L.ZeroPadding1D((2, 0)), L.MaxPooling1D(3, strides=1)),
    "Conv2D over frequency": lambda: over_frequency(
        L.ZeroPadding2D(((4, 0), (1, 2))), L.Conv2D(4, (3, 2), dilation_rate=(2, 1), activation="relu")
    ),
    "Conv2D with groups": lambda: over_frequency(
        L.Conv2D(4, (1, 3), padding="same"), L.ZeroPadding2D(((1, 0), (0, 0))), L.Conv2D(6, (2, 3), groups=2)
    ),
    "DepthwiseConv2D": lambda: over_frequency(
        L.ZeroPadding2D(((2, 0), (0, 1))), L.DepthwiseConv2D((3, 2), depth_multiplier=3, use_bias=False)
    ),
    "SeparableConv2D": lambda: over_frequency(L.SeparableConv2D(5, (1, 3), padding="same", activation="tanh")),
    "MaxPooling2D": lambda: over_frequency(
        L.ZeroPadding2D(((1, 0), (0, 0))), L.MaxPooling2D((2, 2), strides=1), L.MaxPooling2D((1, 2), padding="same")
    ),
    "AveragePooling2D": lambda: over_frequency(
        L.ZeroPadding2D(((1, 0), (0, 0))),
        L.AveragePooling2D((2, 2), strides=1),
        L.AveragePooling2D((1, 3), strides=(1, 2), padding="same"),
    ),
    "Cropping2D": lambda: over_frequency(L.Cropping2D(((0, 0), (2, 1)))),
    "TimeDistributed on rows": lambda: series(
        L.Dense(24),
        L.Reshape((-1, 8, 3)),
        L.TimeDistributed(L.Conv1D(4, 3, activation="relu", padding="causal", dilation_rate=2)),
        L.TimeDistributed(L.MaxPooling1D(2, padding="same")),
        L.TimeDistributed(L.ZeroPadding1D((2, 1))),
        L.TimeDistributed(L.DepthwiseConv1D(2, depth_multiplier=2)),
        L.TimeDistributed(L.Cropping1D((1, 1))),
        L.TimeDistributed(L.SeparableConv1D(5, 2, strides=2, padding="same")),
        L.TimeDistributed(L.AveragePooling1D(2, strides=1, padding="same")),
        L.TimeDistributed(L.Flatten()),
    ),
    "TimeDistributed on images": lambda: series(
        L.Dense(24),
        L.Reshape((-1, 4, 3, 2)),
        L.TimeDistributed(L.Conv2D(4, (3, 2), strides=(2, 1), padding="same")),
        L.TimeDistributed(L.BatchNormalization()),
        L.TimeDistributed(L.ZeroPadding2D(((1, 0), (0, 1)))),
        L.TimeDistributed(L.MaxPooling2D((2, 2), strides=1)),
        L.TimeDistributed(L.GlobalAveragePooling2D()),
    ),
}


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_steps_as_keras_runs_it(name):
    run_rule_test(model_around(LAYERS[name]()))


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"linear", "exponential"}))
def test_an_activation_is_that_of_keras_everywhere(name):
    x = np.linspace(-9, 9, 361, dtype=np.float32).reshape(-1, 19)
    expected = np.asarray(keras_activation(name)(x))
    assert np.abs(NumpyOps().activation(name, x.astype("f8")) - expected).max() < 2e-6


def test_every_activation_of_keras_is_known_but_those_that_are_named():
    known = {name for name, value in vars(keras.activations).items() if callable(value) and name[0].islower()}
    others = {"get", "serialize", "deserialize", "threshold", "glu", "sparsemax", "hard_swish", "swish"}
    assert known - others == set(ACTIVATIONS) - {HARD_SIGMOID_KERAS2}


@pytest.mark.parametrize("zero_output", [False, True])
def test_a_masked_step_holds_the_state_and_gives_the_output_keras_gives(zero_output):
    step_function = run_rule_test(masked(zero_output))
    state = {name: array + 0.5 for name, array in initial_state(step_function.state).items()}
    after = run_numpy(step_function, Inputs(np.zeros(1, np.int32)), [state])[0].states
    assert all(np.array_equal(after[name][-1:], state[name]) for name in state)


def test_every_call_of_a_shared_layer_has_a_state_of_its_own():
    step_function = build_step_function(model_around(LAYERS["a nested model called twice"]()))
    assert [tensor.name for tensor in step_function.state] == ["past0", "h1", "h2", "h3"]


def test_stacked_cells_are_numbered_like_layers():
    step_function = build_step_function(model_around(LAYERS["RNN over StackedRNNCells"]()))
    assert [tensor.name for tensor in step_function.state] == ["past0", "h1", "c1", "h2", "h3"]
    assert [cell.kind for cell in step_function.cells] == ["lstm", "gru", "rnn"]


def test_the_state_of_a_convolution_is_its_past_inputs():
    step_function = build_step_function(model_around(LAYERS["Conv1D with dilation and groups"]()))
    assert [(tensor.name, tensor.shape) for tensor in step_function.state] == [("past0", (1, 5)), ("past1", (6, 6))]


def test_a_stateless_branch_folds_into_a_lookup():
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(SYMBOLS, 4)(source)
    x = L.Add()([L.Dense(5, activation="relu")(x), L.LayerNormalization()(L.Dense(5)(x))])
    model = with_random_weights(keras.Model(source, L.Dense(SYMBOLS, **SOFTMAX)(L.GRU(5)(x))))
    step_function = run_rule_test(model)
    seen = []

    class Counting(NumpyOps):
        def gather(self, table, ids):
            seen.append(table.shape)
            return super().gather(table, ids)

    step_function.advance(Counting(), {"symbol": np.array([0])}, initial_state(step_function.state))
    assert seen == [(SYMBOLS, 15)]


def everything():
    """All layers that are not recurrent, side by side, and every activation; each is heard in every answer."""
    left_out = ("LSTM", "GRU", "RNN", "Masking", "recurrent", "called twice", "RepeatVector", "last time step")
    left_out += ("Dropout", "Identity", "without", "on the first", "with dots")  # they make no operators of their own
    names = [name for name in LAYERS if not any(word in name for word in left_out)]
    activations = [name for name in ACTIVATIONS if name != "exponential"]

    def body(x):
        outputs = [LAYERS[name]()(x) for name in names]
        return L.Concatenate()([*outputs, *(L.Dense(1, activation=keras_activation(name))(x) for name in activations)])

    return model_around(body)


def masked_and_short():
    """Masks, stacked cells, and layers behind the last time step."""
    source = keras.Input((None,), dtype="int32")
    x = L.GRU(4, **SEQUENCES)(L.Embedding(SYMBOLS, 4, mask_zero=True)(source))
    outputs = [LAYERS[name]()(x) for name in ["RepeatVector and Flatten", "layers after the last time step"]]
    stacked = L.RNN([L.GRUCell(3), L.LSTMCell(2)], zero_output_for_mask=True)(x)
    return with_random_weights(keras.Model(source, L.Dense(SYMBOLS, **SOFTMAX)(L.Concatenate()([*outputs, stacked]))))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("make", [everything, masked_and_short])
def test_all_layers_together_in_a_file_equal_keras_on_every_interpreter(make, tmp_path):
    exported = export(make(), tmp_path, steps=200)
    assert {parity.backend for parity in exported.parity} - {"native"} == {"litert", "tflite", "onnxruntime"}
    assert max(parity.error for parity in exported.parity) <= 1e-5
    ids = np.random.default_rng(4).integers(0, SYMBOLS, 200)
    for path in exported.files[:-1]:
        streams = [load(path, backend=backend).stream() for backend in (None, "numpy")]
        for id in ids.tolist():
            one, other = (stream.step(str(id)).probabilities for stream in streams)
            assert np.abs(one - other).max() <= 2e-6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
def test_every_layer_in_float16_is_rounded_where_the_reference_rounds_and_nowhere_else(monkeypatch):
    monkeypatch.setattr(precision, "FEWEST_HALF", 1)  # these layers are small
    no_constants = ("Dropout", "Noise", "Identity", "Activity", "LSTM", "GRU", "recurrent", "called twice")
    names = [name for name in LAYERS if not any(word in name for word in no_constants)]
    source = keras.Input((None,), dtype="int32")
    x = L.Conv1D(6, 2, padding="causal", activation="tanh")(L.Embedding(SYMBOLS, 5)(source))
    answers = [L.Dense(SYMBOLS, name=f"answer_{n}", **SOFTMAX)(LAYERS[name]()(x)) for n, name in enumerate(names)]
    step_function = build_step_function(with_random_weights(keras.Model(source, answers)))
    ids = np.random.default_rng(3).integers(0, SYMBOLS, STEPS, dtype=np.int32)
    state = initial_state(step_function.state)
    (right,) = run_numpy(step_function, Inputs(ids), [state], rounding=precision.to_half)
    step = Interpreter(model_content=tflite.tflite_payload(step_function, "float16")[0]).get_signature_runner("step")
    for n, id in enumerate(ids):
        found = step(symbol=np.array([id]), **state)
        state = {tensor.name: found[tensor.next] for tensor in step_function.state}
        expected = {
            step_function.main.name: right.probabilities[n],
            **{k: v[n] for k, v in right.extra_outputs.items()},
        }
        off = [np.abs(found[key][0] - answer).max() for key, answer in expected.items()]
        assert [name for name, error in zip(names, off, strict=True) if error > 1e-6] == []


class Echo(L.Layer):
    """Each step: what came in, and half of what it said before."""

    def call(self, x):
        weights = 0.5 ** ops.cast(ops.arange(ops.shape(x)[1])[:, None] - ops.arange(ops.shape(x)[1])[None], "float32")
        return ops.matmul(ops.tril(weights)[None], x)


def rule_of_echo(factor):
    def rule(layer):
        def apply(a, x, state):
            said = state["said"] * factor + x
            return said, {"said": said}

        return LayerStep(apply, state={"said": (6,)})

    return rule


def test_a_step_rule_of_ones_own_with_a_state_is_proven_like_any_other(device, tmp_path):
    step_rule(Echo)(rule_of_echo(0.5))
    run_rule_test(model_around(Echo()))
    prepared = prepare(model_around(Echo()))
    assert [tensor.name for tensor in prepared.step_function.state] == ["past0", "said1"]
    built = build_file(prepared, "onnx", "float32", tmp_path)
    assert max(parity.error for parity in prove(built, expected_of(prepared, steps=500), device).parity) <= 1e-5


def test_a_wrong_step_rule_of_ones_own_is_noticed():
    step_rule(Echo)(rule_of_echo(0.6))
    with pytest.raises(ParityError, match=r"step rules answer otherwise than Keras.*Correct the step rule"):
        expected_of(prepare(model_around(Echo())), steps=200)


def test_a_saved_model_with_masks_is_read_like_the_model_itself(tmp_path):
    model = masked(False)
    model.save(tmp_path / "masked.keras")
    loaded = keras.models.load_model(tmp_path / "masked.keras")
    assert build_step_function(loaded).state == build_step_function(model).state
