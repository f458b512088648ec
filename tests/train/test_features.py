"""Numbers beside the symbols are learned from, exported with the model, and read again to judge it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import build_step_function, check, export, read_source
from stepcell.export.parity.parity import INITIAL
from stepcell.export.parity.sample_inputs import every_symbol, typical_inputs
from stepcell.runtime import FeatureMismatchError, load, read_threshold
from stepcell.runtime.data import (
    Corpus,
    EventsReader,
    FeatureStats,
    HeldOut,
    encode_sequences,
    reader_for_model,
)
from stepcell.runtime.evaluation import EvaluationModes, read_evaluation_data
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.tasks.anomaly import Watch
from stepcell.train import Events, Network, Options, Run, fit
from stepcell.train.fitting.evaluate import windows
from stepcell.train.network.built_network import BuiltNetwork
from stepcell.train.network.forward import forward

FAST, SLOW, FAR = 120.0, 60.0, 101_325.0  # a speed decides what comes next; a pressure far from 0 says nothing
READING = EventsReader(
    "what",
    "case",
    "when",
    end="<end>",
    features={"speed": "Speed (km/h)", "pressure": "pressure"},
    gap_feature=True,
    time_unit="s",
)
SCALES = (
    FeatureStats("speed", 90.0, 900.0),
    FeatureStats("pressure", FAR, 90_000.0),
    FeatureStats("gap", 5.0, 2.0, logarithmic=True),
)
OPTIONS = Options(seed=1, max_updates=300)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A log in which a fast event is followed by A and a slow one by B."""
    path, random = tmp_path_factory.mktemp("log") / "log.csv", np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "when", "what", "Speed (km/h)", "pressure"])
        for case in range(200):
            when, symbol = 1e9 + 1e5 * case, "go"
            for _ in range(7):
                when += float(random.exponential(500))
                speed = random.choice([FAST, SLOW])
                numbers = [f"{speed + random.normal():.2f}", f"{FAR + random.normal(0, 300):.1f}"]
                writer.writerow([case, f"{when:.2f}", symbol, *numbers])
                symbol = "A" if speed == FAST else "B"
    return path


pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.fixture(scope="module")
def events(log):
    return Events.from_file(log, READING, split=HeldOut(0.2))


@pytest.fixture(scope="module")
def fitted(events):
    return fit(events, Network("gru", 12), OPTIONS)


@pytest.fixture(scope="module")
def run(events, fitted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "log"
    Run(folder, events, Network("gru", 12), OPTIONS).finish(fitted)
    return folder


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    source = read_source(run)
    return export(
        source.model, tmp_path_factory.mktemp("build"), vocabulary=source.vocabulary, training=source.training,
        sample=source.sample, sample_features=source.sample_features, steps=300, name="log",
    )  # fmt: skip


def stepcell(*arguments, input=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)


def test_the_end_symbol_has_the_mean_of_each_feature_and_the_file_says_so(events):
    corpus = events.corpus
    learned = corpus.train.features.values.astype(float)
    speed, pressure, gap = (corpus.boundary[name][0] for name in ("speed", "pressure", "gap"))
    assert speed == pytest.approx(learned[:, 0].mean(), rel=1e-5)
    assert pressure == pytest.approx(learned[:, 1].mean(), rel=1e-5)
    assert gap == pytest.approx(np.expm1(np.log1p(learned[:, 2]).mean()), rel=1e-5)
    assert corpus.to_json()["boundary"] == corpus.boundary
    tape = corpus.encoded_train
    beside_ends = tape.features.values[tape.is_start]
    np.testing.assert_array_equal(beside_ends, np.float32([[speed, pressure, gap]] * len(corpus.train)))
    np.testing.assert_array_equal(tape.features.values[~tape.is_start], corpus.train.features.values)


@pytest.mark.parametrize(
    "network",
    [Network("lstm", 5, embedding=3), Network("gru", 6, layers=2), Network("rnn", 4), Network("lstm", 4, embedding=40)],
    ids=lambda network: f"{network.cell} {network.layers} {network.embedding}",
)
def test_what_is_trained_is_what_keras_computes_from_the_raw_numbers(network):
    model = network.build(6, 6, 3, scales=SCALES)
    random = np.random.default_rng(0)
    ids = random.integers(0, 6, (9, 4)).astype(np.int32)
    numbers = random.normal([90, FAR, 50], [30, 300, 50], (9, 4, 3)).astype(np.float32)
    network = BuiltNetwork.of(model)
    zeros = network.initial_state.of(4)
    logits, _ = forward(network, tf.constant(ids), zeros, features=tf.constant(numbers))
    given = [ids.T, *(numbers[..., n : n + 1].swapaxes(0, 1) for n in range(3))]
    expected = np.asarray(model(given)).swapaxes(0, 1)
    np.testing.assert_allclose(tf.nn.softmax(logits), expected, atol=2e-6)
    assert np.isfinite(expected).all()  # negative gaps among them
    other = numbers.copy()
    other[4, 1, 0] += 30
    changed, _ = forward(network, tf.constant(ids), zeros, features=tf.constant(other))
    moved = np.abs(changed - logits).max(-1) > 1e-6
    assert moved[4:, 1].all()
    assert not moved[:4].any()
    assert not moved[:, [0, 2, 3]].any()


def test_features_see_a_network_at_mean_0_and_variance_1(events):
    model = Network("rnn", 3).build(5, 5, 0, scales=events.corpus.feature_stats)
    numbers = events.corpus.train.features
    columns = [numbers.values[None, :, n : n + 1] for n in range(3)]
    scaled = keras.Model(model.inputs[1:], model.get_layer("network.inputs").input[1:])(columns)
    for each in scaled:
        assert np.mean(each) == pytest.approx(0, abs=1e-4)
        assert np.std(each) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_a_feature_that_decides_what_comes_next_is_learned_and_without_it_nothing_is(log, events, fitted):
    blind = Events.from_file(log, replace(READING, features={}, gap_feature=False), split=HeldOut(0.2))
    guessed = fit(blind, Network("gru", 12), OPTIONS).scores["per_sequence"]
    # Of 8 answers one is what a sequence begins with, and one its end, which come after so many symbols; 6 are drawn.
    assert fitted.scores["per_sequence"].accuracy > 0.98
    assert guessed.accuracy < 0.25 + 0.75 * 0.65


def test_chunks_carry_the_features_of_their_symbols(events):
    batches = events.batches(0, 3, seed=2)
    assert batches.features.shape == (*batches.inputs.shape, 3)
    ends = batches.inputs == events.vocabulary.encode("<end>")
    assert (batches.features[ends, 0] == np.float32(events.corpus.boundary["speed"][0])).all()
    speeds, targets = batches.features[..., 0], batches.targets
    decided = (targets == events.vocabulary.encode("A")) | (targets == events.vocabulary.encode("B"))
    assert ((speeds > 90) == (targets == events.vocabulary.encode("A")))[decided].all()


def test_a_window_shows_the_features_of_its_symbols(events):
    streams = events.evaluations(0)["per_sequence"]
    drawn = windows(streams, 3, 20, seed=0)
    known, shown = (
        set(zip(each.inputs.ravel().tolist(), map(tuple, each.features.reshape(-1, 3).tolist()), strict=True))
        for each in (streams, drawn)
    )
    assert shown <= known
    assert len(shown) > 20


@pytest.mark.slow
def test_a_resumed_training_with_features_ends_with_the_same_weights_bit_for_bit(events, tmp_path):

    network, options = Network("lstm", 6, dropout=0.2), Options(seed=3, max_updates=40, learn_initial_state=True)
    whole, again = (fit(events, network, options).model.get_weights() for _ in range(2))

    def crash(row):
        if row.update >= 20:
            raise RuntimeError("the process is gone")

    with pytest.raises(RuntimeError):
        fit(events, network, options, crash, checkpoint=tmp_path / "checkpoint.npz", checkpoint_seconds=0.0)
    resumed = fit(events, network, options, checkpoint=tmp_path / "checkpoint.npz", resume=True).model.get_weights()
    for one, two, three in zip(whole, again, resumed, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


def test_a_run_leaves_a_sample_of_what_really_occurs(run, events):
    lines = (run / "sample.jsonl").read_text().splitlines()
    assert not (run / "sample.txt").exists()
    assert json.loads(lines[0]) == {"symbol": "<end>", **events.corpus.boundary}
    source = read_source(run)
    carried = events.evaluations(0)["carried"]
    assert list(source.sample) == [events.vocabulary.decode(int(id)) for id in carried.inputs[:, 0]]
    for index, name in enumerate(("speed", "pressure", "gap")):
        np.testing.assert_array_equal(source.sample_features[name], carried.features[:, 0, index : index + 1])
    assert source.training["data"]["reading"]["features"] == {"speed": "Speed (km/h)", "pressure": "pressure"}
    assert read_source(run).model.get_layer("pressure.normalization") is not None


@pytest.mark.slow
def test_a_file_fed_raw_numbers_is_equal_to_keras(exported, run):
    assert max(parity.error for parity in exported.parity if parity.start == INITIAL) < 1e-5
    manifest = load(exported.files[0]).manifest
    assert [(f.name, f.shape) for f in manifest.features] == [("speed", (1,)), ("pressure", (1,)), ("gap", (1,))]
    source = read_source(run)
    assert check(
        exported.files[0], source.model, sample=source.sample, sample_features=source.sample_features, steps=100
    )
    with pytest.raises(FeatureMismatchError, match="speed has the shape"):
        export(source.model, exported.files[0].parent, vocabulary=source.vocabulary, sample=source.sample,
               sample_features={**source.sample_features, "speed": [1.0]}, steps=20)  # fmt: skip


def test_parity_is_measured_on_features_that_really_occur(run):
    source = read_source(run)
    step_function, random = build_step_function(source.model), np.random.default_rng(0)
    sample = Inputs(source.vocabulary.encode_all(source.sample), source.sample_features)
    carried = typical_inputs(step_function, 2 * len(sample) + 3, random, sample)
    places = [*range(len(sample)), *range(len(sample)), 0, 1, 2]
    np.testing.assert_array_equal(carried.ids, sample.ids[places])
    singles = every_symbol(step_function, 50, random, sample)
    assert set(singles.ids) == set(range(step_function.symbols))
    for name, array in sample.features.items():
        np.testing.assert_array_equal(carried.features[name], array[places])
        assert set(singles.features[name].ravel()) <= set(array.ravel())


@pytest.mark.slow
def test_numbers_far_from_0_are_proven_without_a_sample(tmp_path):
    model = Network("gru", 6).build(4, 4, 0, scales=[FeatureStats("pressure", 1e6, 1e4)])
    model.set_weights([4 * weights for weights in model.get_weights()])
    made = export(model, tmp_path, steps=200)
    assert max(parity.error for parity in made.parity) < 1e-5
    given = [number for run in load(made.files[0]).manifest.golden.runs for (number,) in run.features["pressure"]]
    assert max(abs(number - 1e6) for number in given) < 500
    assert len(set(given)) > 5


@pytest.mark.slow
def test_golden_features_are_numbers_that_the_model_expects(exported):
    pressures = [row for golden in load(exported.files[0]).manifest.golden.runs for row in golden.features["pressure"]]
    assert FAR - 2_000 < min(pressures)[0] < max(pressures)[0] < FAR + 2_000
    assert len(set(pressures)) > 5


@pytest.mark.slow
@pytest.mark.parametrize("file", ["model.tflite", "model.onnx"])
def test_the_device_judges_held_out_data_as_training_did(file, exported, log, fitted):
    model = load(exported.files[0].parent / file)
    material = read_evaluation_data(model.manifest, log)
    modes = EvaluationModes(model, material.test)
    for judged, name in ((modes.reset(), "per_sequence"), (modes.memoryless(), "reset")):
        assert judged.accuracy == pytest.approx(fitted.scores[name].accuracy, abs=1e-6)
        assert judged.nats == pytest.approx(fitted.scores[name].nats, abs=1e-4)
    assert modes.carried().accuracy > 0.9  # one behind the other here, in 16 streams side by side there
    assert modes.windowed(2).accuracy > 0.8  # of 8 answers the end takes a longer view


@pytest.mark.slow
def test_one_number_needs_no_brackets_on_the_device(exported):
    model = load(exported.files[0])
    one, two = model.stream(), model.stream()
    a = one.step("go", {"speed": 120.0, "pressure": FAR, "gap": 0})
    b = two.step("go", {"speed": [120.0], "pressure": [FAR], "gap": [0.0]})
    np.testing.assert_array_equal(a.probabilities, b.probabilities)
    assert a.symbol == "A"
    history = {"speed": [60.0, 120.0], "pressure": [FAR, FAR], "gap": [5.0, 5.0]}
    assert one.absorb(["A", "B"], history).symbol == "A"
    with pytest.raises(FeatureMismatchError, match=r"speed has the shape \(2,\), wanted is \(1,\)"):
        two.step("go", {"speed": [1.0, 2.0], "pressure": FAR, "gap": 0})


@pytest.mark.slow
def test_a_clock_that_is_put_back_counts_as_no_gap(exported):
    stream = load(exported.files[0]).stream()
    given = {"speed": 120.0, "pressure": FAR}
    back, none = (stream.peek("go", {**given, "gap": gap}).probabilities for gap in (-3600.0, 0.0))
    np.testing.assert_array_equal(back, none)


@pytest.mark.slow
def test_the_commands_read_the_columns_of_the_training_again(exported, log, tmp_path):
    file, threshold = exported.files[0], tmp_path / "threshold.json"
    found = json.loads(stepcell("evaluate", file, log, "--json").stdout)
    assert found["modes"]["reset"]["accuracy"] > 0.98
    assert found["baselines"]["5-gram with back-off"]["accuracy"] < 0.8
    scored = json.loads(stepcell("score", file, log, "--json").stdout)
    assert (scored["symbols"], scored["scored"]) == (200 * 9, 200 * 8)
    assert scored["top_1"] > 0.98
    assert stepcell("calibrate", file, log, "--out", threshold).exit_code == 0
    assert read_threshold(threshold, load(file).file).symbols == 40 * 8  # those that were not learned from
    rows = [{"symbol": symbol, "speed": FAST, "pressure": FAR, "gap": 9.0} for symbol in ("go", "A", "B")]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    marked = stepcell("predict", file, "--threshold", threshold, "--json", input=lines).stdout.splitlines()
    assert [json.loads(line)["alert"] for line in marked] == [False, False, True]
    other = tmp_path / "other.csv"
    other.write_text(log.read_text().replace("Speed (km/h)", "v"))
    refused = stepcell("score", file, other)
    assert "no column 'Speed (km/h)' (--feature)" in refused.output
    assert "Its columns: 'case', 'when', 'what', 'v', 'pressure'." in refused.output
    renamed = stepcell("evaluate", file, other, "--feature", "speed=v", "--feature", "pressure", "--json")
    assert json.loads(renamed.stdout)["modes"]["reset"]["accuracy"] > 0.98


@pytest.mark.slow
def test_each_symbol_of_a_scored_file_has_its_own_features(exported, log, monkeypatch):
    monkeypatch.setattr("stepcell.runtime.tasks.score.PROBABILITIES_AT_A_TIME", 10)
    model = load(exported.files[0])
    (first, *_), recording = reader_for_model(model.manifest).read(log)
    for index, name in enumerate(recording.features.names):
        beside_end = np.float32(model.manifest.training["data"]["boundary"][name][0])
        read = recording.features.values[: len(first) - 2, index].tolist()
        assert first.features[name].ravel().tolist() == [beside_end, *read, beside_end]
    symbols = [model.vocabulary.symbols[id] for id in first.ids]
    assert (symbols[0], symbols[1], symbols[-1]) == ("<end>", "go", "<end>")
    stream, stepped = model.stream(), model.stream()
    score = stream.score(symbols, first.features)
    probabilities = [stepped.step(s, first.features_at(n)).probabilities for n, s in enumerate(symbols)]
    expected = [np.log(p[id]) for p, id in zip(probabilities[:-1], first.ids[1:], strict=True)]
    np.testing.assert_allclose(score.log_probabilities[1:], expected, rtol=1e-6)
    before = stream.state
    with pytest.raises(FeatureMismatchError, match="speed is missing"):
        stream.score(symbols, {"pressure": first.features["pressure"], "gap": first.features["gap"]})
    with pytest.raises(FeatureMismatchError, match=r"speed has the shape \(9, 1\), wanted is \(8, 1\)"):
        stream.score(symbols[:8], first.features)
    assert all(np.array_equal(stream.state[name], array) for name, array in before.items())


@pytest.mark.slow
def test_a_surprise_depends_on_the_feature_before_it(exported):
    model, given = load(exported.files[0]), {"pressure": FAR, "gap": 10.0}
    bits = []
    for speed in (FAST, SLOW):
        watch = Watch(model.stream())
        watch.step("go", {**given, "speed": speed})
        bits.append(watch.step("A", {**given, "speed": SLOW}).bits)
    assert bits[0] < 0.5 < 3 < bits[1]


@pytest.mark.slow
def test_predict_reads_features_from_lines_of_json_and_says_what_it_needs(exported, run, tmp_path):
    lines = "".join((run / "sample.jsonl").read_text().splitlines(keepends=True)[:8])
    result = stepcell("predict", exported.files[0], "--json", input=lines)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    following = [json.loads(line)["symbol"] for line in lines.splitlines()[1:]]
    assert [answer["symbol"] for answer in answers[:-1]] == following
    refused = stepcell("predict", exported.files[0], input='{"symbol": "go", "speed": 3}\n')
    assert "pressure is missing; gap is missing" in refused.output


@pytest.mark.slow
def test_the_command_trains_on_named_columns(log, tmp_path):
    columns = ["--symbol", "what", "--sequence", "case", "--order", "when"]
    features = ["--feature", "speed=Speed (km/h)", "--feature", "pressure", "--gap-feature", "--time-unit", "s"]
    options = ["--units", 4, "--max-updates", 2, "--out", tmp_path / "run", "--json"]
    result = stepcell("train", "events", log, *columns, *features, *options)
    assert result.exit_code == 0, result.output
    assert "features: speed (89.71 ± 30), pressure (1.013e+05 ± 297)" in result.stderr
    assert "gap (log(1 + x) " in result.stderr
    plan = json.loads((tmp_path / "run" / "run.json").read_text())
    assert plan["training"]["data"]["boundary"].keys() == {"speed", "pressure", "gap"}
    assert plan["problem"]["reading"]["gap_feature"] is True
    twice = stepcell("train", "events", log, *columns, "--feature", "pressure", "--feature", "pressure", *options)
    assert "Several features are called pressure" in twice.output
    wrong = stepcell("train", "events", log, *columns, "--feature", "sped", *options)
    assert "no column 'sped' (--feature)" in wrong.output
    named = stepcell("train", "events", log, *columns, "--feature", "symbol=pressure", *options)
    assert "a feature cannot be called 'symbol'" in named.output


def test_a_corpus_without_an_end_has_features_too(log):
    corpus = Corpus.of(replace(READING, end=None).read(log))
    assert "boundary" not in corpus.to_json()
    tape = encode_sequences(corpus.train, corpus.vocabulary, None)
    np.testing.assert_array_equal(tape.features.values, corpus.train.features.values)
