"""Sequences that a model learned from are recognised in a file that has grown since."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.data import EventsReader, HeldOut, SymbolsReader, TextReader
from stepcell.runtime.data.learned import MAX_KEYS, LearnedData, without_learned


def cases(first, count, seed=1, prefix="c"):
    chance = random.Random(seed)
    rows = []
    for case in range(first, first + count):
        for step in range(chance.randint(2, 6)):
            what = chance.choice("abc")
            rows.append(f"{prefix}{case},2024-01-{1 + case % 28:02} {step:02}:{case % 60:02}:00,{what}\n")
    return rows


def read(path, content, reader):
    path.write_text("".join(content))
    return reader.read(path)


def written(learned):
    return LearnedData.from_json(json.loads(json.dumps(learned.to_json())))


def identities(recording):
    return [tuple(recording.sequence(index)) for index in range(len(recording))]


BY_CASE = EventsReader("what", "case", "time")
HEADER = "case,time,what\n"


@pytest.mark.parametrize("kind", ["grown", "more cases", "first ones cut off"])
def test_the_cases_of_a_log_that_has_grown_are_recognised(tmp_path, kind):
    rows = cases(0, 90)
    recording = read(tmp_path / "log.csv", [HEADER, *rows], BY_CASE)
    train, held_out = HeldOut(0.2).split(recording)
    learned = written(LearnedData.of(train))
    more = {
        "grown": [*rows, "c5,2024-02-01 00:00,a\n"],
        "more cases": [*rows, *cases(90, 20)],
        "first ones cut off": rows[len(rows) // 2 :],
    }[kind]
    now = read(tmp_path / "now.csv", [HEADER, *more], BY_CASE)
    known, new = learned.split(now)
    if kind == "grown":
        assert (len(known), len(new)) == (len(train), len(held_out))
    elif kind == "more cases":
        assert identities(known) == identities(train)
        assert len(new) == len(held_out) + 20
    else:
        assert 0 < len(known) < len(train)
    assert learned.describe(now) == f"{len(known):,} of its {len(now):,} sequences were learned from"
    rest, seen, note = without_learned(learned, now)
    assert (len(rest), len(seen)) == (len(new), len(known))
    assert note.endswith("were learned from and are left out")


@given(st.integers(2, 10_000))
def test_another_log_with_the_same_names_of_cases_has_no_known_ones(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("logs")
    reader = EventsReader("what", "case")  # no times: sequences are known by their symbols and neighbours
    train = read(folder / "a.csv", [HEADER, *cases(0, 60)], reader)
    other = read(folder / "b.csv", [HEADER, *cases(0, 60, seed)], reader)
    assert len(LearnedData.of(train).split(train)[1]) == 0
    assert len(LearnedData.of(train).split(other)[0]) == 0


def test_lines_are_recognised_by_themselves_and_the_lines_before(tmp_path):
    chance = random.Random(2)
    lines = [" ".join(chance.choices("abcd", k=chance.randint(0, 6))) + "\n" for _ in range(80)]
    reader = EventsReader(format="lines", end="<end>")
    recording = read(tmp_path / "log", lines, reader)
    learned = written(LearnedData.of(recording.select(np.arange(60))))
    known, new = learned.split(read(tmp_path / "now", [*lines, *lines[:40:2]], reader))
    assert identities(known) == identities(recording)[:60]
    assert len(new) == 40
    assert learned.describe(read(tmp_path / "other", lines[::-1], reader)) == ""


@pytest.mark.parametrize("before", [0, 300])
def test_the_learned_part_of_a_stream_ends_where_it_ended_in_training(tmp_path, before):
    chance = random.Random(3)
    symbols = [chance.choice("abcd") + "\n" for _ in range(3_000)]
    recording = read(tmp_path / "log", symbols[:2_500], SymbolsReader())
    train, _ = HeldOut(0.1).split(recording)
    learned = written(LearnedData.of(train))
    now = read(tmp_path / "now", symbols[before:], SymbolsReader())
    known, new = learned.split(now)
    assert (len(known.ids), len(new.ids)) == (2_250 - before, 750)
    assert new.has_start.tolist() == [False]
    assert learned.describe(now) == f"the first {2_250 - before:,} of its {3_000 - before:,} symbols were learned from"
    assert learned.describe(read(tmp_path / "other", symbols[1_500:], SymbolsReader())) == ""


def test_a_file_that_was_learned_from_as_a_whole_is_not_made_empty(tmp_path):
    for name, content in (("a", "one text"), ("b", "another one"), ("c", "a third one")):
        (tmp_path / name).write_text(content)
    recording = TextReader(end="<end>").read(tmp_path)
    rest, known, note = without_learned(LearnedData.of(recording), recording)
    assert (len(rest), known) == (3, None)
    assert note == "all of its 3 sequences were learned from: no figures for new data"
    assert without_learned(None, recording) == (recording, None, "")


def test_very_many_sequences_are_recognised_by_a_sample(tmp_path):
    rows = [f"c{case},2024-01-01 00:00:{case % 60:02},{case % 7}\n" for case in range(4 * MAX_KEYS)]
    recording = read(tmp_path / "log.csv", [HEADER, *rows], BY_CASE)
    learned = LearnedData.of(recording)
    assert len(json.dumps(learned.to_json())) < 6 * MAX_KEYS
    assert learned.describe(recording) in [
        f"about {share} % of its 32,768 sequences were learned from" for share in range(90, 101)
    ]


@pytest.mark.parametrize("found", [None, 5, {"keys": "é"}, {"keys": 3}, {"keys": "AAA="}, {"window": "x"}])
def test_a_description_that_is_damaged_is_none(found):
    assert LearnedData.from_json(found) is None
