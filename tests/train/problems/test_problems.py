"""Problems: they ask what they say they ask, nothing that cannot be known, and they are learned."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from stepcell.runtime.common.errors import ProblemError
from stepcell.train import Alphabet, Echo, Memory, Network, Options, Replay, Streams, fit
from stepcell.train.fitting.predictions import Predictions

ALPHABETS = [
    Alphabet(),
    Alphabet(scrambled=1),
    Alphabet(cyclic=False),
    Alphabet(symbols=40, cyclic=False, shortest=3, longest=39),
    Alphabet(symbols=2, longest=9),
]


@pytest.fixture(autouse=True)
def without_xla(monkeypatch):
    """Compiling with it would take most of the time."""
    for problem in (Echo, Memory, Replay):
        recipe = problem.recipe.fget
        monkeypatch.setattr(problem, "recipe", property(lambda self, recipe=recipe: replace(recipe(self), xla=False)))


def spell(vocabulary, ids):
    return [vocabulary.decode(int(id)) for id in ids]


def follower(problem):
    """The letter that comes after each letter, as found in the sequences to be judged by."""
    found = {}
    for episode in problem.examples(seed=0):
        pairs = zip(spell(problem.vocabulary, episode.inputs), spell(problem.vocabulary, episode.targets), strict=True)
        for letter, following in pairs:
            assert found.setdefault(letter, following) == following
    return found


@pytest.mark.parametrize("problem", ALPHABETS, ids=str)
def test_every_answer_of_an_alphabet_sequence_counts_and_is_its_next_input(problem):
    episodes = problem.examples(seed=0)
    for episode in episodes:
        assert episode.weights.tolist() == [1] * len(episode)
        assert episode.inputs[1:].tolist() == episode.targets[:-1].tolist()
    lengths = {len(episode) for episode in episodes}
    assert (min(lengths), max(lengths)) == (problem.shortest, problem.longest)


def test_a_comes_after_z_in_a_cyclic_alphabet_and_nothing_in_another():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    pairs = dict(itertools.pairwise(letters))
    assert follower(Alphabet(cyclic=False)) == pairs
    assert follower(Alphabet()) == {**pairs, "Z": "A"}


def test_a_scrambled_alphabet_is_one_round_through_all_letters_in_another_order():
    found = follower(Alphabet(scrambled=1))
    tour = ["A"]
    while found[tour[-1]] != "A":
        tour.append(found[tour[-1]])
    assert sorted(tour) == sorted(found)
    assert found != follower(Alphabet())
    assert found != follower(Alphabet(scrambled=2))
    assert found == follower(Alphabet(scrambled=1))


def test_an_alphabet_of_more_than_26_letters_has_numbers():
    assert Alphabet(symbols=26).vocabulary.symbols[-1] == "Z"
    assert Alphabet(symbols=3, longest=2).vocabulary.symbols == ("A", "B", "C")
    assert Alphabet(symbols=27).vocabulary.symbols[-1] == "26"


def test_a_cyclic_alphabet_is_judged_from_each_letter_for_a_hundred_steps():
    problem = Alphabet(symbols=7)
    streams = problem.evaluations(seed=0)["from_each"]
    assert sorted(spell(problem.vocabulary, streams.inputs[0])) == list("ABCDEFG")
    assert (streams.inputs[1:] == streams.targets[:-1]).all()
    assert streams.weights.min() == 1
    assert len(streams.inputs) >= 100
    assert streams.resets[0].all()
    assert not streams.resets[1:].any()


@pytest.mark.parametrize("problem", [ALPHABETS[1], pytest.param(ALPHABETS[2], marks=pytest.mark.slow)], ids=str)
def test_an_alphabet_is_learned(problem):
    fitted = fit(problem, Network(units=32), Options(seed=1))
    assert fitted.stopped == "solved"
    assert {score.accuracy for score in fitted.scores.values()} == {1.0}


@pytest.mark.parametrize(
    ("problem", "answers"),
    [
        (Replay(5, 4), lambda heard: heard),
        (Replay(5, 4, reverse=True), lambda heard: heard[::-1]),
        (Replay(5, 4, first=1, count=2), lambda heard: heard[1:3]),
        (Replay(5, 4, first=1, count=2, reverse=True), lambda heard: heard[1:3][::-1]),
        (Replay(5, 4, first=2), lambda heard: heard[2:]),
        (Replay(5, 4, shortest=2), lambda heard: heard),
    ],
)
def test_a_replay_asks_for_the_part_it_is_told_to_and_for_nothing_while_listening(problem, answers):
    lengths = set()
    for episode in problem.examples(seed=0):
        symbols = spell(problem.vocabulary, episode.inputs)
        heard = [symbol for symbol in symbols if symbol != "?"]
        lengths.add(len(heard))
        assert symbols == [*heard, *["?"] * len(answers(heard))]
        asked = episode.weights == 1
        assert asked.tolist() == [symbol == "?" for symbol in symbols]
        assert spell(problem.labels, episode.targets[asked]) == answers(heard)
        assert len(episode) <= problem.recipe.time_steps
    assert lengths == set(range(problem.shortest or 4, 5))


@pytest.mark.slow
def test_a_short_sequence_is_learned_backwards():
    fitted = fit(Replay(symbols=4, length=3, reverse=True), Network("gru", 32), Options(seed=1))
    assert fitted.stopped == "solved"
    assert fitted.scores["reset"].accuracy < 0.5  # the prompts are all alike


def test_what_is_missing_is_neither_an_answer_nor_asked_for():
    problem = Echo(5, 2, missing=0.3)
    assert problem.vocabulary.symbols == ("0", "1", "2", "3", "4", "missing")
    assert problem.labels.symbols == ("0", "1", "2", "3", "4")
    streams = problem.evaluations(seed=0)["carried"]
    batches = problem.batches(0, 1, seed=0)
    everything = [
        (streams.inputs, streams.targets, streams.weights),
        (batches.inputs[0], batches.targets[0], batches.weights[0]),
    ]
    for inputs, targets, weights in everything:
        assert np.mean(inputs == 5) == pytest.approx(0.3, abs=0.05)
        assert targets.max() == 4
        back, asked = inputs[:-2], weights[2:] == 1
        assert (asked == (back < 5)).all()
        assert (targets[2:][asked] == back[asked]).all()
        assert not weights[:2].any()


def test_an_echo_with_nothing_missing_has_the_vocabulary_of_its_answers():
    assert Echo(5, 2).vocabulary == Echo(5, 2).labels


@pytest.mark.slow
def test_an_echo_is_learned_although_some_inputs_are_missing():
    fitted = fit(Echo(5, 1, missing=0.2), Network("gru", 24), Options(seed=1))
    assert fitted.stopped == "solved"


def test_an_answer_that_only_a_distant_symbol_tells_weighs_more_while_learning_and_not_when_judged():
    problem = Memory.conflicting(length=80)
    batches = problem.batches(0, 1, seed=0)
    assert sorted(batches.inputs[0, 0]) == [78, 79]  # each sequence is learned equally often
    assert batches.resets.all()
    weights = batches.weights[0, :, 0]
    assert weights[-2] > weights[:-2].sum()
    assert weights[-1] == 0
    assert problem.recipe.max_lag == 79
    assert set(problem.evaluations(seed=0)["per_sequence"].weights.ravel()) == {0, 1}
    near = Memory((tuple(f"{n}" for n in range(80)),))
    assert near.recipe.max_lag == 0  # the symbol before tells each of these, however long the sequence is
    assert near.batches(0, 1, seed=0).weights.max() == 1


@pytest.mark.slow
def test_a_first_symbol_is_remembered_over_a_long_sequence():
    fitted = fit(Memory.conflicting(length=60), Network(units=32), Options(seed=1))
    assert fitted.stopped == "solved"
    # Every output is less than 0.25 off: the criterion of Hochreiter and Schmidhuber 1997.
    assert fitted.scores["per_sequence"].min_probability > 0.75


def test_a_score_knows_the_lowest_probability_of_a_right_answer():
    ids = np.zeros((3, 1), np.int32)
    weights = np.array([[1], [1], [0]], np.float32)
    streams = Streams(ids, ids, weights, np.zeros((3, 1), bool))
    nats = -np.log(np.array([[0.9], [0.5], [0.1]], np.float32))  # the last is not asked for
    assert Predictions(streams, ids == 0, nats, ids).score().min_probability == pytest.approx(0.5)


@pytest.mark.slow
def test_a_pattern_in_which_symbols_repeat_is_known_by_heart():
    fitted = fit(Memory((tuple("AAAABBBCCD"),)), Network(units=24), Options(seed=1))
    assert fitted.stopped == "solved"
    assert fitted.scores["reset"].accuracy < 0.8  # how many A there were is in no symbol


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (
            lambda: Alphabet(symbols=1, scrambled=-1, shortest=0, longest=-1),
            "alphabet of 1.*order is -1.*shortest sequence has 0.*longest sequence has -1 letters, fewer than",
        ),
        (
            lambda: Alphabet(cyclic=False, longest=26),
            "26 letters, and nothing comes after the last.*25 is the most",
        ),
        (
            lambda: Replay(symbols=1, length=0, first=-1, count=0, shortest=2),
            "alphabet of 1.*sequence of 0.*from 1 to 0.*first is -1.*count is 0",
        ),
        (lambda: Replay(length=5, first=2, count=4), "symbol 5, counted from 0, is asked for in a sequence of 5"),
        (lambda: Replay(length=5, first=2, shortest=2), "symbol 2, counted from 0, is asked for in a sequence of 2"),
        (lambda: Echo(lag=-1, missing=1.0), "cannot be echoed.*share of missing inputs is 1.0"),
    ],
)
def test_what_makes_no_problem_is_refused_with_everything_at_once(make, problem):
    with pytest.raises(ProblemError, match=problem):
        make()
