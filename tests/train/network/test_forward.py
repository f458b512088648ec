"""The arithmetic of training is that of Keras: answers, states and gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from stepcell.train import Network, Streams
from stepcell.train.fitting.evaluate import Evaluator
from stepcell.train.network.built_network import BuiltNetwork
from stepcell.train.network.forward import forward


def random_network(cell, *, layers=2, embedding=0, symbols=6, outputs=5):
    return BuiltNetwork.of(Network(cell, 7, layers, embedding).build(symbols, outputs, seed=3))


@pytest.mark.parametrize("embedding", [0, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_fast_forward_pass_equals_keras_on_the_whole_sequence(cell, embedding):
    network = random_network(cell, embedding=embedding)
    ids = np.random.default_rng(0).integers(0, 6, (9, 4), dtype=np.int32)
    logits, state = forward(network, tf.constant(ids[:5]), network.initial_state.of(4))
    more, _ = forward(network, tf.constant(ids[5:]), state)
    found = tf.nn.softmax(tf.concat([logits, more], 0))
    assert np.abs(np.asarray(network.model(ids.T)).transpose(1, 0, 2) - found).max() < 1e-6


@pytest.mark.parametrize("embedding", [0, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_gradients_written_by_hand_equal_those_of_keras(cell, embedding):
    network = random_network(cell, embedding=embedding)
    random = np.random.default_rng(0)
    ids, targets = (random.integers(0, 5, (9, 4), dtype=np.int32) for _ in range(2))
    variables = network.variables
    with tf.GradientTape() as tape:
        logits, _ = forward(network, tf.constant(ids), network.initial_state.of(4))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))
    by_hand = tape.gradient(loss, [v.value for v in variables])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(targets.T, network.model(ids.T)))
    for ours, theirs in zip(by_hand, tape.gradient(loss, [v.value for v in variables]), strict=True):
        assert np.abs(tf.convert_to_tensor(ours) - tf.convert_to_tensor(theirs)).max() < 1e-6


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_long_sequence_in_chunks_has_the_same_state_as_in_one(cell):
    network = random_network(cell)
    zeros = network.initial_state.of(3)
    ids = tf.constant(np.random.default_rng(1).integers(0, 6, (12, 3), dtype=np.int32))
    _, whole = forward(network, ids, zeros)
    state = zeros
    for chunk in (ids[:5], ids[5:6], ids[6:]):
        _, state = forward(network, chunk, state)
    assert all(np.abs(a - b).max() < 1e-6 for a, b in zip(whole, state, strict=True))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_evaluation_one_symbol_at_a_time_equals_keras_on_the_whole_sequence(cell):
    network = random_network(cell)
    random = np.random.default_rng(0)
    ids, targets = (random.integers(0, 5, (11, 4), dtype=np.int32) for _ in range(2))
    weights = (random.random((11, 4)) < 0.7).astype("f4")
    probabilities = np.asarray(network.model(ids.T)).transpose(1, 0, 2)
    right = np.take_along_axis(probabilities, targets[..., None], -1)[..., 0]
    score = Evaluator(network, xla=False).score(Streams(ids, targets, weights, np.zeros(ids.shape, bool)))
    assert score.nats == pytest.approx((-np.log(right) * weights).sum() / weights.sum(), abs=1e-5)
    assert score.accuracy == pytest.approx(((probabilities.argmax(-1) == targets) * weights).sum() / weights.sum())


def test_evaluation_forgets_where_it_is_told_to():
    network = random_network("lstm")
    ids = np.full((6, 1), 2, np.int32)
    resets = np.array([[0], [0], [1], [0], [1], [1]], bool)
    evaluator = Evaluator(network, xla=False)
    found = evaluator.score(Streams(ids, ids, np.ones(ids.shape, "f4"), resets)).nats
    fresh = -np.log(np.asarray(network.model(np.full((1, 2), 2)))[0, :, 2])
    assert found == pytest.approx(np.mean([*fresh, *fresh, fresh[0], fresh[0]]), abs=1e-5)


def test_chrono_initialisation_spreads_the_gates_over_all_time_scales_up_to_the_lag():
    lstm = Network("lstm", 200, chrono_init=100).build(5, 5, seed=0).layers[1]
    i, f, _, _ = np.split(np.array(lstm.cell.bias), 4)
    assert np.allclose(i, -f)
    assert 0 <= f.min() < 1
    assert np.log(90) < f.max() <= np.log(99)
    gru = Network("gru", 200, chrono_init=100).build(5, 5, seed=0).layers[1]
    assert np.log(90) < np.array(gru.cell.bias)[0, :200].max() <= np.log(99)
    plain = Network("lstm", 4, forget_bias=3.0).build(5, 5, seed=0).layers[1]
    assert np.array(plain.cell.bias).tolist() == [0] * 4 + [3] * 4 + [0] * 8


def test_dropout_acts_in_training_and_not_in_evaluation():
    network = BuiltNetwork.of(Network("lstm", 50, dropout=0.5).build(5, 5, seed=0))
    ids = tf.constant(np.random.default_rng(0).integers(0, 5, (6, 3), dtype=np.int32))
    masks = np.random.default_rng(1).random((2, 6, 3, 50)) >= 0.5
    plain, dropped, other = (
        forward(network, ids, network.initial_state.of(3), kept=kept)[0].numpy()
        for kept in ((), [tf.constant(masks[0])], [tf.constant(masks[1])])
    )
    assert np.abs(np.asarray(network.model(ids.numpy().T)).transpose(1, 0, 2) - tf.nn.softmax(plain)).max() < 1e-6
    assert not np.allclose(plain, dropped)
    assert not np.array_equal(dropped, other)
    hidden = np.asarray(network.recurrent[0](network.lookup(ids.numpy().T))).transpose(1, 0, 2)
    expected = np.where(masks[0], hidden / 0.5, 0) @ np.asarray(network.head.kernel) + np.asarray(network.head.bias)
    assert np.abs(dropped - expected).max() < 1e-5
