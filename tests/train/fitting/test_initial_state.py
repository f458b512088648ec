"""The state that follows a reset can be learned: by the right gradient, and used wherever a stream begins."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.problems import with_recipe

from stepcell.export import export, read_source
from stepcell.runtime import load
from stepcell.train import Network, Options, Run, Streams, Text, fit
from stepcell.train.fitting.evaluate import Evaluator
from stepcell.train.network.built_network import BuiltNetwork
from stepcell.train.network.forward import forward

RESETS = np.array([True, False, True, False])
PROBLEM = with_recipe(Text.of("abcabdabe" * 60), xla=False)
OPTIONS = Options(seed=3, max_updates=60, learn_initial_state=True)


def with_random_initial_state(model):
    random = np.random.default_rng(0)
    network = BuiltNetwork.of(model, learn_initial_state=True)
    for variable in network.initial_state.variables:
        variable.assign(random.uniform(-0.9, 0.9, (1, 7)).astype("f4"))
    return network


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_gradient_of_the_initial_state_flows_through_resets_alone(cell):
    model = Network(cell, 7, layers=2).build(6, 6, seed=3)
    network, random = with_random_initial_state(model), np.random.default_rng(1)
    start = network.initial_state
    ids, targets = (random.integers(0, 6, (5, 4), dtype=np.int32) for _ in range(2))
    carried = [random.uniform(-0.5, 0.5, (4, 7)).astype("f4") for _ in start.names]
    variables = [variable.value for variable in start.variables]
    with tf.GradientTape() as tape:
        state = start.after_reset([tf.constant(array) for array in carried], tf.constant(RESETS))
        logits, _ = forward(network, tf.constant(ids), state)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))
    by_hand = tape.gradient(loss, variables)
    with tf.GradientTape() as tape:
        x = model.layers[0](ids.T)
        before = [tf.where(RESETS[:, None], v, array) for v, array in zip(variables, carried, strict=True)]
        for layer in model.layers[1:3]:
            initial = [before.pop(0) for _ in keras.tree.flatten(layer.cell.state_size)]
            x = layer(x, initial_state=initial)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(targets.T, model.layers[3](x)))
    for ours, theirs in zip(by_hand, tape.gradient(loss, variables), strict=True):
        assert np.abs(ours - theirs).max() < 1e-6
        assert np.abs(theirs).max() > 1e-4


@pytest.fixture(scope="module")
def fitted():
    return fit(PROBLEM, Network("lstm", 7), OPTIONS)


def test_a_learned_initial_state_is_no_longer_zero_and_counts_as_learned(fitted):
    assert {name: array.shape for name, array in fitted.initial_state.items()} == {"h0": (1, 7), "c0": (1, 7)}
    assert all(np.abs(array).max() > 1e-3 for array in fitted.initial_state.values())
    assert fitted.parameters == sum(np.prod(v.shape) for v in fitted.model.trainable_variables) + 14
    assert fit(PROBLEM, Network("lstm", 7), Options(seed=3, max_updates=1)).initial_state == {}


def test_evaluation_begins_in_the_initial_state_and_again_after_each_reset():
    model = Network("gru", 7).build(6, 6, seed=3)
    network = with_random_initial_state(model)
    ids = np.full((4, 1), 2, np.int32)
    resets = np.array([[0], [0], [1], [0]], bool)
    found = Evaluator(network, xla=False).score(Streams(ids, ids, np.ones(ids.shape, "f4"), resets)).nats
    x = model.layers[1](model.layers[0](np.full((1, 2), 2)), initial_state=network.initial_state.of(1)[0])
    assert found == pytest.approx(-np.log(np.asarray(model.layers[2](x))[0, :, 2]).mean(), abs=1e-5)


@pytest.mark.slow
def test_a_run_brings_its_learned_initial_state_into_the_exported_file(fitted, tmp_path):
    Run(tmp_path / "run", PROBLEM, Network("lstm", 7), OPTIONS).finish(fitted)
    source = read_source(tmp_path / "run")
    exported = export(
        source.model, tmp_path / "build", vocabulary=source.vocabulary, sample=source.sample,
        initial_state=source.initial_state, formats=["onnx"], steps=50,
    )  # fmt: skip
    stream = load(exported.files[0]).stream()
    assert all(np.array_equal(stream.state[name], array) for name, array in fitted.initial_state.items())
    # The file answers as the evaluation judged: from its start state on.
    symbols = list(PROBLEM.evaluations(3)["carried"].inputs[:, 0])
    named = [stream.step(PROBLEM.vocabulary.decode(int(id))).symbol for id in symbols[:50]]
    assert named == [PROBLEM.vocabulary.decode(int(id)) for id in fitted.carried.predicted[:50, 0]]


@pytest.mark.slow
def test_a_run_without_a_learned_initial_state_takes_that_of_an_earlier_run_away(fitted, tmp_path):
    Run(tmp_path / "run", PROBLEM, Network("lstm", 7), OPTIONS).finish(fitted)
    assert (tmp_path / "run" / "initial_state.npz").exists()
    plain = Options(seed=3, max_updates=1)
    Run(tmp_path / "run", PROBLEM, Network("lstm", 7), plain).finish(fit(PROBLEM, Network("lstm", 7), plain))
    assert not (tmp_path / "run" / "initial_state.npz").exists()
