"""Composite layers and models of a class of their own are opened: the layers inside them have rules."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.keras_models import with_random_weights
from support.layer_rules import model_around, run_rule_test

from stepcell.export import NotSteppableError, build_step_function

L, ops = keras.layers, keras.ops
SEQUENCES = {"return_sequences": True}


class Block(L.Layer):
    """A residual block of a user."""

    def __init__(self, units=6, **options):
        super().__init__(**options)
        self.into, self.gru, self.norm = L.Dense(units), L.GRU(units, **SEQUENCES), L.LayerNormalization()
        self.dropout = L.Dropout(0.5)

    def build(self, shape):
        self.into.build(shape)
        for inner in (self.gru, self.norm, self.dropout):
            inner.build((*shape[:-1], self.into.units))
        self.built = True

    def call(self, x, training=None):
        h = self.into(x)
        return self.norm(h + self.dropout(self.gru(h), training=training) * 0.5)


class Outer(L.Layer):
    """Blocks inside of a layer, and a weight of its own."""

    def __init__(self, **options):
        super().__init__(**options)
        self.blocks = [Block(), Block()]

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)
        self.gain = self.add_weight(shape=(6,), name="gain")
        self.built = True

    def call(self, x):
        for block in self.blocks:
            x = block(x) * self.gain
        return x


class Typed(L.Layer):
    """TensorFlow inside: it cannot be opened, and has no state."""

    def __init__(self, **options):
        super().__init__(**options)
        self.into = L.Dense(6)

    def build(self, shape):
        self.into.build(shape)
        self.built = True

    def call(self, x):
        return tf.nn.relu(self.into(x))


class TypedBlock(Block):
    """TensorFlow inside, and a state: neither opened nor traced."""

    def call(self, x, training=None):
        return tf.nn.relu(super().call(tf.convert_to_tensor(x)))


class Network(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.embed, self.block, self.answer = L.Embedding(6, 4), Block(), L.Dense(6, activation="softmax")

    def call(self, symbols, training=None):
        return self.answer(self.block(self.embed(symbols), training=training))


BODIES = {
    "one block": lambda: Block(),
    "two blocks of one name": lambda: lambda x: Block(name="block")(Block(name="first")(x)),
    "one block called twice": lambda: (lambda block: lambda x: block(block(x)))(Block()),
    "blocks in a layer": lambda: Outer(),
    "a block in a nested model": lambda: keras.Sequential([keras.Input((None, 6)), Block(), L.Dense(3)]),
    "a layer that stays closed": lambda: Typed(),
}


def states(model):
    return [tensor.name for tensor in build_step_function(model).state]


FAST = ["blocks in a layer", "a layer that stays closed"]
NAMES = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in BODIES]


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_made_of_layers_steps_as_keras_runs_it(name):
    run_rule_test(model_around(BODIES[name]()))


def test_the_layers_inside_have_their_own_states_and_names_stay():
    model = model_around(lambda x: Block(name="a")(Block(name="b")(x)))
    names = [layer.name for layer in model.layers]
    inner = [weight.path for weight in model.weights]
    assert states(model) == ["past0", "h1", "h2"]
    assert [layer.name for layer in model.layers] == names
    assert [weight.path for weight in model.weights] == inner


def test_a_model_of_a_class_of_its_own_is_opened():
    model = Network()
    with pytest.raises(NotSteppableError, match="not a Sequential or functional model with a known input"):
        build_step_function(model)
    model(np.zeros((2, 9), "int32"))
    assert states(with_random_weights(model)) == ["h0"]
    run_rule_test(model)


def test_a_layer_with_a_state_that_stays_closed_is_refused_with_the_difference():
    with pytest.raises(NotSteppableError, match=r"\(TypedBlock\): it looks along the time: it differs by"):
        build_step_function(model_around(TypedBlock()))
