"""Sequences that begin within a chunk: the state is forgotten there, and no gradient crosses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from stepcell.train import Network
from stepcell.train.fitting.updater import Updater
from stepcell.train.network.forward import Forward
from stepcell.train.network.initial_state import InitialState
from stepcell.train.problems.problem import Batches

BEGINS = np.array([[0, 1], [0, 0], [1, 0], [0, 1], [1, 0], [0, 0]], bool)  # (T, B)
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
STARTS = pytest.mark.parametrize("learned", [False, True], ids=["from zeros", "from a learned state"])


def packed(cell):
    model = Network(cell, 5, layers=2).build(4, 4, seed=3)
    ids, targets = np.random.default_rng(0).integers(0, 4, (2, *BEGINS.shape), dtype=np.int32)
    return model, Forward(model), tf.constant(ids), tf.constant(targets)


def pieces(lane):
    """First step and step behind the last of every sequence in `lane`, and whether it goes on from before."""
    starts = [0, *[t for t in np.flatnonzero(BEGINS[:, lane]) if t > 0], len(BEGINS)]
    return [(a, b, a == 0 and not BEGINS[0, lane]) for a, b in itertools.pairwise(starts)]


@CELLS
@STARTS
def test_packed_sequences_answer_and_learn_as_each_by_itself(cell, learned):
    model, forward, ids, targets = packed(cell)
    start = InitialState(model, learned=learned)
    for variable in start.variables:
        variable.assign(np.linspace(-0.9, 0.7, 5)[None])
    variables = [variable.value for variable in (*model.trainable_variables, *start.variables)]
    before = [tensor + 0.3 for tensor in forward.zero_state(2)]
    keep = tf.constant(1.0 - BEGINS.astype("f4"))
    with tf.GradientTape() as tape:
        together, _ = forward.logits(ids, before, keep=keep, start=[variable.value for variable in start.variables])
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, together))
    found = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]
    with tf.GradientTape() as tape:
        loss = 0.0
        for lane in range(2):
            for first, end, goes_on in pieces(lane):
                state = [tensor[lane : lane + 1] for tensor in before] if goes_on else start.of(1)
                alone, _ = forward.logits(ids[first:end, lane : lane + 1], state)
                assert np.abs(alone[:, 0] - together[first:end, lane]).max() < 1e-6
                asked = targets[first:end, lane : lane + 1]
                loss += tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(asked, alone))
    for one, other in zip(found, tape.gradient(loss, variables), strict=True):
        assert np.abs(one - tf.convert_to_tensor(other)).max() < 1e-5


@CELLS
@STARTS
def test_resets_within_chunks_at_their_first_symbols_are_resets_before_them(cell, learned):
    model, _, ids, targets = packed(cell)
    inputs, targets = np.stack([ids, targets]), np.stack([targets, ids])
    whole = np.array([[0, 1], [1, 0]], bool)
    within = np.zeros(inputs.shape, bool)
    within[:, 0] = whole
    weights = model.get_weights()
    made = []
    for resets in (whole, within):
        model.set_weights(weights)
        updater = Updater(model, seed=0, clip_norm=1.0, xla=False, learn_initial_state=learned)
        updater.train(Batches(inputs, targets, np.ones(inputs.shape, "f4"), resets), 0, 0.1)
        made.append(updater.weights())
    for one, other in zip(*made, strict=True):
        assert np.abs(one - other).max() < 1e-6
