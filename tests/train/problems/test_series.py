"""Series of values: forecast or computed from other columns, scaled within the model, judged beside two baselines."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.command_line import stepcell

from stepcell.export import export, read_source
from stepcell.runtime import load
from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import EventsReader, FeatureStats, HeldOut
from stepcell.runtime.evaluation import evaluate_values, read_target_data
from stepcell.runtime.format.manifest import Manifest
from stepcell.runtime.format.tensor_specs import Feature
from stepcell.runtime.format.vocabulary import Vocabulary
from stepcell.train import Network, Options, Run, Series, fit
from stepcell.train.fitting.objective import objective_of
from stepcell.train.network.built_network import BuiltNetwork
from stepcell.train.network.forward import forward
from stepcell.train.network.values import LOSSES, ValueScaling

READER = EventsReader((), order="minute", time_unit="min", features={"volts": "Volts (V)", "amps": "amps"})
NO_SYMBOLS = Vocabulary.none()


def power(count, seed=0):
    """Watts that follow volts and amps at once, and amps that are switched every few rows."""
    random = np.random.default_rng(seed)
    amps = np.repeat(random.choice([0.5, 2.0, 8.0], count // 5), 5) + random.normal(0, 0.05, count)
    volts = random.normal(230, 3, count)
    return np.column_stack([np.arange(count), volts, amps, volts * amps])


def write(path, rows):
    lines = [f"{minute:.0f},{volts:.3f},{amps:.4f},{watts:.3f}\n" for minute, volts, amps, watts in rows]
    path.write_text("minute,Volts (V),amps,watts\n" + "".join(lines))
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write(tmp_path_factory.mktemp("power") / "power.csv", power(1_500))


@pytest.fixture(scope="module")
def regression(table):
    return Series.from_file(table, READER, ["watts"], ahead=0, split=HeldOut(0.2))


def test_the_target_of_a_row_is_its_value_or_that_of_a_later_row(table, regression):
    rows = power(1_500).astype(np.float32)
    train, held_out = regression.corpus.encoded_train, regression.corpus.encoded_held_out
    np.testing.assert_allclose(np.concatenate([train.targets, held_out.targets])[:, 0], rows[:, 3], rtol=1e-5)
    np.testing.assert_allclose(train.features.values, rows[: len(train), 1:3], rtol=1e-3)
    assert not train.inputs.any()
    assert not len(regression.vocabulary)
    ahead = Series.from_file(table, replace(READER, features={"watts": "watts"}), ["watts"], ahead=3)
    together = np.concatenate([ahead.corpus.train.targets, ahead.corpus.held_out.targets])
    np.testing.assert_allclose(together[:, 0], rows[3:, 3], rtol=1e-5)


def test_a_value_ahead_never_comes_from_another_sequence(tmp_path):
    path = tmp_path / "meters.csv"
    rows = [(meter, 100 * meter + step) for meter in range(40) for step in range(1 + meter % 7)]
    path.write_text("meter,level\n" + "".join(f"{meter},{level}\n" for meter, level in rows))
    reader = EventsReader((), "meter", features={"level": "level"})
    corpus = Series.from_file(path, reader, ["level"], ahead=2).corpus
    for part in (corpus.train, corpus.held_out):
        np.testing.assert_array_equal(part.targets[:, 0], part.features.values[:, 0] + 2)
    assert len(corpus.train) + len(corpus.held_out) == sum(1 + meter % 7 > 2 for meter in range(40))


def test_a_slow_series_is_answered_as_the_change_from_the_present_value(tmp_path):
    path, walk = tmp_path / "walk.csv", np.cumsum(np.random.default_rng(0).normal(0, 1, 500))
    path.write_text(
        "level,noise\n" + "".join(f"{a:.4f},{b:.4f}\n" for a, b in zip(walk, np.diff(walk, prepend=0), strict=True))
    )
    reader = EventsReader((), features={"noise": "noise", "level": "level"})
    assert Series.from_file(path, reader, ["level"]).corpus.scaling.bases == (1,)
    assert Series.from_file(path, reader, ["noise"]).corpus.scaling.bases == ()  # its changes are larger
    assert Series.from_file(path, reader, ["noise", "level"]).corpus.scaling.bases == (-1, 1)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bases", [(), (1, 0), (-1, 1)])
def test_what_is_trained_is_what_keras_computes(bases, loss):
    scales = (FeatureStats("volts", 230.0, 9.0), FeatureStats("amps", 3.0, 4.0))
    values = ValueScaling(("watts", "phase"), (500.0, 1.0), (90_000.0, 0.25), bases, loss)
    random = np.random.default_rng(0)
    features = random.normal([230, 3], [3, 2], (7, 4, 2)).astype(np.float32)
    targets = random.normal([500, 1], [300, 0.5], (7, 4, 2)).astype(np.float32)
    model = Network("gru", 5).build(0, 2, 1, scales=scales, values=values)
    network = BuiltNetwork.of(model, values=values)
    state = network.initial_state.of(4)
    scaled, _ = forward(network, tf.zeros((7, 4), tf.int32), state, features=tf.constant(features))
    answers = objective_of(network).judge(scaled, None, None, tf.constant(features))[0]
    expected = np.asarray(model([features[..., n : n + 1].swapaxes(0, 1) for n in range(2)])).swapaxes(0, 1)
    np.testing.assert_allclose(answers, expected, rtol=1e-5)
    losses, _ = objective_of(network).measure(scaled, tf.constant(targets), tf.constant(features))
    errors = np.abs((expected.astype(float) - targets) / [300, 0.5])
    right = {"mse": errors**2, "mae": errors, "huber": np.where(errors < 1, errors**2 / 2, errors - 0.5)}[loss]
    np.testing.assert_allclose(losses, right.mean(axis=-1), rtol=1e-3)


def test_a_single_feature_needs_no_vocabulary_and_no_concatenation():
    values = ValueScaling(("level",), (0.0,), (1.0,), (0,))
    model = Network("rnn", 3).build(0, 1, 0, scales=[FeatureStats("level", 2.0, 4.0)], values=values)
    assert not any(isinstance(layer, keras.layers.Concatenate) for layer in model.layers)
    assert model.input_shape == (None, None, 1)


@pytest.fixture(scope="module")
def run(regression, tmp_path_factory):
    recipe = replace(regression.recipe, xla=False, max_updates=200)

    class Quick(Series):
        @property
        def recipe(self):
            return recipe

    quick, folder = Quick(regression.corpus), tmp_path_factory.mktemp("runs") / "power"
    network, options = Network("gru", 16), Options(seed=1)
    with closing(Run(folder, quick, network, options)) as run:
        fitted = fit(quick, network, options, checkpoint=run.checkpoint)
        run.finish(fitted)
    return folder, fitted


@pytest.mark.slow
def test_a_trained_series_is_better_than_both_baselines_and_its_file_says_the_same(run, table, regression, tmp_path):
    folder, fitted = run
    baselines = regression.data.baselines()
    assert fitted.scores["carried"].absolute[0] < 0.5 * min(one.absolute[0] for one in baselines.values())
    source = read_source(folder)
    assert source.values
    export(
        source.model, tmp_path, training=source.training, sample_features=source.sample_features, values=source.values,
        formats=["tflite"], steps=200,
    )  # fmt: skip
    model = load(tmp_path / "model.tflite")
    found = evaluate_values(model, read_target_data(model.manifest, table, []))
    in_training = regression.data.baselines()
    for name, errors in found.baselines.items():
        assert errors.absolute[0] == pytest.approx(in_training[name].absolute[0], rel=1e-6)
    assert found.modes["carried"].absolute[0] == pytest.approx(fitted.scores["carried"].absolute[0], rel=0.05)
    assert (folder / "values.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "metrics.json").read_text())["carried"]["mean_absolute_error"]


@pytest.mark.slow
def test_a_resumed_series_ends_with_the_same_weights(regression, tmp_path):
    recipe = replace(regression.recipe, xla=False, max_updates=30, evaluate_every=10)

    class Quick(Series):
        @property
        def recipe(self):
            return recipe

    quick, checkpoint = Quick(regression.corpus), tmp_path / "checkpoint.npz"
    network, options = Network("rnn", 4), Options(seed=2)

    def crash(row):
        if row.update == 20:
            raise RuntimeError

    whole = fit(quick, network, options)
    with pytest.raises(RuntimeError):
        fit(quick, network, options, crash, checkpoint=checkpoint, checkpoint_seconds=0.0)
    resumed = fit(quick, network, options, checkpoint=checkpoint, resume=True)
    assert all(np.array_equal(a, b) for a, b in zip(whole.network.weights(), resumed.network.weights(), strict=True))
    assert whole.scores == resumed.scores


def test_a_grown_file_is_judged_on_its_new_rows(table, regression, tmp_path):
    features = tuple(Feature(name, (1,)) for name in ("volts", "amps"))
    manifest = Manifest(
        "power", NO_SYMBOLS, (), (), "linear", Vocabulary.of_ids(1), features=features,
        training={"data": regression.corpus.to_json()},
    )  # fmt: skip
    same = read_target_data(manifest, table, [])
    np.testing.assert_array_equal(same.targets, regression.corpus.encoded_held_out.targets)
    grown = write(tmp_path / "grown.csv", np.concatenate([power(1_500), np.add(power(200, 1), (1_500, 0, 0, 0))]))
    more = read_target_data(manifest, grown, [])
    assert len(more.targets) == len(same.targets) + 200
    other = write(tmp_path / "other.csv", power(1_500, 2))
    assert len(read_target_data(manifest, other, []).targets) == 1_500


@pytest.mark.parametrize(
    ("changes", "values", "more", "said"),
    [
        ({}, ["Watts"], {"ahead": 0}, r"no column 'Watts' \(--value\), perhaps 'watts'"),
        ({"features": {}}, ["watts"], {"ahead": 0}, "name them, --feature COLUMN"),
        ({"features": {"watts": "watts"}}, ["watts"], {"ahead": 0}, "read and answered in one row"),
        ({"features": {"watts": "watts"}}, ["watts"], {"ahead": 1_500}, "no value 1500 rows ahead"),
        ({"features": {"volts": "Volts"}}, ["watts"], {"ahead": 0}, r"no column 'Volts' \(--feature\)"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_learned_are_refused(table, changes, values, more, said):
    with pytest.raises(CorpusError, match=said):
        Series.from_file(table, replace(READER, **changes), values, **more)


def test_missing_numbers_are_refused_with_their_lines(tmp_path):
    path = write(tmp_path / "holes.csv", power(100))
    lines = path.read_text().splitlines(keepends=True)
    lines[10] = lines[10].rpartition(",")[0] + ",\n"
    path.write_text("".join(lines))
    result = stepcell(
        "train", "series", path, "--value", "watts", "--feature", "amps", "--ahead", "0", "--out", tmp_path / "run"
    )
    assert result.exit_code == 1
    assert "line 11: nothing in the column 'watts'; fill in missing numbers" in result.stderr
    assert not (tmp_path / "run" / "run.json").exists()
    corpus = Series.from_file(path, replace(READER, bad_lines="skip"), ["watts"], ahead=0).corpus
    assert len(corpus.train.ids) + len(corpus.held_out.ids) == 99
    assert (
        "1 row that cannot be read was skipped (--bad-lines skip), the first: line 11: nothing"
        in corpus.train.remarks[0]
    )


def test_a_file_may_be_held_out_whole(table, tmp_path):
    other = write(tmp_path / "other.csv", power(100, 3))
    corpus = Series.from_file(table, READER, ["watts"], ahead=0, held_out_file=other).corpus
    assert (len(corpus.train.ids), len(corpus.held_out.ids)) == (1_500, 100)
    assert corpus.to_json()["held_out_source"] == "other.csv"
