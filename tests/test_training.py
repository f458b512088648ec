"""Training: the arithmetic is Keras's, the problems are what they say, and models are judged as they will be used."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from models import MEMORY

from stepcell.runtime.errors import CorpusError, OutputError, ProblemError
from stepcell.train import (
    DivergedError,
    Echo,
    Memory,
    Network,
    Options,
    Order,
    Reber,
    Recall,
    Run,
    Score,
    Streams,
    Text,
    fit,
    score_table,
)
from stepcell.train import fit as fit_function
from stepcell.train.answers import Answers, windows
from stepcell.train.evaluate import Evaluator
from stepcell.train.forward import Forward
from stepcell.train.updater import Updater

WORDS = "the quick brown fox jumps over the lazy dog and then the dog jumps over the fox. " * 40


def random_network(cell, *, layers=2, embedding=0, symbols=6, outputs=5):
    return Network(cell, 7, layers, embedding).build(symbols, outputs, seed=3)


@pytest.mark.parametrize("embedding", [0, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_fast_forward_pass_equals_keras_on_the_whole_sequence(cell, embedding):
    model = random_network(cell, embedding=embedding)
    forward = Forward(model)
    ids = np.random.default_rng(0).integers(0, 6, (9, 4), dtype=np.int32)
    logits, state = forward.logits(tf.constant(ids[:5]), forward.zero_state(4))
    more, _ = forward.logits(tf.constant(ids[5:]), state)
    found = tf.nn.softmax(tf.concat([logits, more], 0))
    assert np.abs(np.asarray(model(ids.T)).transpose(1, 0, 2) - found).max() < 1e-6


@pytest.mark.parametrize("embedding", [0, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_gradients_written_by_hand_equal_those_of_keras(cell, embedding):
    model = random_network(cell, embedding=embedding)
    forward = Forward(model)
    random = np.random.default_rng(0)
    ids, targets = (random.integers(0, 5, (9, 4), dtype=np.int32) for _ in range(2))
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        logits, _ = forward.logits(tf.constant(ids), forward.zero_state(4))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))
    by_hand = tape.gradient(loss, [v.value for v in variables])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(targets.T, model(ids.T)))
    for ours, theirs in zip(by_hand, tape.gradient(loss, [v.value for v in variables]), strict=True):
        assert np.abs(tf.convert_to_tensor(ours) - tf.convert_to_tensor(theirs)).max() < 1e-6


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_long_sequence_in_chunks_has_the_same_state_as_in_one(cell):
    forward = Forward(random_network(cell))
    ids = tf.constant(np.random.default_rng(1).integers(0, 6, (12, 3), dtype=np.int32))
    _, whole = forward.logits(ids, forward.zero_state(3))
    state = forward.zero_state(3)
    for chunk in (ids[:5], ids[5:6], ids[6:]):
        _, state = forward.logits(chunk, state)
    assert all(np.abs(a - b).max() < 1e-6 for a, b in zip(whole, state, strict=True))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_evaluation_one_symbol_at_a_time_equals_keras_on_the_whole_sequence(cell):
    model = random_network(cell)
    random = np.random.default_rng(0)
    ids, targets = (random.integers(0, 5, (11, 4), dtype=np.int32) for _ in range(2))
    weights = (random.random((11, 4)) < 0.7).astype("f4")
    probabilities = np.asarray(model(ids.T)).transpose(1, 0, 2)
    right = np.take_along_axis(probabilities, targets[..., None], -1)[..., 0]
    score = Evaluator(model, xla=False).score(Streams(ids, targets, weights, np.zeros(ids.shape, bool)))
    assert score.nats == pytest.approx((-np.log(right) * weights).sum() / weights.sum(), abs=1e-5)
    assert score.accuracy == pytest.approx(((probabilities.argmax(-1) == targets) * weights).sum() / weights.sum())


def test_evaluation_forgets_where_it_is_told_to():
    model = random_network("lstm")
    ids = np.full((6, 1), 2, np.int32)
    resets = np.array([[0], [0], [1], [0], [1], [1]], bool)
    evaluator = Evaluator(model, xla=False)
    found = evaluator.score(Streams(ids, ids, np.ones(ids.shape, "f4"), resets)).nats
    fresh = -np.log(np.asarray(model(np.full((1, 2), 2)))[0, :, 2])
    assert found == pytest.approx(np.mean([*fresh, *fresh, fresh[0], fresh[0]]), abs=1e-5)


def test_the_memory_problem_is_solved_by_every_kind_of_cell():
    for cell in ("lstm", "gru", "rnn"):
        fitted = fit(MEMORY, Network(cell, 20), Options(seed=1))
        assert fitted.stopped == "solved"
        assert fitted.scores["carried"].accuracy == fitted.scores["per_sequence"].accuracy == 1.0
        assert fitted.scores["reset"].accuracy < 0.95  # without memory one of the two endings is always wrong


def test_a_larger_memory_problem_is_solved():
    fitted = fit(Memory.conflicting(sequences=5, length=10), Network(units=24), Options(seed=1))
    assert fitted.stopped == "solved"


def test_sequences_of_different_lengths_and_any_symbols_are_learned():
    problem = Memory((("on", "a", "b", "a", "off"), ("off", "b", "on"), ("é", "a", "b", "é")))
    fitted = fit(problem, Network("gru", 20), Options(seed=1))
    assert fitted.stopped == "solved"


def test_an_echo_is_learned_and_holds_on_streams_far_longer_than_training():
    problem = Echo(symbols=5, lag=2)
    fitted = fit(problem, Network("gru", 32), Options(seed=1))
    assert fitted.stopped == "solved"
    assert fitted.scores["carried"].steps >= 10 * problem.recipe.time_steps
    assert fitted.scores["carried"].accuracy >= 0.9999
    assert fitted.scores["reset"].accuracy < 0.5


def test_a_text_is_learned_from_its_first_part_and_judged_on_its_last():
    fitted = fit(Text.of(WORDS), Network("gru", 24), Options(seed=1, updates=200))
    assert fitted.scores["carried"].nats < 1.0 < fitted.scores["reset"].nats


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    one, same, other = (fit(MEMORY, Network(units=8), Options(seed=s, updates=30)).model for s in (5, 5, 6))
    pairs = zip(one.get_weights(), same.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert not np.array_equal(one.get_weights()[1], other.get_weights()[1])


def test_training_reads_and_moves_no_global_random_state():
    np.random.seed(1)
    keras.utils.set_random_seed(1)
    before = np.random.get_state()[1].copy()
    fit(MEMORY, Network(units=4), Options(seed=5, updates=1))
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("problem", [MEMORY, Echo(7, 3), Text.of(WORDS)], ids=lambda problem: problem.name)
def test_blocks_do_not_depend_on_how_updates_are_divided_among_them(problem):
    whole = problem.block(0, 12, seed=4)
    parts = [problem.block(first, count, seed=4) for first, count in ((0, 5), (5, 1), (6, 6))]
    for name in ("inputs", "targets", "weights", "resets"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts]))


def test_an_echo_block_asks_for_the_symbol_some_steps_back_and_for_nothing_unknown():
    lag = 3
    block = Echo(50, lag).block(0, 40, seed=0)
    steps, lanes = block.inputs.shape[1:]
    seen = [[] for _ in range(lanes)]
    for update, lane in itertools.product(range(40), range(lanes)):
        if block.resets[update, lane]:
            seen[lane] = []
        for step in range(steps):
            seen[lane].append(block.inputs[update, step, lane])
            known = len(seen[lane]) > lag
            assert block.weights[update, step, lane] == known
            if known:
                assert block.targets[update, step, lane] == seen[lane][-1 - lag]


def test_a_text_block_goes_on_where_the_lane_ended_and_never_reaches_the_held_out_part():
    problem = Text.of(WORDS)
    block = problem.block(0, 30, seed=0)
    text = WORDS
    learned = text[: round(len(text) * 0.9)]
    spell = lambda ids: "".join(problem.vocabulary.decode(int(id)) for id in ids)  # noqa: E731
    for update, lane in itertools.product(range(30), range(block.inputs.shape[2])):
        inputs, targets = spell(block.inputs[update, :, lane]), spell(block.targets[update, :, lane])
        assert inputs[1:] == targets[:-1]
        assert inputs + targets[-1] in learned
        if update and not block.resets[update, lane]:
            assert spell(block.inputs[update - 1, :, lane]) + inputs in learned


def test_a_memory_block_never_scores_what_cannot_be_known():
    problem = Memory((("a", "b", "c"), ("a", "d", "c")))
    for episode in problem.examples(0):
        assert episode.weights.tolist() == [0, 1, 0]  # after a comes b or d; after the last symbol anything


def test_the_default_memory_problem_is_the_published_pair():
    assert MEMORY.sequences == (tuple("30123"), tuple("40124"))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Memory.conflicting(sequences=1, length=2, symbols=1), "cannot conflict.*no middle.*too small"),
        (lambda: Memory(()), "needs sequences"),
        (lambda: Memory((("a", "b"), ("a", "c"))), "Nothing in these sequences can be predicted"),
        (lambda: Echo(symbols=1, lag=-1), "leaves nothing to remember.*cannot be echoed"),
        (lambda: Network("lstn", 0, 0, -1), "'lstn'.*units is 0.*layers is 0.*embedding is -1"),
        (lambda: Options(seed=-1, updates=0, minutes=-2.0), "updates is 0.*minutes is -2.0.*seed is -1"),
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


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"abc", "has 3 symbols; at least 64"),
        (b"\xff\xfe" * 50, "not UTF-8: byte 0 is 0xff"),
        ("hello world\n".encode("utf-16") * 9, "not UTF-8: byte 0 is 0xff"),
        (b"a" * 500, "repeats one symbol, 'a'; there is nothing to predict"),
    ],
)
def test_a_text_that_cannot_be_learned_from_is_refused(content, problem, tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=problem):
        Text.from_file(path)


def test_a_missing_text_is_said_to_be_missing_and_an_empty_folder_to_be_empty(tmp_path):
    with pytest.raises(CorpusError, match="Cannot read .*No such file"):
        Text.from_file(tmp_path / "none.txt")
    with pytest.raises(CorpusError, match="There are no files in the folder"):
        Text.from_file(tmp_path)


def test_a_text_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text(WORDS)

    def refuse(file, *_, **__):  # what the system does, except for the superuser, who may read everything
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(CorpusError, match="Permission denied"):
        Text.from_file(path)


def test_the_shortest_text_allowed_can_be_trained():
    assert fit(Text.of(WORDS[:64]), Network(units=4), Options(updates=2)).stopped == "updates"


def test_a_loss_that_is_not_a_number_ends_training_with_a_reason():
    with pytest.raises(DivergedError, match=r"The loss is nan after \d+ updates. Lower the learning rate"):
        fit(MEMORY, Network("rnn", 4), Options(learning_rate=1e38, updates=50))


def test_a_loss_that_is_lost_later_keeps_the_best_weights_and_says_when(monkeypatch):
    learn, kept = Updater.learn, []

    def learn_and_fail(self, block, first, learning_rate):
        if first == 75:
            kept.extend(self.weights())
            self.set_weights([np.full_like(weight, np.nan) for weight in kept])
            return float("nan"), 0.0
        return learn(self, block, first, learning_rate)

    monkeypatch.setattr(Updater, "learn", learn_and_fail)
    fitted = fit(MEMORY, Network("rnn", 4), Options(learning_rate=0.003))
    assert (fitted.stopped, fitted.history[-1].update) == ("diverged", 75)
    assert all(np.array_equal(a, b) for a, b in zip(fitted.model.get_weights(), kept, strict=True))
    assert "After update 75 the loss was no longer a finite number" in score_table(fitted, 5)[2]


def test_ctrl_c_keeps_what_was_learned():
    def interrupt(row):
        if row.update >= 50:
            raise KeyboardInterrupt

    fitted = fit(Echo(), Network(units=8), Options(), interrupt)
    assert fitted.stopped == "interrupted"
    assert fitted.history[-1].update == 50
    assert fitted.scores["carried"].answers > 0


def test_a_time_limit_ends_training():
    fitted = fit(Text.of(WORDS), Network(units=4), Options(minutes=0.02))
    assert fitted.stopped == "minutes"


def test_the_best_weights_are_kept_and_not_the_last(monkeypatch):
    seen = []
    real = Evaluator.score

    def score(self, streams):
        result = real(self, streams)
        seen.append((result.nats, self._head.kernel.numpy()))
        return result

    monkeypatch.setattr(Evaluator, "score", score)
    fitted = fit(Text.of(WORDS), Network(units=6), Options(updates=150, learning_rate=0.5))
    best = min(seen[:-2], key=lambda pair: pair[0])  # the last two are the final evaluation
    assert np.array_equal(fitted.model.get_layer("probabilities").kernel.numpy(), best[1])


def test_a_run_folder_holds_everything_needed_to_repeat_the_run(memory_run, fitted_memory):
    assert {path.name for path in memory_run.iterdir()} == {
        "model.keras", "run.json", "metrics.json", "history.csv", "sample.txt", "curve.png", "state.png",
    }  # fmt: skip
    run = json.loads((memory_run / "run.json").read_text())
    again = fit_function(
        Memory(tuple(map(tuple, run["problem"]["sequences"]))), Network(**run["network"]), Options(**run["options"])
    )
    saved = keras.models.load_model(memory_run / "model.keras").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(saved, again.model.get_weights(), strict=True))
    metrics = json.loads((memory_run / "metrics.json").read_text())
    assert metrics["carried"]["accuracy"] == fitted_memory.scores["carried"].accuracy
    assert (memory_run / "history.csv").read_text().startswith("update,seconds,")
    assert (memory_run / "curve.png").read_bytes().startswith(b"\x89PNG")


def finish(folder, fitted):
    Run(folder, MEMORY, Network(units=20), Options(seed=7)).finish(fitted)


def test_an_earlier_run_moves_aside_and_nothing_that_is_not_a_run_is_touched(fitted_memory, tmp_path):
    folder = tmp_path / "run"
    previous = tmp_path / "run.previous"
    previous.mkdir()
    (previous / "thesis.tex").write_text("years of work")
    finish(folder, fitted_memory)
    (folder / "notes.txt").write_text("mine")
    first = (folder / "run.json").read_bytes()
    for _ in range(2):
        finish(folder, fitted_memory)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.previous"]
    assert (previous / "model.keras").exists()
    assert (previous / "run.json").read_bytes() == first
    assert (previous / "thesis.tex").read_text() == "years of work"
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_run_can_be_written_to_the_current_folder_and_through_a_link(fitted_memory, tmp_path, monkeypatch):
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    monkeypatch.chdir(real)
    for folder in (Path(), tmp_path / "link"):
        finish(folder, fitted_memory)
    assert (real / "model.keras").exists()
    assert (tmp_path / "real.previous" / "model.keras").exists()


def test_a_run_that_has_learned_nothing_yet_leaves_the_earlier_one_alone(fitted_memory, tmp_path):
    finish(tmp_path / "run", fitted_memory)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    Run(tmp_path / "run", Echo(), Network(), Options())
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="is not empty and holds no run"):
        Run(tmp_path, MEMORY, Network(), Options())
    with pytest.raises(OutputError, match="Cannot write"):
        Run(Path("/dev/null/run"), MEMORY, Network(), Options())


def test_ctrl_c_during_the_last_evaluation_loses_nothing(monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Evaluator, "score_all", interrupt)
    fitted = fit(MEMORY, Network(units=20), Options(seed=7))
    assert (fitted.stopped, fitted.scores) == ("interrupted", {})
    finish(tmp_path / "run", fitted)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["stopped"], run["training"]["accuracy"]) == ("interrupted", None)
    saved = keras.models.load_model(tmp_path / "run" / "model.keras").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(saved, fitted.model.get_weights(), strict=True))


def test_answers_that_are_not_numbers_are_never_written(monkeypatch):
    monkeypatch.setattr(Evaluator, "score", lambda *_: Score(0.0, float("nan"), 1, 1))
    with pytest.raises(DivergedError, match="Lower the learning rate"):
        fit(MEMORY, Network(units=4), Options(updates=1))


def test_an_echo_is_judged_however_long_its_lag():
    streams = Echo(symbols=2, lag=1200).evaluations(0)["carried"]
    assert streams.weights.sum() > 0


def test_reber_strings_follow_the_grammar_and_know_what_may_come_next():
    problem = Reber()
    grammar = re.compile(r"B([TP])B(T(S)*X(X(T)*V|.)*|P.*)E\1E")
    for episode in problem.examples(seed=0):
        string = "".join(problem.vocabulary.decode(int(id)) for id in episode.inputs)
        assert grammar.fullmatch(string), string
        assert episode.allowed[np.arange(len(episode) - 1), episode.targets[:-1]].all()
        assert set(episode.allowed[:-1].sum(axis=1)) <= {1, 2}
        assert episode.allowed[-3].sum() == 1  # only the second symbol tells which


def test_the_reber_grammar_is_learned():
    assert fit(Reber(), Network(units=16), Options(seed=1)).stopped == "solved"


def test_a_key_is_recalled_over_a_long_lag_and_over_twice_that():
    fitted = fit(Recall(lag=40, keys=4), Network(units=24), Options(seed=1))
    assert fitted.stopped == "solved"
    assert fitted.scores["twice_the_lag"].accuracy == 1.0


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


def test_chrono_initialisation_spreads_the_gates_over_all_time_scales_up_to_the_lag():
    lstm = Network("lstm", 200, chrono=100).build(5, 5, seed=0).layers[1]
    i, f, _, _ = np.split(np.array(lstm.cell.bias), 4)
    assert np.allclose(i, -f)
    assert 0 <= f.min() < 1
    assert np.log(90) < f.max() <= np.log(99)
    gru = Network("gru", 200, chrono=100).build(5, 5, seed=0).layers[1]
    assert np.log(90) < np.array(gru.cell.bias)[0, :200].max() <= np.log(99)
    plain = Network("lstm", 4, forget_bias=3.0).build(5, 5, seed=0).layers[1]
    assert np.array(plain.cell.bias).tolist() == [0] * 4 + [3] * 4 + [0] * 8


def test_dropout_acts_in_training_and_not_in_evaluation():
    model = Network("lstm", 50, dropout=0.5).build(5, 5, seed=0)
    forward = Forward(model)
    ids = tf.constant(np.random.default_rng(0).integers(0, 5, (6, 3), dtype=np.int32))
    plain, dropped, again, other = (
        forward.logits(ids, forward.zero_state(3), dropout_seed=seed)[0].numpy()
        for seed in (None, tf.constant([1, 2]), tf.constant([1, 2]), tf.constant([1, 3]))
    )
    assert np.abs(np.asarray(model(ids.numpy().T)).transpose(1, 0, 2) - tf.nn.softmax(plain)).max() < 1e-6
    assert not np.allclose(plain, dropped)
    assert np.array_equal(dropped, again)
    assert not np.array_equal(dropped, other)


def test_answers_are_counted_by_the_number_of_symbols_since_the_last_reset():
    inputs = np.zeros((6, 2), np.int32)
    resets = np.array([[0, 0], [0, 0], [0, 1], [1, 0], [0, 0], [0, 0]], bool)
    right = np.array([[1, 0], [1, 1], [0, 1], [1, 1], [1, 1], [0, 1]], bool)
    streams = Streams(inputs, inputs, np.ones(inputs.shape, "f4"), resets)
    answers = Answers(streams, right, np.zeros(inputs.shape, "f4"), inputs)
    assert answers.positions().T.tolist() == [[1, 2, 3, 1, 2, 3], [1, 2, 1, 2, 3, 4]]
    rows = [(row["from"], row["answers"], row["accuracy"]) for row in answers.by_position()]
    assert rows == [(1, 4, 0.75), (2, 7, 5 / 7), (4, 1, 1.0)]


def test_a_confusion_table_counts_targets_by_rows():
    targets, named = np.array([[0], [1], [1], [2]]), np.array([[0], [1], [2], [2]])
    weights = np.array([[1], [1], [1], [0]], "f4")
    streams = Streams(targets, targets, weights, np.zeros((4, 1), bool))
    table = Answers(streams, targets == named, weights, named).confusion(3)
    assert table.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_a_window_holds_the_symbols_before_its_answer_and_begins_from_nothing():
    inputs = np.arange(40, dtype=np.int32).reshape(20, 2)
    streams = Streams(inputs, inputs + 1, np.ones(inputs.shape, "f4"), np.zeros(inputs.shape, bool))
    drawn = windows(streams, 5, 30, seed=0)
    assert drawn.inputs.shape == (5, 30)
    assert (np.diff(drawn.inputs, axis=0) == 2).all()  # one lane, one step after the other
    assert (drawn.targets[-1] == drawn.inputs[-1] + 1).all()
    assert drawn.weights.sum(axis=0).tolist() == [1] * 30
    assert drawn.resets.sum(axis=0).tolist() == [1] * 30


def test_a_state_that_does_not_last_is_warned_of_with_numbers():
    fitted = fit(Recall(lag=20, keys=3), Network(units=16), Options(seed=1))
    warning = score_table(fitted, 22)[2]
    assert warning.startswith("Reset the state before each sequence")
    scores = {"carried": Score(0.2, 1.0, 1, 4000), "windowed": Score(0.9, 1.0, 1, 25)}
    warning = score_table(replace(fitted, scores=scores), 25)[2]
    assert "90.0 % of the answers are right with only the last 25 symbols in view" in warning
    assert "20.0 % with the state carried over 4,000" in warning
    scores = {"carried": Score(0.9, 1.0, 1, 4000), "windowed": Score(0.9, 1.0, 1, 25)}
    assert score_table(replace(fitted, scores=scores), 25)[2] == ""


def test_a_curriculum_goes_from_problem_to_problem_as_each_is_learned(monkeypatch):
    recipe = Echo.recipe.fget
    monkeypatch.setattr(Echo, "recipe", property(lambda self: replace(recipe(self), xla=False)))
    problem = Echo(3, 8)
    assert [easier.lag for easier in problem.recipe.curriculum] == [1, 2, 3, 4, 5, 6, 7]
    fitted = fit(problem, Network("gru", units=32), Options(updates=250))
    stages = [row.stage for row in fitted.history]
    assert stages == sorted(stages)
    assert stages[-1] > 0
    for before, after in itertools.pairwise(fitted.history):
        assert after.stage - before.stage == (before.accuracy > 0.95)
    assert not any(row.judged for row in fitted.history if row.stage < 7)  # judged by the problem itself alone
    at_once = fit(problem, Network("gru", units=8), Options(updates=50, curriculum=False))
    assert {row.stage for row in at_once.history} == {0}
