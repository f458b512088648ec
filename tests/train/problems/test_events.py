"""Recorded events: laid out as they came, learned with resets where they begin, judged as a device will see them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import read_source
from stepcell.runtime.common.errors import CorpusError, ProblemError
from stepcell.runtime.data import Corpus, EventsReader, Recording
from stepcell.train import Events, Network, Options, Run, Text, fit
from stepcell.train.fitting.predictions import Predictions

# What comes first decides what comes last, and a third of the sequences have one symbol more.
KINDS = [["a", "x", "y", "A"], ["b", "x", "y", "B"], ["b", "x", "x", "y", "B"]]
DRAWN = np.random.default_rng(0).integers(0, len(KINDS), 150)
SEQUENCES = [KINDS[kind] for kind in DRAWN]
CERTAIN = 4 / 5  # about that share of the answers is certain; what comes first is not


@pytest.fixture(scope="module", autouse=True)
def without_xla():
    """Compiling with it would take most of the time."""
    recipe = Events.recipe.fget
    patch = pytest.MonkeyPatch()
    patch.setattr(Events, "recipe", property(lambda self: replace(recipe(self), xla=False, max_updates=300)))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def events():
    return Events.of(SEQUENCES, held_out=0.2)


@pytest.fixture(scope="module")
def fitted(events):
    return fit(events, Network("gru", 16), Options(seed=1))


def spell(problem, ids):
    return [problem.vocabulary.decode(int(id)) for id in ids]


def test_every_chunk_goes_on_where_its_lane_ended_through_whole_sequences(events):
    updates = events.chunks
    batches = events.batches(0, updates, seed=3)
    known = {("<end>", *sequence) for sequence in SEQUENCES}
    for lane in range(batches.inputs.shape[2]):
        inputs = spell(events, batches.inputs[:, :, lane].ravel())
        targets = spell(events, batches.targets[:, :, lane].ravel())
        hidden = [place for place, symbol in enumerate(inputs) if symbol == "<unknown>"]
        agree = [a == b for a, b in zip(inputs[1:], targets[:-1], strict=True)]
        assert [place + 1 for place, same in enumerate(agree) if not same] == [place for place in hidden if place]
        starts = [place for place, symbol in enumerate(inputs) if symbol == "<end>"]
        whole = [tuple(targets[a - 1 : b - 1]) for a, b in itertools.pairwise(starts) if a]
        assert len(whole) > 5
        assert set(whole) <= known
    assert batches.weights.min() == 1


def test_the_state_is_forgotten_where_most_sequences_begin_and_hardly_anywhere_else(events):
    batches = events.batches(0, 40, seed=3)
    begins = batches.inputs == events.vocabulary.encode("<end>")
    assert batches.resets.shape == batches.inputs.shape
    assert 0.8 < batches.resets[begins].mean() < 0.98
    assert batches.resets[~begins].mean() < 0.02


def test_sequences_come_in_another_order_in_each_pass(events):
    first, second = (events.batches(number * events.chunks, 1, seed=3).inputs for number in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, events.batches(0, 1, seed=3).inputs)
    assert all(events.batches(number * events.chunks, 1, seed=3).resets[0, 0].all() for number in (0, 1, 2))


def test_batches_do_not_depend_on_how_updates_are_divided_among_them(events):
    whole = events.batches(0, 12, seed=4)
    parts = [events.batches(first, count, seed=4) for first, count in ((0, 5), (5, 1), (6, 6))]
    for name in ("inputs", "targets", "weights", "resets"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts]))


def test_what_is_held_out_is_judged_once_with_resets_and_once_without(events):
    streams = events.evaluations(0)
    judged = streams["per_sequence"]
    assert int(judged.weights.sum()) == len(events.corpus.encoded_held_out)
    assert (judged.inputs[judged.resets] == events.vocabulary.encode("<end>")).all()
    assert int(judged.resets.sum()) == len(events.corpus.held_out)
    assert not streams["carried"].resets.any()
    assert np.array_equal(streams["carried"].inputs, judged.inputs)


def test_more_than_can_be_evaluated_is_thinned_evenly(events):
    class Thinned(Events):
        max_evaluated = 60

    thinned = Thinned(events.corpus).evaluations(0)["per_sequence"]
    assert 30 <= thinned.weights.sum() <= 70


def test_everything_that_can_be_known_is_learned_the_first_symbol_s_share_too(fitted, events):
    score = fitted.scores["per_sequence"]
    first = np.mean(DRAWN == 0)
    surprise = -(first * np.log(first) + (1 - first) * np.log(1 - first))
    assert score.nats < (surprise + 0.7) / 5 + 0.05
    assert fitted.scores["carried"].nats < score.nats + 0.05
    assert fitted.scores["reset"].nats > score.nats + 0.1


def test_positions_are_counted_from_the_beginning_of_a_sequence(events):
    streams = events.evaluations(0)["per_sequence"]
    zeros = np.zeros(streams.inputs.shape)
    positions = Predictions(streams, zeros > 0, zeros, zeros).positions()
    assert positions[streams.weights > 0].max() == 6


def test_one_long_sequence_is_learned_in_lanes_and_has_no_resets_within(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("what\n" + "".join(f"{'abcab'[n % 5]}\n" for n in range(900)))
    problem = Events.from_file(path, EventsReader())
    assert list(problem.evaluations(0)) == ["carried"]
    assert problem.batches(0, 3, seed=0).resets.shape == (3, 4)
    fitted = fit(problem, Network("gru", 12), Options(seed=1))
    assert fitted.stopped == "solved"


def test_the_unknown_symbol_is_shown_now_and_then_where_no_symbol_is_rare(events):
    inputs = events.batches(0, 60, seed=0).inputs
    unknown = events.vocabulary.encode("<unknown>")
    assert 0 < (inputs == unknown).mean() < 0.01
    assert not (events.batches(0, 60, seed=0).targets == unknown).any()
    rare = Events.of([*SEQUENCES, ["once", "x"], ["a", "never"]], min_count=2, held_out=0.01)
    share = (rare.corpus.encoded_train.inputs == rare.vocabulary.encode("<unknown>")).mean()
    assert (rare.batches(0, 60, seed=0).inputs == rare.vocabulary.encode("<unknown>")).mean() < 4 * share


def test_rare_events_weigh_more_where_that_is_asked_for():
    weights = Events.of(SEQUENCES, class_balance=1.0).answer_weights
    problem = Events.of(SEQUENCES, class_balance=1.0)
    tape = problem.corpus.encoded_train
    totals = np.bincount(tape.targets, weights[tape.targets], len(problem.vocabulary))
    assert totals[totals > 0] == pytest.approx(np.full(7, len(tape) / 7), rel=1e-5)
    heavy = Events.of(SEQUENCES, symbol_weights={"A": 3.0})
    batches = heavy.batches(0, 2, seed=0)
    is_a = batches.targets == heavy.vocabulary.encode("A")
    assert batches.weights[is_a].mean() == pytest.approx(3 * batches.weights[~is_a].mean())
    assert {1.0, 0.0} >= set(heavy.evaluations(0)["per_sequence"].weights.ravel())  # judged as they come


def test_each_sequence_weighs_the_same_where_that_is_asked_for():
    problem = Events.of(SEQUENCES, sequence_weights=True)
    tape, factors = problem.corpus.encoded_train, problem.sequence_factors
    totals = np.add.reduceat(factors * tape.weights, tape.starts[:-1])
    assert totals == pytest.approx(np.full(len(totals), totals[0]), rel=1e-5)
    assert np.average(factors, weights=tape.weights) == pytest.approx(1.0)
    weights = problem.batches(0, 8, seed=0).weights
    assert weights.max() > 1.05 > 0.95 > weights[weights > 0].min()
    assert {1.0, 0.0} >= set(problem.evaluations(0)["per_sequence"].weights.ravel())  # judged as they come
    assert problem.to_json()["sequence_weights"]
    assert "sequence_weights" not in Events.of(SEQUENCES).to_json()  # as in runs of earlier versions


def test_a_part_that_was_learned_from_is_judged_beside_the_held_out_part(fitted, events):
    learned, held_out = events.learned_sample(), events.evaluations(0)["per_sequence"]
    assert learned.inputs.shape == held_out.inputs.shape  # so that nothing is compiled anew
    assert 0.8 < learned.weights.sum() / held_out.weights.sum() < 1.2
    assert fitted.learned.nats == pytest.approx(fitted.scores["per_sequence"].nats, abs=0.2)
    assert fitted.kept_update in {row.update for row in fitted.history}
    text = Text.of("ab" * 300 + "abb" * 300)
    sample = text.learned_sample()
    assert sample.inputs.shape == text.evaluations(0)["carried"].inputs.shape
    assert sample.inputs[:, 0].tolist() == text.corpus.encoded_train.inputs[-len(sample.inputs) :].tolist()


def test_a_run_records_what_needs_no_network_and_its_size(fitted, events, tmp_path):
    Run(tmp_path, events, Network(), Options()).finish(fitted)
    training = json.loads((tmp_path / "run.json").read_text())["training"]
    assert training["parameters"] == fitted.parameters
    assert training["bits_per_symbol"] == pytest.approx(fitted.scores["per_sequence"].nats / np.log(2), rel=1e-4)
    best, frequencies = training["baselines"].items()
    assert best[0].endswith("-gram with back-off")
    assert frequencies[0] == "the most frequent symbol (1-gram)"
    assert best[1]["bits_per_symbol"] < frequencies[1]["bits_per_symbol"]


@pytest.mark.parametrize(
    ("make", "error", "problem"),
    [
        (
            lambda: Events.of(["ab" * 60], end=None, sequence_weights=True),
            ProblemError,
            "there is one alone: name the column .* with --sequence COLUMN",
        ),
        (
            lambda: Events.of(SEQUENCES, class_balance=2, symbol_weights={"q": -1}),
            ProblemError,
            "class_balance is 2.*'q' is to weigh -1",
        ),
        (lambda: Events.of([["a", "b"]] * 9), CorpusError, "has 18 symbols; at least 64"),
        (lambda: Events.of([["a"] * 9] * 9, end=None), CorpusError, "repeats one symbol, 'a'"),
        (lambda: Events.of([["a"], ["b"]] * 50, end=None), CorpusError, "repeats one symbol, nothing"),
        (
            lambda: Events.of([["a", "b"]] * 99, symbol_weights={"a": 0, "b": 0, "<end>": 0}),
            ProblemError,
            "weigh nothing",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused(make, error, problem):
    with pytest.raises(error, match=problem):
        make().answer_weights  # noqa: B018


def test_a_run_says_how_its_data_were_read_and_the_exporter_passes_it_on(events, fitted, tmp_path):
    run = Run(tmp_path / "run", events, Network("gru", 16), Options(seed=1))
    run.begin()
    assert (tmp_path / "run" / "data.png").read_bytes().startswith(b"\x89PNG")
    run.finish(fitted)
    source = read_source(tmp_path / "run")
    assert source.vocabulary == events.vocabulary
    assert source.vocabulary.unknown == "<unknown>"
    assert source.training["data"]["end"] == "<end>"
    assert source.training["data"]["held_out"] == {"share": 0.2, "by": None}
    assert "packed sequences" in source.training["framing"]
    assert source.sample[0] == "<end>"


def test_the_command_shows_what_it_read_before_it_trains(tmp_path):
    path = tmp_path / "log.csv"
    rows = [f"{number};{symbol}" for number, sequence in enumerate(SEQUENCES) for symbol in sequence]
    path.write_text("case;what\n" + "\n".join(rows) + "\n;x\n")
    command = ["train", "events", path, "--symbol", "what", "--sequence", "case", "--max-updates", 2]
    options = [
        "--symbol-weight",
        "A=2",
        "--sequence-weights",
        "--max-parameters",
        260,
        "--out",
        tmp_path / "run",
        "--json",
    ]
    result = CliRunner().invoke(app, [str(part) for part in command + options])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["scores"]["per_sequence"]["answers"] > 0
    assert "units: 4, 248 parameters (--max-parameters 260)" in result.stderr
    learned = next(line for line in result.stderr.splitlines() if line.startswith("learned"))
    symbols = len(Events.of(SEQUENCES).corpus.train.ids)
    assert learned.split()[1:8] == ["135", str(symbols), "6", "4", "4", "5", "100.00"]
    assert "csv, separated by ';'" in result.stderr
    assert "left out: 1 without a sequence (the first in line" in result.stderr
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["problem"]["symbol_weights"] == {"A": 2.0}
    assert (run["problem"]["sequence_weights"], run["network"]["units"], run["parameters"]) == (True, 4, 248)
    assert run["training"]["data"]["reading"]["symbol"] == "what"
    wrong = CliRunner().invoke(
        app, [str(part) for part in [*command, "--symbol-weight", "A", "--out", tmp_path / "other"]]
    )
    assert "--symbol-weight A is not SYMBOL=FACTOR" in wrong.output
    for weight in ("-1", "nan", "inf"):
        options = ["--symbol-weight", f"A={weight}", "--out", tmp_path / "other"]
        wrong = CliRunner().invoke(app, [str(part) for part in [*command, *options]])
        assert f"'A' is to weigh {weight}, it must be 0 or more and finite" in wrong.output


def test_a_corpus_may_come_in_two_parts():
    corpus = Corpus.of_parts(Recording.of(SEQUENCES), Recording.of(KINDS), end="<end>")
    judged = Events(corpus).evaluations(0)["per_sequence"]
    assert int(judged.weights.sum()) == sum(map(len, KINDS)) + len(KINDS)
