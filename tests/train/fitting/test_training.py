"""Training: repeatable, interruptible, and honest when it cannot go on."""

from __future__ import annotations

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.keras_models import MEMORY
from support.problems import with_recipe

from stepcell.runtime.common.errors import ProblemError
from stepcell.train import DivergedError, Echo, Memory, Network, Options, Recall, Text, fit, score_table
from stepcell.train.fitting.updater import Updater

WORDS = "the quick brown fox jumps over the lazy dog and then the dog jumps over the fox. " * 40


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    one, same, other = (fit(MEMORY, Network(units=8), Options(seed=s, max_updates=30)).model for s in (5, 5, 6))
    pairs = zip(one.get_weights(), same.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert not np.array_equal(one.get_weights()[1], other.get_weights()[1])


def test_training_reads_and_moves_no_global_random_state():
    np.random.seed(1)
    keras.utils.set_random_seed(1)
    before = np.random.get_state()[1].copy()
    fit(MEMORY, Network(units=4), Options(seed=5, max_updates=1))
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Memory.conflicting(sequences=1, length=2, symbols=1), "cannot conflict.*no middle.*too small"),
        (lambda: Memory(()), "needs sequences"),
        (lambda: Memory((("a", "b"), ("a", "c"))), "Nothing in these sequences can be predicted"),
        (lambda: Echo(symbols=1, lag=-1), "leaves nothing to remember.*cannot be echoed"),
        (lambda: Network("lstn", 0, 0, -1), "'lstn'.*units is 0.*layers is 0.*embedding is -1"),
        (lambda: Options(seed=-1, max_updates=0, minutes=-2.0), "max_updates is 0.*minutes is -2.0.*seed is -1"),
        (lambda: Options(seed=2**31, learning_rate=np.inf, clip_norm=np.nan), "rate is inf.*norm is nan.*2147483647"),
        (lambda: Network(units=10**8, layers=99), "units is 100000000, 8192 is the most; layers is 99"),
        (lambda: Network(forget_bias=np.nan, dropout=np.nan), "dropout is nan.*forget gate is nan"),
        (lambda: Echo(symbols=10**8, lag=10**5), "too large to be one-hot, 10000.*lag of 100000, 10000 is the most"),
        (lambda: Recall(lag=10**8, keys=1, distractors=0), "keys is 1.*distractors is 0.*lag is 100000000, 10000"),
    ],
)
def test_what_makes_no_sense_is_refused_with_all_problems_at_once(make, problem):
    with pytest.raises(ProblemError, match=problem):
        make()


def test_a_loss_that_is_not_a_number_ends_training_with_a_reason():
    with pytest.raises(DivergedError, match=r"The loss is nan after \d+ updates. Lower the learning rate"):
        fit(MEMORY, Network("rnn", 4), Options(learning_rate=1e38, max_updates=50))


def test_a_loss_that_is_lost_later_keeps_the_best_weights_and_says_when(monkeypatch):
    train, kept = Updater.train, []

    def train_and_fail(self, batches, first, learning_rate):
        if first == 75:
            kept.extend(self.snapshot().weights)
            self.restore(replace(self.snapshot(), weights=tuple(np.full_like(weight, np.nan) for weight in kept)))
            return float("nan"), 0.0
        return train(self, batches, first, learning_rate)

    monkeypatch.setattr(Updater, "train", train_and_fail)
    fitted = fit(MEMORY, Network("rnn", 4), Options(learning_rate=0.003))
    assert (fitted.stopped, fitted.history[-1].update) == ("diverged", 75)
    assert all(np.array_equal(a, b) for a, b in zip(fitted.model.get_weights(), kept, strict=True))
    assert "After update 75 the loss was no longer a finite number" in score_table(fitted, 5)[2]


def test_ctrl_c_keeps_what_was_learned():
    def interrupt(row):
        if row.update >= 50:
            raise KeyboardInterrupt

    fitted = fit(with_recipe(Echo(), xla=False), Network(units=8), Options(), interrupt)
    assert fitted.stopped == "interrupted"
    assert fitted.history[-1].update == 50
    assert fitted.scores["carried"].answers > 0


def test_a_time_limit_ends_training():
    fitted = fit(with_recipe(Text.of(WORDS), xla=False), Network(units=4), Options(minutes=0.02))
    assert fitted.stopped == "minutes"


def test_the_best_weights_are_kept_and_not_the_last():
    problem = with_recipe(Text.of(WORDS), evaluate_every=10, xla=False)
    fitted = fit(problem, Network(units=6), Options(max_updates=61, learning_rate=5.0, schedule="constant"))
    *earlier, last = [row.evaluation.nats for row in fitted.history if row.evaluation]
    assert min(earlier) < last
    assert fitted.scores["carried"].nats == min(earlier)


@pytest.mark.slow
def test_a_curriculum_goes_from_problem_to_problem_as_each_is_learned(monkeypatch):
    recipe = Echo.recipe.fget
    monkeypatch.setattr(Echo, "recipe", property(lambda self: replace(recipe(self), xla=False)))
    problem = Echo(3, 8)
    assert [easier.lag for easier in problem.recipe.curriculum] == [1, 2, 3, 4, 5, 6, 7]
    fitted = fit(problem, Network("gru", units=32), Options(max_updates=250))
    stages = [row.stage for row in fitted.history]
    assert stages == sorted(stages)
    assert stages[-1] > 0
    for before, after in itertools.pairwise(fitted.history):
        assert after.stage - before.stage == (before.accuracy > 0.95)
    assert not any(row.evaluation for row in fitted.history if row.stage < 7)  # judged by the problem itself alone
    at_once = fit(problem, Network("gru", units=8), Options(max_updates=50, curriculum=False))
    assert {row.stage for row in at_once.history} == {0}


def test_another_number_of_threads_than_tensorflow_has_begun_with_is_refused():
    tf.constant(1.0) + 1.0
    begun = tf.config.threading.get_intra_op_parallelism_threads()
    with pytest.raises(ProblemError, match=f"already computes with {begun or 'all'} threads in this process, not"):
        fit(MEMORY, Network(units=8), Options(max_updates=1, threads=begun + 1))
    assert fit(MEMORY, Network(units=8), Options(max_updates=1)).stopped == "updates"
