"""Labelled events: each row is answered with its label, judged at each step and at the end."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from support.command_line import stepcell

from stepcell.export import read_source
from stepcell.runtime.common.errors import CorpusError, ProblemError
from stepcell.runtime.data import EventsReader, HeldOut
from stepcell.runtime.evaluation import read_target_data
from stepcell.runtime.format.manifest import Manifest
from stepcell.runtime.format.tensor_specs import Feature
from stepcell.train import Network, Options, Run, fit
from stepcell.train.problems.labels import LabelledEvents

READER = EventsReader(symbol="sensor", sequence="walk", order="second")
SIGNS = {"walk": "a", "run": "b", "fall": "c"}


def moment(second):
    return f"2024-05-01T12:00:0{second}Z"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Sequences whose third symbol tells their label, in the order of time and not of sequences."""
    random, rows = np.random.default_rng(0), []
    for walk in range(60):
        kind = random.choice(list(SIGNS))
        for second in range(int(random.integers(5, 9))):
            sensor = SIGNS[kind] if second == 2 else random.choice(list("xyz"))
            rows.append((second, walk, sensor, kind))
    found = tmp_path_factory.mktemp("data") / "steps.csv"
    lines = [f"{walk},{moment(second)},{sensor},{kind}\n" for second, walk, sensor, kind in sorted(rows)]
    found.write_text("walk,second,sensor,kind\n" + "".join(lines))
    return found


@pytest.fixture(scope="module")
def problem(path):
    return LabelledEvents.from_labelled_file(path, READER, "kind", split=HeldOut(0.25))


def test_every_row_has_its_label_as_target(problem):
    assert problem.labels.symbols == ("fall", "run", "walk")
    for encoded, recording in (
        (problem.corpus.encoded_train, problem.corpus.train),
        (problem.corpus.encoded_held_out, problem.corpus.held_out),
    ):
        assert encoded.weights.all()
        for first, last in zip(encoded.starts[:-1], encoded.starts[1:], strict=True):
            label = problem.labels.symbols[encoded.targets[first]]
            assert set(encoded.targets[first:last]) == {encoded.targets[first]}
            assert problem.vocabulary.decode(int(encoded.inputs[first + 2])) == SIGNS[label]
        assert len(encoded) == len(recording.ids)
    batches = problem.batches(0, 2, seed=1)
    assert set(np.unique(batches.targets)) <= {0, 1, 2}


def test_the_end_of_each_sequence_is_judged_by_itself(problem):
    streams = problem.evaluations(0)
    end, every = streams["at_end"], streams["per_sequence"]
    assert end.weights.sum() == len(problem.corpus.held_out)
    assert every.weights.sum() == len(problem.corpus.held_out.ids)
    after = np.argwhere(end.weights[:-1] > 0)
    assert all(every.resets[step + 1, row] or not every.weights[step + 1, row] for step, row in after)


@pytest.mark.slow
def test_labels_are_learned_and_stand_in_the_run(problem, tmp_path):
    recipe = replace(problem.recipe, xla=False, max_updates=400)

    class Quick(LabelledEvents):
        @property
        def recipe(self):
            return recipe

    quick = Quick(problem.corpus)
    options = Options(seed=1)
    with closing(Run(tmp_path / "run", quick, Network("gru", 12), options)) as run:
        fitted = fit(quick, Network("gru", 12), options)
        run.finish(fitted)
    assert fitted.scores["at_end"].accuracy == 1.0
    assert fitted.scores["per_sequence"].accuracy > 0.75
    source = read_source(tmp_path / "run")
    assert source.labels.symbols == ("fall", "run", "walk")
    assert source.training["data"]["targets"] == ["kind"]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["at_end"]["accuracy"] == 1.0


def test_a_file_may_be_held_out_with_its_labels(path, tmp_path):
    other = tmp_path / "other.csv"
    head, *lines = path.read_text().splitlines(keepends=True)
    seen = [line for line in lines if line.startswith("1,")]  # that was learned from: it is left out
    new = [f"new,{moment(second)},{sensor},run\n" for second, sensor in enumerate("zxyb")]
    other.write_text(head + "".join(seen + new))
    problem = LabelledEvents.from_labelled_file(path, READER, "kind", held_out_file=other)
    assert len(problem.corpus.held_out) == 1
    assert problem.corpus.encoded_held_out.targets.tolist() == [1] * 4
    assert len(problem.corpus.encoded_train) == len(lines)


def test_rows_that_were_learned_from_are_left_out_of_the_evaluation_of_a_grown_file(problem, path, tmp_path):
    manifest = Manifest(
        "steps", problem.vocabulary, (), (), labels=problem.labels, training={"data": problem.corpus.to_json()}
    )
    same = read_target_data(manifest, path, [])
    held_out = problem.corpus.encoded_held_out
    np.testing.assert_array_equal(same.targets, held_out.targets)
    np.testing.assert_array_equal(same.inputs.ids, held_out.inputs)
    grown = tmp_path / "grown.csv"
    grown.write_text(path.read_text() + "".join(f"new,{moment(n)},x,fall\n" for n in range(5)))
    more = read_target_data(manifest, grown, [])
    assert len(more.targets) == len(held_out) + 5
    assert any("learned from" in note for note in more.notes)


def test_gaps_have_the_label_of_the_row_before_them(path, problem):
    reader = replace(READER, gaps="2s", gap_feature=True)
    with_gaps = LabelledEvents.from_labelled_file(path, reader, "kind", split=HeldOut(0.25))
    plain, encoded = problem.corpus.encoded_train, with_gaps.corpus.encoded_train
    assert len(encoded) == 2 * len(plain) - len(problem.corpus.train)  # none after the first row of a sequence
    names = with_gaps.vocabulary.symbols
    is_gap = np.array([names[id].startswith("gap") for id in encoded.inputs])
    np.testing.assert_array_equal(encoded.targets[~is_gap], plain.targets)
    np.testing.assert_array_equal(encoded.targets[is_gap], encoded.targets[np.flatnonzero(is_gap) - 1])
    features = (Feature("gap", (1,)),)
    manifest = Manifest(
        "steps", with_gaps.vocabulary, (), (), labels=with_gaps.labels, features=features,
        training={"data": with_gaps.corpus.to_json()},
    )  # fmt: skip
    read, held_out = read_target_data(manifest, path, []), with_gaps.corpus.encoded_held_out
    np.testing.assert_array_equal(read.targets, held_out.targets)
    np.testing.assert_array_equal(read.inputs.ids, held_out.inputs)
    np.testing.assert_array_equal(read.inputs.features["gap"], held_out.features.values)


def test_rare_labels_may_weigh_more(path):
    weighted = LabelledEvents.from_labelled_file(path, READER, "kind", class_balance=1.0, symbol_weights={"fall": 2.0})
    targets = weighted.corpus.encoded_train.targets
    totals = [weighted.answer_weights[label] * (targets == label).sum() for label in range(3)]
    assert totals[0] == pytest.approx(2 * totals[1], rel=1e-5) == pytest.approx(2 * totals[2], rel=1e-5)
    with pytest.raises(ProblemError, match="'x' is to weigh 2 and is not known .*'fall'"):
        LabelledEvents.from_labelled_file(path, READER, "kind", symbol_weights={"x": 2.0})


@pytest.mark.parametrize(
    ("label", "changes", "said"),
    [
        ("walk", {}, None),
        ("one", {}, "The column 'one' of .* has the one label 'same'; 2 to 1,000 can be learned"),
        ("gone", {}, "no column 'gone'"),
        ("some", {}, "nothing in the columns 'some', 'walk': left out: 1 without .*every row must be whole"),
        ("kind", {"end": "<end>"}, "Labels belong to the rows of the table: leave out --end"),
    ],
)
def test_a_column_that_holds_no_labels_is_refused(path, tmp_path, label, changes, said):
    head, *lines = path.read_text().splitlines()
    table = tmp_path / "table.csv"
    rows = [f"{line},same,{'' if number == 3 else number % 2}\n" for number, line in enumerate(lines)]
    table.write_text(f"{head},one,some\n" + "".join(rows))
    if said is None:
        assert len(LabelledEvents.from_labelled_file(table, READER, label).labels) == 60
        return
    with pytest.raises(CorpusError, match=said):
        LabelledEvents.from_labelled_file(table, replace(READER, **changes), label)


def test_the_command_refuses_a_column_before_anything_is_trained(path, tmp_path):
    columns = ["--symbol", "sensor", "--sequence", "walk", "--order", "second"]
    result = stepcell("train", "events", path, *columns, "--label", "Kind", "--out", tmp_path / "run")
    assert result.exit_code != 0
    assert "no column 'Kind' (--label), perhaps 'kind'" in result.stderr
