"""Advice after a training says what was seen and names an option to type. The curves resemble those of real runs."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from support.command_line import stepcell

from stepcell.train.run.advice import Seen, advice

# Folk tunes, 128 units, nats: the training part went on getting better, the held-out part got worse after a third.
BY_HEART = Seen(
    [(144, 2.45), (432, 2.24), (720, 2.16), (1008, 2.15), (1296, 2.19), (1584, 2.25), (1872, 2.33), (2160, 2.41)],
    updates=2160, kept=1008, held_out=2.15, learned=1.83, stopped="no longer improving", units=128, dropout=0.0,
    baselines={"5-gram with back-off": 2.24, "the most frequent symbol (1-gram)": 3.1},
)  # fmt: skip
# A text, stopped after two passes, nats.
SHORT = Seen(
    [(100, 2.4), (200, 2.1), (300, 1.95), (400, 1.86), (500, 1.80), (600, 1.77)],
    updates=600, kept=600, held_out=1.77, learned=1.76, stopped="updates", units=64, dropout=0.0,
    baselines={"5-gram with back-off": 1.9},
)  # fmt: skip
# A help desk: nothing changes after a few hundred updates.
FLAT = Seen(
    [(100, 0.50), (200, 0.482), (400, 0.4815), (600, 0.4812), (800, 0.481), (900, 0.4815)],
    updates=1000, kept=800, held_out=0.481, learned=0.47, stopped="updates", units=64, dropout=0.0,
    baselines={"4-gram with back-off": 0.49},
)  # fmt: skip


def test_a_network_that_learns_by_heart_is_to_have_dropout_or_fewer_units():
    first, second = advice(BY_HEART)
    assert first == (
        "The training part is learned better than the held-out part (2.640 bits against 3.102 bits): try --dropout 0.2 "
        "or --units 64, or learn from more data (--held-out with a smaller share)."
    )
    assert second.startswith("The best update came early, 1,008 of 2,160: --max-updates 1200 takes 56 % of the time")
    assert "try --units 64, or learn" in next(iter(advice(replace(BY_HEART, dropout=0.5))))
    assert not any("came early" in each for each in advice(replace(BY_HEART, kept=1872)))


def test_a_network_that_was_getting_better_is_to_have_more_updates_and_units():
    (said,) = advice(SHORT)
    assert said.endswith("at the end: try --units 128, or --max-updates 1200, which goes on for twice as long.")
    assert list(advice(replace(SHORT, learned=1.5))) == [said]  # a gap does no harm while both get better
    assert "or --minutes 6, which goes on" in next(iter(advice(replace(SHORT, stopped="minutes", minutes=3.0))))


def test_a_network_that_has_learned_less_than_counting_knows_is_not_said_to_know_it_by_heart():
    (said,) = advice(replace(FLAT, held_out=0.82, learned=0.77, baselines={"2-gram": 0.48}))
    assert said.endswith("try --max-updates 2000 or --units 128, else the data hold no more.")
    (said,) = advice(replace(FLAT, held_out=0.5, learned=0.4, baselines={"2-gram": 0.48}))
    assert said.endswith("learned by heart.")


def test_no_option_is_advised_that_would_be_refused():
    fixed, budget = {"may_change": False}, {"most_units": SHORT.units}
    for told in (replace(SHORT, **fixed), replace(SHORT, **budget)):
        assert "try --max-updates 1200, which" in next(iter(advice(told)))
    assert "try --units 70, or --max-updates" in next(iter(advice(replace(SHORT, most_units=70))))
    (said,) = advice(replace(FLAT, baselines={"2-gram": 0.4}, **fixed))
    assert said.endswith("bits): try --max-updates 2000, else the data hold no more.")
    ended = replace(FLAT, stopped="no longer improving", kept=900)
    (said,) = advice(replace(ended, baselines={"2-gram": 0.4}))
    assert said.endswith("bits): try --units 128, else the data hold no more.")
    (said,) = advice(replace(ended, baselines={"2-gram": 0.4}, **fixed))
    assert said.endswith("bits): the data hold no more.")
    assert "bits): learn from more data" in next(iter(advice(replace(BY_HEART, **fixed))))
    assert "--dropout 0.2 or --units 64, or" in next(iter(advice(replace(BY_HEART, most_units=128))))


def test_nothing_is_advised_where_nothing_stands_out():
    assert list(advice(FLAT)) == []


@pytest.mark.parametrize("stopped", ["diverged", "interrupted", "solved"])
def test_nothing_is_advised_where_training_did_not_come_to_its_own_end(stopped):
    assert list(advice(replace(SHORT, stopped=stopped))) == []


def test_a_network_that_is_no_better_than_counting_is_told_so():
    (said,) = advice(replace(FLAT, baselines={"4-gram with back-off": 0.47, "3-gram with back-off": 0.475}))
    assert said == (
        "No better than 4-gram with back-off on the held-out part (0.694 bits, without a network 0.678 bits): try "
        "--max-updates 2000 or --units 128, else the data hold no more."
    )
    said, *_ = advice(replace(BY_HEART, baselines={"5-gram with back-off": 2.1}))
    assert said.endswith("what was learned beyond it was learned by heart.")


def test_sequences_of_other_lengths_are_to_weigh_the_same():
    (said,) = advice(replace(FLAT, lengths=(10.0, 6.0)))
    assert said.startswith("Sequences have 10.0 symbols in the training part and 6.0 in the held-out part")
    assert "--sequence-weights" in said
    assert list(advice(replace(FLAT, lengths=(10.0, 9.0)))) == []


def test_each_option_that_is_advised_is_one_of_the_command():
    known = stepcell("train", "events", "--help").stdout
    for seen in (BY_HEART, SHORT, replace(FLAT, lengths=(9.0, 3.0), baselines={"2-gram": 0.1})):
        for said in advice(seen):
            options = re.findall(r"--[a-z-]+", said)
            assert options
            assert all(option in known for option in options)
