"""Sequences that begin within a chunk: the state is forgotten there, and no gradient crosses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from stepcell.train import Network
from stepcell.train.fitting.updater import Updater
from stepcell.train.network.built_network import BuiltNetwork
from stepcell.train.network.forward import forward
from stepcell.train.problems.problem import Batches

BEGINS = np.array([[0, 1], [0, 0], [1, 0], [0, 1], [1, 0], [0, 0]], bool)  # (T, B)
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
STARTS = pytest.mark.parametrize("learned", [False, True], ids=["from zeros", "from a learned state"])


def packed(cell, learned):
    model = Network(cell, 5, layers=2).build(4, 4, seed=3)
    network = BuiltNetwork.of(model, learn_initial_state=learned)
    ids, targets = np.random.default_rng(0).integers(0, 4, (2, *BEGINS.shape), dtype=np.int32)
    return network, tf.constant(ids), tf.constant(targets)


def pieces(lane):
    """First step and step behind the last of every sequence in `lane`, and whether it goes on from before."""
    starts = [0, *[t for t in np.flatnonzero(BEGINS[:, lane]) if t > 0], len(BEGINS)]
    return [(a, b, a == 0 and not BEGINS[0, lane]) for a, b in itertools.pairwise(starts)]


@CELLS
@STARTS
def test_packed_sequences_answer_and_learn_as_each_by_itself(cell, learned):
    network, ids, targets = packed(cell, learned)
    for variable in network.initial_state.variables:
        variable.assign(np.linspace(-0.9, 0.7, 5)[None])
    variables = [variable.value for variable in network.variables]
    before = [tensor + 0.3 for tensor in network.initial_state.of(2)]
    keep = tf.constant(1.0 - BEGINS.astype("f4"))
    with tf.GradientTape() as tape:
        together, _ = forward(network, ids, before, keep=keep)
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, together))
    found = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]
    with tf.GradientTape() as tape:
        loss = 0.0
        for lane in range(2):
            for first, end, goes_on in pieces(lane):
                state = [tensor[lane : lane + 1] for tensor in before] if goes_on else network.initial_state.of(1)
                alone, _ = forward(network, ids[first:end, lane : lane + 1], state)
                assert np.abs(alone[:, 0] - together[first:end, lane]).max() < 1e-6
                asked = targets[first:end, lane : lane + 1]
                loss += tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(asked, alone))
    for one, other in zip(found, tape.gradient(loss, variables), strict=True):
        assert np.abs(one - tf.convert_to_tensor(other)).max() < 1e-5


@pytest.mark.parametrize(
    ("cell", "learned"),
    [
        ("rnn", True),
        pytest.param("rnn", False, marks=pytest.mark.slow),
        *(pytest.param(cell, learned, marks=pytest.mark.slow) for cell in ("lstm", "gru") for learned in (False, True)),
    ],
)
def test_resets_within_chunks_at_their_first_symbols_are_resets_before_them(cell, learned):
    _, ids, targets = packed(cell, learned)
    inputs, targets = np.stack([ids, targets]), np.stack([targets, ids])
    whole = np.array([[0, 1], [1, 0]], bool)
    within = np.zeros(inputs.shape, bool)
    within[:, 0] = whole
    made = []
    for resets in (whole, within):
        network = packed(cell, learned)[0]
        updater = Updater(network, seed=0, clip_norm=1.0, xla=False)
        updater.train(Batches(inputs, targets, np.ones(inputs.shape, "f4"), resets), 0, 0.1)
        made.append(network.weights())
    for one, other in zip(*made, strict=True):
        assert np.abs(one - other).max() < 1e-6
