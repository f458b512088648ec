"""Layers and operations without a rule: traced on one time step, and compared with themselves on sequences."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf
from support.keras_models import with_random_weights
from support.layer_rules import model_around, run_rule_test

from stepcell.export import NotSteppableError, build_step_function

L, ops = keras.layers, keras.ops
SEQUENCES = {"return_sequences": True}


class RootMeanSquare(L.Layer):
    def build(self, shape):
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones")
        self.built = True

    def call(self, x):
        return x * ops.rsqrt(ops.mean(ops.square(x), -1, keepdims=True) + 1e-6) * self.gain


class Projection(L.Layer):
    """A product of three axes, which TensorFlow writes with shapes that it computes."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4))
        self.built = True

    def call(self, x, training=None):
        return tf.nn.relu(tf.matmul(x, self.kernel)) + (1.0 if training else 0.0)


def doubled_tanh(x):
    return ops.tanh(2 * x)


class MyLSTM(L.LSTM):
    """A subclass that changes nothing."""


def image(x):
    return L.Reshape((-1, 6, 4, 1))(L.Dense(24)(x))


LAYERS = {
    "own weights": lambda: RootMeanSquare(),
    "TensorFlow inside": lambda: Projection(),
    "Lambda": lambda: L.Lambda(lambda x: ops.sin(x) * 2),
    "a Lambda that does nothing": lambda: L.Lambda(lambda x: x),
    "an activation without a rule": lambda: L.Dense(4, activation="sparsemax"),
    "a recurrent layer with an activation of its own": lambda: L.LSTM(4, activation=doubled_tanh, **SEQUENCES),
    "a subclass of LSTM": lambda: MyLSTM(4, **SEQUENCES),
    "approximate gelu": lambda: lambda x: keras.activations.gelu(x, approximate=True),
    "SpectralNormalization": lambda: L.SpectralNormalization(L.Dense(4)),
    "TimeDistributed over images": lambda: (
        lambda x: L.TimeDistributed(L.Flatten())(
            L.TimeDistributed(L.MaxPooling2D())(L.TimeDistributed(L.Conv2D(3, 3, padding="same"))(image(x)))
        )
    ),
    "ConvLSTM1D": lambda: (
        lambda x: L.Reshape((-1, 6))(L.ConvLSTM1D(2, 2, padding="same", **SEQUENCES)(L.Reshape((-1, 3, 2))(x)))
    ),
    "slices": lambda: lambda x: L.Concatenate()([x[..., :4], x[..., 1:2], x[:, :, ::2]]),
    "the last time step": lambda: lambda x: L.GRU(4, **SEQUENCES)(x)[:, -1, :],
    "the last of a part": lambda: lambda x: x[:, -1, 2:],
    "split": lambda: lambda x: ops.multiply(*ops.split(x, 2, axis=-1)),
    "reductions": lambda: (
        lambda x: L.Concatenate()(
            [
                ops.mean(x, axis=-1, keepdims=True),
                ops.std(x, axis=2, keepdims=True),
                ops.logsumexp(x, -1, keepdims=True),
            ]
        )
    ),
    "numbers one by one": lambda: lambda x: ops.power(ops.clip(x, -0.5, 0.5), 2) + ops.rsqrt(ops.abs(x) + 1),
    "squeeze and expand_dims": lambda: lambda x: x + ops.expand_dims(ops.squeeze(x[..., :1], -1), -1),
    "where and comparisons": lambda: lambda x: ops.where(x > 0.1, x, ops.cast(x < -0.1, "float32")),
    "einsum": lambda: lambda x: L.Reshape((-1, 36))(ops.einsum("btx,bty->btxy", x, x)),
    "a matrix that is a constant": lambda: lambda x: ops.matmul(x, ops.ones((6, 3))),
    "sorted numbers": lambda: lambda x: ops.sort(x, axis=-1),
}


FAST = ["own weights", "TensorFlow inside", "a recurrent layer with an activation of its own", "the last of a part"]


def mostly_slow(names, fast):
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", mostly_slow(LAYERS, FAST))
def test_a_layer_without_a_rule_steps_as_keras_runs_it(name):
    run_rule_test(model_around(LAYERS[name]()))


ALONG_THE_TIME = {
    "mean over the time": lambda x: x - ops.mean(x, axis=1, keepdims=True),
    "position": lambda x: x + 0.01 * ops.cast(ops.arange(ops.shape(x)[1]), "float32")[None, :, None],
    "difference": lambda x: x - ops.pad(x, [(0, 0), (1, 0), (0, 0)])[:, :-1],
    "sum so far": lambda x: ops.cumsum(x, axis=1),
    "products of time steps": lambda x: ops.matmul(ops.matmul(x, ops.transpose(x, (0, 2, 1))), x),
}


@pytest.mark.parametrize("name", mostly_slow(ALONG_THE_TIME, ["mean over the time", "position"]))
def test_a_layer_that_looks_along_the_time_is_refused_with_the_difference(name):
    model = model_around(L.Lambda(tf.function(ALONG_THE_TIME[name], autograph=False), output_shape=(None, 6)))
    with pytest.raises(NotSteppableError, match=r"\(Lambda\): it looks along the time: it differs by \d"):
        build_step_function(model)


def test_the_first_time_step_alone_cannot_be_stepped():
    with pytest.raises(NotSteppableError, match=r"\(GetItem\): it looks along the time: it differs by"):
        build_step_function(model_around(lambda x: x[:, 0]))


def test_weights_that_are_not_finite_are_refused_where_there_is_no_rule():
    model = model_around(RootMeanSquare())
    model.layers[-2].gain.assign([1, 2, 3, float("nan"), 5, 6])
    with pytest.raises(NotSteppableError, match="holds 1 numbers that are not finite"):
        build_step_function(model)


@pytest.mark.parametrize("last", [keras.activations.softmax, ops.sigmoid])
def test_an_operation_at_the_end_answers_with_probabilities(last):
    source = keras.Input((None, 5))
    model = keras.Model(source, last(L.Dense(4)(L.GRU(6, **SEQUENCES)(source))))
    assert build_step_function(model).main.activation == last.__name__


def test_tied_embeddings_and_one_hot_operations_are_stepped():
    source = keras.Input((None,), dtype="int32")
    embedding = L.Embedding(6, 5)
    x = L.Concatenate()([embedding(source), ops.one_hot(source, 6)])
    x = L.GRU(5, **SEQUENCES)(x)
    model = keras.Model(source, ops.softmax(ops.matmul(x, ops.transpose(embedding.embeddings)) + 0.5))
    assert run_rule_test(with_random_weights(model)).symbols == 6
