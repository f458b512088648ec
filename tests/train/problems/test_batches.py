"""What training is fed: blocks that ask for what can be known and for nothing else."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from support.keras_models import MEMORY

from stepcell.train import Echo, Memory, Order, Reber, Recall, Text

WORDS = "the quick brown fox jumps over the lazy dog and then the dog jumps over the fox. " * 40


@pytest.mark.parametrize("problem", [MEMORY, Echo(7, 3), Text.of(WORDS)], ids=lambda problem: problem.name)
def test_batches_do_not_depend_on_how_updates_are_divided_among_them(problem):
    whole = problem.batches(0, 12, seed=4)
    parts = [problem.batches(first, count, seed=4) for first, count in ((0, 5), (5, 1), (6, 6))]
    for name in ("inputs", "targets", "weights", "resets"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts]))


def test_an_echo_block_asks_for_the_symbol_some_steps_back_and_for_nothing_unknown():
    lag = 3
    batches = Echo(50, lag).batches(0, 40, seed=0)
    steps, lanes = batches.inputs.shape[1:]
    seen = [[] for _ in range(lanes)]
    for update, lane in itertools.product(range(40), range(lanes)):
        if batches.resets[update, lane]:
            seen[lane] = []
        for step in range(steps):
            seen[lane].append(batches.inputs[update, step, lane])
            known = len(seen[lane]) > lag
            assert batches.weights[update, step, lane] == known
            if known:
                assert batches.targets[update, step, lane] == seen[lane][-1 - lag]


def test_a_text_block_goes_on_where_the_lane_ended_and_never_reaches_the_held_out_part():
    problem = Text.of(WORDS)
    batches = problem.batches(0, 30, seed=0)
    text = WORDS
    learned = text[: round(len(text) * 0.9)]
    spell = lambda ids: "".join(problem.vocabulary.decode(int(id)) for id in ids)  # noqa: E731
    for update, lane in itertools.product(range(30), range(batches.inputs.shape[2])):
        inputs, targets = spell(batches.inputs[update, :, lane]), spell(batches.targets[update, :, lane])
        assert inputs[1:] == targets[:-1]
        assert inputs + targets[-1] in learned
        if update and not batches.resets[update, lane]:
            assert spell(batches.inputs[update - 1, :, lane]) + inputs in learned


def test_a_memory_block_never_scores_what_cannot_be_known():
    problem = Memory((("a", "b", "c"), ("a", "d", "c")))
    for episode in problem.examples(0):
        assert episode.weights.tolist() == [0, 1, 0]  # after a comes b or d; after the last symbol anything


def test_the_default_memory_problem_is_the_published_pair():
    assert MEMORY.sequences == (tuple("30123"), tuple("40124"))


def test_reber_strings_follow_the_grammar_and_know_what_may_come_next():
    problem = Reber()
    grammar = re.compile(r"B([TP])B(T(S)*X(X(T)*V|.)*|P.*)E\1E")
    for episode in problem.examples(seed=0):
        string = "".join(problem.vocabulary.decode(int(id)) for id in episode.inputs)
        assert grammar.fullmatch(string), string
        assert episode.allowed[np.arange(len(episode) - 1), episode.targets[:-1]].all()
        assert set(episode.allowed[:-1].sum(axis=1)) <= {1, 2}
        assert episode.allowed[-3].sum() == 1  # only the second symbol tells which


def test_a_recall_sequence_asks_for_its_key_at_its_end_alone():
    problem = Recall(lag=5, keys=3, extra=4)
    for episode in problem.examples(seed=0):
        symbols = [problem.vocabulary.decode(int(id)) for id in episode.inputs]
        assert 7 <= len(symbols) <= 11
        assert symbols[0] == problem.labels.decode(int(episode.targets[-1]))
        assert symbols[-1] == "?"
        assert all(symbol.startswith("d") for symbol in symbols[1:-1])
        assert episode.weights.tolist() == [0] * (len(symbols) - 1) + [1]


def test_an_order_sequence_asks_for_the_order_of_its_marks():
    for marks in (2, 3):
        problem = Order(marks)
        for episode in problem.examples(seed=0):
            symbols = [problem.vocabulary.decode(int(id)) for id in episode.inputs]
            assert "".join(s for s in symbols if s in "XY") == problem.labels.decode(int(episode.targets[-1]))
            assert 100 <= len(symbols) <= 110


def test_a_key_is_asked_for_in_a_second_chunk_too_and_never_in_a_third():
    problem = Recall(lag=5, keys=3)
    batches = problem.batches(0, 40, seed=2)
    goes_on = ~batches.resets
    assert not goes_on[0].any()
    assert 0.05 < goes_on.mean() < 0.5
    assert not (goes_on[1:] & goes_on[:-1]).any()
    is_key = batches.inputs < problem.keys
    for update, lane in zip(*np.nonzero(goes_on), strict=True):
        before = batches.inputs[update - 1, 0, lane]
        assert not is_key[update, :, lane].any()
        assert (batches.targets[update, :, lane] == before).all()
    for update, lane in zip(*np.nonzero(batches.resets), strict=True):
        assert is_key[update, :, lane].nonzero()[0].tolist() == [0]
        assert (batches.targets[update, :, lane] == batches.inputs[update, 0, lane]).all()
