"""A model file is evaluated as a device runs it, and compared with n-grams."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from support.models import DATA, path_of
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.runtime import load
from stepcell.runtime.common.errors import CorpusError, OptionError, TargetError
from stepcell.runtime.data import Corpus, HeldOut, Recording, encode_sequences
from stepcell.runtime.data.events import EventsReader
from stepcell.runtime.evaluation import (
    EvaluationData,
    EvaluationModes,
    NGram,
    SymbolScores,
    baselines,
    evaluate,
    read_evaluation_data,
)
from stepcell.runtime.format.manifest import Manifest
from stepcell.runtime.format.vocabulary import Vocabulary

LETTERS = Vocabulary(("a", "b", "c", "<end>"))
SEQUENCES = ["ab", "ac", "abab", "b", "ccab", "ab"]
MEMORY = ["30123", "40124", "30123", "40124"]


def encoded(sequences, end="<end>", vocabulary=LETTERS):
    return encode_sequences(Recording.of(sequences), vocabulary, end)


def plain_n_gram(sequences, order, history, symbol):
    """Witten and Bell, as their formula says, for the probability of one symbol."""
    if order == 0:
        return 1 / len(LETTERS)
    shorter = plain_n_gram(sequences, order - 1, history, symbol)
    context = history[len(history) - order + 1 :]
    if order - 1 > len(history):
        return shorter
    followers = []
    for sequence in sequences:
        whole = ["<end>", *sequence, "<end>"]
        places = range(order - 1, len(whole))
        followers += [whole[i] for i in places if i > 0 and whole[i - order + 1 : i] == context]
    if not followers:
        return shorter
    different = len(set(followers))
    return (followers.count(symbol) + different * shorter) / (len(followers) + different)


@pytest.fixture(scope="module")
def memory():
    return load(DATA / "memory.tflite", backend="litert")


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "memory.lines"
    path.write_text("".join(" ".join(sequence) + "\n" for sequence in MEMORY * 10))
    return path


def run_command(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_an_n_gram_predicts_as_the_formula_of_witten_and_bell_says(order):
    scores = ["abc", "cca", "b"]
    found = NGram(encoded(SEQUENCES), len(LETTERS), order).score(encoded(scores))
    wanted = []
    for sequence in scores:
        whole = ["<end>", *sequence, "<end>"]
        wanted += [plain_n_gram(SEQUENCES, order, whole[:i], whole[i]) for i in range(1, len(whole))]
    np.testing.assert_allclose(np.exp(found.log_probabilities), wanted, rtol=1e-12)


def test_the_distributions_of_an_n_gram_sum_to_one_whatever_came_before():
    strange = Recording.of(["cbcbacb", "aaaa"])
    parts = []
    for target in LETTERS:
        sequences = encode_sequences(strange, LETTERS, "<end>")
        every = replace(sequences, targets=np.full(len(sequences), LETTERS.encode(target), np.int32))
        parts.append(np.exp(NGram(encoded(SEQUENCES), len(LETTERS), 4).score(every).log_probabilities))
    np.testing.assert_allclose(sum(parts), 1)


def test_an_n_gram_knows_how_sequences_begin_and_end_and_does_not_look_across():
    model = NGram(encoded(["abc"] * 50), len(LETTERS), 3)
    assert model.score(encoded(["abc"])).accuracy == 1
    assert model.score(encoded(["abc"])).positions.tolist() == [1, 2, 3, 4]


def test_each_mode_gives_what_stepping_gives(memory):
    sequences = encoded(MEMORY, None, memory.vocabulary)
    stream = memory.stream()
    answers = []
    for sequence in MEMORY:
        stream.reset()
        answers += [stream.step(symbol).probabilities for symbol in sequence[:-1]]
    scores = EvaluationModes(memory, sequences).reset()
    rows = np.arange(len(answers))
    np.testing.assert_array_equal(scores.log_probabilities, np.log(np.stack(answers)[rows, scores.targets], dtype="f8"))
    stream.reset()
    carried = stream.score("".join(MEMORY)).log_probabilities
    within = [i for i in range(len(carried)) if i % 5]
    np.testing.assert_allclose(
        EvaluationModes(memory, sequences).carried().log_probabilities, carried[within], rtol=1e-6
    )


def test_memory_shows_only_in_the_modes_that_allow_it(memory):
    modes = EvaluationModes(memory, encoded(MEMORY * 20, None, memory.vocabulary))
    assert modes.reset().accuracy == 1
    assert modes.windowed(3).accuracy < 1
    assert modes.memoryless().accuracy <= 7 / 8  # what follows 2 takes memory
    assert modes.windowed(4) is None  # that is all there is


def test_a_window_shows_the_last_symbols_and_not_more(memory):
    sequences = encoded(MEMORY[:2], None, memory.vocabulary)
    scores, stream, wanted = EvaluationModes(memory, sequences).windowed(2), memory.stream(), []
    for sequence in MEMORY[:2]:
        for position in range(1, 5):
            stream.reset()
            wanted.append(stream.score(sequence[max(position - 2, 0) : position + 1]).log_probabilities[-1])
    np.testing.assert_allclose(scores.log_probabilities, wanted, rtol=1e-6)
    assert scores.positions.tolist() == [1, 2, 3, 4] * 2


@pytest.mark.parametrize("at_a_time", [1, 20, 70])
def test_scoring_in_small_parts_changes_nothing(memory, at_a_time):
    modes = EvaluationModes(memory, encoded(MEMORY * 3, None, memory.vocabulary))
    parts = replace(modes, at_a_time=at_a_time)
    for mode in ("reset", "carried", "memoryless"):
        one, other = getattr(modes, mode)(), getattr(parts, mode)()
        np.testing.assert_array_equal(one.log_probabilities, other.log_probabilities)
        np.testing.assert_array_equal(one.positions, other.positions)


def test_calibration_is_the_mean_distance_of_confidence_and_accuracy():
    probabilities = np.array([[0.8, 0.2]] * 10 + [[0.35, 0.65]] * 10)
    targets = np.array([0] * 6 + [1] * 4 + [1] * 9 + [0], np.int32)
    scores = SymbolScores.of(probabilities, targets, np.ones(20, np.int64))
    assert scores.calibration_error == pytest.approx((0.2 + 0.25) / 2)
    assert [row["accuracy"] for row in scores.reliability()] == [0.9, 0.6]
    assert scores.mistakes(["x", "y"])[0] == {
        "actual": "y", "predicted": "x", "count": 4, "share_of_mistakes": 0.8, "share_of_symbol": 4 / 13,
    }  # fmt: skip


def test_positions_come_one_by_one_and_then_in_ranges_and_few_symbols_are_put_together():
    positions = np.array([1] * 3 + [2] * 30 + [3] * 12 + list(range(9, 17)) + list(range(17, 40)))
    size = len(positions)
    scores = SymbolScores.of(np.full((size, 2), 0.5), np.zeros(size, np.int32), positions)
    rows = scores.by_position()
    assert [(row["from"], row["to"], row["symbols"]) for row in rows] == [
        (1, 2, 33),
        (3, 3, 12),
        (4, 32, 24),
        (33, 64, 7),
    ]
    assert {row["bits_per_symbol"] for row in rows} == {1.0}


def test_a_network_that_is_worse_than_counting_is_called_so(memory):
    sequences = encoded(["31313131"] * 5, None, memory.vocabulary)
    evaluation = evaluate(memory, EvaluationData(sequences, sequences, 0, ()))
    assert evaluation.verdict().startswith("counting is better than the network: -")
    assert evaluation.baselines[0].scores.accuracy == 0  # the last symbol never comes again


def manifest(data=None, vocabulary=LETTERS):
    training = {} if data is None else {"data": data}
    return Manifest("log", vocabulary, (), (), training=training)


def test_the_training_file_is_evaluated_on_the_part_that_was_held_out_then(tmp_path):
    path = tmp_path / "log.lines"
    path.write_text("".join(" ".join(sequence) + "\n" for sequence in SEQUENCES * 5))
    reading = EventsReader(format="lines", end="<end>")
    recording = reading.read(path)
    data = {
        "reading": reading.to_json(), "end": "<end>", "held_out": {"share": 0.2, "by": None},
        "sha256": recording.sha256,
    }  # fmt: skip
    learned, held_out = HeldOut(0.2).split(recording)
    same = read_evaluation_data(manifest(data), path)
    np.testing.assert_array_equal(same.test.inputs, encode_sequences(held_out, LETTERS, "<end>").inputs)
    np.testing.assert_array_equal(same.train.inputs, encode_sequences(learned, LETTERS, "<end>").inputs)
    assert "the part that was held out then" in same.notes[-1]
    other = tmp_path / "other.lines"
    other.write_text("a b\nc\n")
    beside = read_evaluation_data(manifest(data), other, path)
    assert len(beside.test.starts) == 3  # all of it
    np.testing.assert_array_equal(beside.train.inputs, same.train.inputs)
    apart = {**data, "held_out": None}  # the parts came apart, so the held-out part is not known
    for seen in (
        read_evaluation_data(manifest(data), path, held_out=0.5),
        read_evaluation_data(manifest(apart), path),
        read_evaluation_data(manifest(apart), path, other),
    ):
        assert any("the model has seen that file in training" in note for note in seen.notes)


def test_sequences_of_a_grown_log_that_were_learned_from_are_left_out_and_the_baselines_learn_from_them(tmp_path):
    path, chance = tmp_path / "log.lines", random.Random(1)
    lines = [" ".join(chance.choices("abc", k=chance.randint(1, 5))) + "\n" for _ in range(90)]
    path.write_text("".join(lines))
    reader = EventsReader(format="lines", end="<end>")
    recording = reader.read(path)
    train, held_out = HeldOut(0.2).split(recording)
    data = Corpus(train, held_out, LETTERS, "<end>", reader=reader, split=HeldOut(0.2)).to_json()
    path.write_text("".join([*lines, "a b\n", "c\n"]))
    found = read_evaluation_data(manifest(data), path)
    assert len(found.test.starts) - 1 == len(held_out) + 2
    np.testing.assert_array_equal(found.train.inputs, encode_sequences(train, LETTERS, "<end>").inputs)
    assert f"{path}: 72 of its 92 sequences were learned from and are left out" in found.notes
    again = read_evaluation_data(manifest({**data, "learned": "?"}), path)
    assert len(again.test.starts) - 1 == 92


@pytest.fixture
def trained(tmp_path):
    """The manifest of a model and the folder of its run, which learned from half of log.lines."""
    path, run = tmp_path / "log.lines", tmp_path / "run"
    path.write_text("".join(" ".join(sequence) + "\n" for sequence in SEQUENCES * 5))
    reader = EventsReader(format="lines", end="<end>")
    data = {
        "reading": reader.to_json(), "end": "<end>", "held_out": {"share": 0.5, "by": None},
        "sha256": reader.read(path).sha256,
    }  # fmt: skip
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"problem": {"source": str(path)}}))
    return manifest(data), path, run


def test_a_new_file_is_evaluated_whole_against_the_training_part_that_a_run_or_a_file_names(trained, tmp_path):
    of_model, path, run = trained
    other = tmp_path / "other.lines"
    other.write_text("a b\nc\na\n")
    learned, _ = HeldOut(0.5).split(EventsReader(format="lines", end="<end>").read(path))
    for source in (path, run):
        found = read_evaluation_data(of_model, other, source)
        assert len(found.test.starts) - 1 == 3
        np.testing.assert_array_equal(found.train.inputs, encode_sequences(learned, LETTERS, "<end>").inputs)
        assert found.notes[-1] == f"baselines learn from {path}, the part that the network learned from"
    held_out = read_evaluation_data(of_model, other, held_out=0.34)
    assert (len(held_out.test.starts) - 1, len(held_out.train.starts) - 1) == (1, 2)


def test_without_training_data_a_new_file_is_evaluated_whole_and_the_missing_comparison_is_named(trained, tmp_path):
    other = tmp_path / "other.lines"
    other.write_text("a b\nc\na\n")
    found = read_evaluation_data(trained[0], other)
    assert (len(found.test.starts) - 1, found.train) == (3, None)
    assert found.notes[-1].startswith("no n-grams: they need the training data. Name them with --baseline-from FILE")


def test_a_run_whose_file_is_missing_changed_or_not_named_is_refused(trained, tmp_path):
    of_model, path, run = trained
    other = tmp_path / "other.lines"
    other.write_text("a b\nc\na\n")
    path.write_text("a b\n" * 9)
    with pytest.raises(CorpusError, match="log.lines, which .*run was trained on, has changed since"):
        read_evaluation_data(of_model, other, run)
    path.unlink()
    with pytest.raises(CorpusError, match="run was trained on .*log.lines, which is not there"):
        read_evaluation_data(of_model, other, run)
    (run / "run.json").write_text('{"problem": {}}')
    with pytest.raises(CorpusError, match="run.json names no file that the run learned from"):
        read_evaluation_data(of_model, other, run)


def test_a_new_file_without_training_data_shows_figures_of_the_network_alone(lines, tmp_path):
    options = ["--format", "lines", "--end", ""]
    shown = run_command(DATA / "memory.tflite", lines, *options, "--report", tmp_path / "report.html")
    assert re.search(r"evaluated: 40 sequences, 160 predictions$", shown.output, re.MULTILINE)
    assert "no n-grams: they need the training data" in shown.output
    assert "-gram with" not in shown.output
    found = json.loads(run_command(DATA / "memory.tflite", lines, *options, "--json").stdout)
    assert list(found["baselines"]) == ["the last symbol again"]
    assert found["best_baselines"] == {"accuracy": "the last symbol again", "bits_per_symbol": None}
    assert found["verdict"].startswith("the network cannot be compared with counting: there are no n-grams; +100.00")


def repeating(lag, seed, length=6_000):
    """A sequence of which the symbol `lag` steps back mostly comes again."""
    random = np.random.default_rng(seed)
    symbols = random.integers(0, 2, length)
    for i in np.flatnonzero(random.random(length) < 0.8):
        symbols[i] = symbols[i - lag] if i >= lag else 0
    return encoded(["".join("ab"[symbol] for symbol in symbols)], None)


@pytest.mark.parametrize(("lag", "orders"), [(1, 5), (5, 6), (7, 8)])
def test_n_grams_go_on_while_they_get_better_and_stop_soon_after(lag, orders):
    found = list(baselines(repeating(lag, 1), repeating(lag, 2), len(LETTERS)))[1:]
    assert len(found) == orders
    assert found[-1].scores.accuracy > 0.85


def test_symbols_that_the_model_does_not_know_are_counted_or_named(tmp_path):
    path = tmp_path / "log.lines"
    path.write_text("a x b\nb y\nc x b\n")
    options = {"format": "lines"}
    with pytest.raises(CorpusError, match="does not know 2 symbols of .*: 'x', 'y'.*knows 4 symbols: 'a'"):
        read_evaluation_data(manifest(), path, path, end="", options=options)
    open_vocabulary = Vocabulary(("a", "b", "c", "?"), "?")
    found = read_evaluation_data(manifest(vocabulary=open_vocabulary), path, path, end="", options=options)
    assert found.unknown == 3
    other = tmp_path / "other.lines"
    other.write_text("a x x\nb y y\n")
    with pytest.raises(CorpusError, match="does not know 4 of the 6 symbols of .*read as in training"):
        read_evaluation_data(manifest(vocabulary=open_vocabulary), other, path, end="", options=options)
    path.write_text("a\n" * 9 + "x x x\n")
    half = read_evaluation_data(manifest(vocabulary=open_vocabulary), path, held_out=0.5, end="", options=options)
    assert half.unknown == int((half.test.inputs == 3).sum()) != int((half.train.inputs == 3).sum())
    with pytest.raises(CorpusError, match="the end symbol '<stop>'.*; nor 1 symbol of"):
        read_evaluation_data(manifest(), path, path, end="<stop>", options=options)
    with pytest.raises(CorpusError, match="read as events; --unit does not apply"):
        read_evaluation_data(manifest({"reading": {"kind": "events"}}), path, options={"unit": "word"})


def test_a_model_that_answers_with_something_else_is_refused(memory):
    sequences = encoded(MEMORY, None, memory.vocabulary)

    with pytest.raises(TargetError, match="answers with labels .* so it cannot be evaluated"):
        EvaluationModes(load(path_of("labelled")), sequences)


def test_data_and_options_that_make_no_sense_are_refused(memory):
    single = encoded(["3", "4"], None, memory.vocabulary)
    with pytest.raises(OptionError, match="no symbol comes after another"):
        evaluate(memory, EvaluationData(single, single, 0, ()))
    sequences = encoded(MEMORY, None, memory.vocabulary)
    with pytest.raises(OptionError, match="above 0: top 0, a window of -1"):
        evaluate(memory, EvaluationData(sequences, sequences, 0, ()), top=(0, 3), window=-1)


def test_the_command_shows_the_model_beside_its_baselines(lines):
    options = ("--format", "lines", "--end", "", "--window", "3", "--held-out", "0.1")
    result = run_command(DATA / "memory.tflite", lines, *options)
    assert result.exit_code == 0, result.output
    for part in (
        "state reset before each sequence",
        "only the last 3 symbols",
        "5-gram with back-off",
        "n-gram accuracy",
    ):
        assert part in result.output
    assert "held out here (0.1); baselines learn from the rest" in result.output
    assert re.search(r"evaluated: 4 sequences, 16 predictions$", result.output, re.MULTILINE)


def test_the_command_gives_the_same_as_json_and_a_report_that_needs_no_network(lines, tmp_path):
    report = tmp_path / "report.html"
    options = ["--format", "lines", "--end", "", "--held-out", "0.1", "--json", "--report", report]
    result = run_command(DATA / "memory.onnx", lines, *options)
    found = json.loads(result.stdout)
    assert found["modes"]["reset"]["accuracy"] == 1
    assert set(found["modes"]) == {"reset", "carried", "memoryless"}  # no window of 50 in five symbols
    assert found["baselines"]["2-gram with back-off"]["bits_per_symbol"] > found["modes"]["reset"]["bits_per_symbol"]
    assert found["verdict"].startswith("the network is")
    page = report.read_text()
    assert page.count("data:image/png;base64,iVBOR") == 2
    assert not re.search(r"(src|href)=.(?!data:)", page)
