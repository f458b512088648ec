"""Surprise: told of each symbol before it is fed, and held against a threshold that normal data rarely exceed."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from support.models import DATA, path_of

from stepcell.runtime import (
    OptionError,
    OtherModelError,
    TargetError,
    Threshold,
    ThresholdError,
    UnknownSymbolError,
    Watch,
    calibrate,
    load,
    read_threshold,
)
from stepcell.runtime.tasks.residuals import ResidualThreshold, read_residual_threshold

SYMBOLS = "301234012403012"


@pytest.fixture(scope="module")
def onnx():
    return load(DATA / "memory.onnx")


def normal(count, seed=0):
    """Sequences that are all alike: random symbols, so that hardly two surprises are the same."""
    random = np.random.default_rng(seed)
    return [[str(id) for id in random.integers(0, 5, 10)] for _ in range(count)]


def test_a_watch_tells_what_a_score_finds_and_answers_what_a_step_does(model):
    watch, other = Watch(model.stream()), model.stream()
    score = model.stream().score(SYMBOLS)
    for number, symbol in enumerate(SYMBOLS):
        surprise = watch.step(symbol)
        assert surprise.bits == pytest.approx(float(score.bits[number]), nan_ok=True)
        assert surprise.rank == score.ranks[number]
        assert not surprise.alert
        assert np.array_equal(surprise.prediction.probabilities, other.step(symbol).probabilities)


def test_the_first_symbol_of_a_fresh_stream_surprises_nobody(onnx):
    threshold = Threshold(onnx.manifest.fingerprint, 0.0, 0.0, 0.01, 1, 1)
    first, second = (Watch(onnx.stream(), threshold).step("2") for _ in range(2))
    assert isnan(first.bits)
    assert (first.rank, first.alert, first.alarm, second.alert) == (0, False, False, False)
    stream = onnx.stream()
    stream.absorb("301")
    assert Watch(stream, threshold).step("4").alert


def test_symbols_above_the_thresholds_are_marked(onnx):
    bits = onnx.stream().score("301242").bits
    assert bits[4] > bits[5] > 1
    threshold = Threshold(onnx.manifest.fingerprint, float(bits[5]) - 0.1, float(bits[5]) + 0.1, 0.01, 1, 1)
    watch = Watch(onnx.stream(), threshold)
    marks = [(one.alert, one.alarm) for one in map(watch.step, "301242")]
    assert marks == [(False, False)] * 4 + [(True, True), (True, False)]
    watch.threshold = replace(threshold, sequence_bits=None)
    assert [watch.step(symbol).alarm for symbol in "444"] == [False] * 3


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_what_always_comes_alike_is_no_alarm_when_it_comes_again(model, share):
    threshold = calibrate(model, ["30123", "40124"] * 60, share)
    for sequence in ("30123", "40124"):
        watch = Watch(model.stream(), replace(threshold, symbol_bits=threshold.sequence_bits))
        assert not any(one.alert or one.alarm for one in map(watch.step, sequence))


def test_a_symbol_at_the_threshold_is_not_above_it(onnx):
    bits = [one.bits for one in map(Watch(onnx.stream()).step, "301242")]
    watch = Watch(onnx.stream(), Threshold(onnx.manifest.fingerprint, bits[4], bits[4], 0.01, 1, 1))
    assert not any(one.alert or one.alarm for one in map(watch.step, "301242"))


def test_an_unknown_symbol_is_refused_and_moves_nothing(onnx):
    stream = onnx.stream()
    with pytest.raises(UnknownSymbolError, match="has not moved"):
        Watch(stream).step("9")
    assert stream.symbols_seen == 0


def test_a_model_that_answers_with_labels_cannot_be_watched():
    with pytest.raises(TargetError, match="none is surprising"):
        Watch(load(path_of("labelled", "onnx")).stream())


@pytest.mark.parametrize("false_alarms", [0.3, 0.1, 0.01])
def test_normal_data_exceed_a_threshold_as_rarely_as_was_wanted(onnx, false_alarms):
    threshold = calibrate(onnx, normal(2000), false_alarms)
    assert (threshold.sequences, threshold.symbols) == (2000, 2000 * 9)
    others = [onnx.stream().score(sequence).bits[1:] for sequence in normal(2000, seed=1)]
    assert np.mean([bits.max() > threshold.sequence_bits for bits in others]) == pytest.approx(false_alarms, abs=0.035)
    assert np.mean(np.concatenate(others) > threshold.symbol_bits) == pytest.approx(false_alarms, abs=0.02)
    assert threshold.sequence_bits >= threshold.symbol_bits


def test_a_threshold_is_the_surprise_of_the_right_rank(onnx):
    """Of 99 sequences, 1 in 100 further ones exceeds the largest surprise of them all."""
    sequences = list(normal(99))
    largest = sorted(max(onnx.stream().score(sequence).bits[1:]) for sequence in sequences)
    assert calibrate(onnx, sequences, 0.01).sequence_bits == largest[98]
    assert calibrate(onnx, sequences, 0.02).sequence_bits == largest[97]
    assert calibrate(onnx, sequences, 0.5).sequence_bits == largest[49]
    assert calibrate(onnx, sequences, 0.42).sequence_bits == largest[57]  # 100 * (1 - 0.42) is 58.00000000000001


def test_one_long_stream_gives_a_threshold_for_symbols_alone(onnx):
    threshold = calibrate(onnx, [[symbol for sequence in normal(20) for symbol in sequence]])
    assert (threshold.sequence_bits, threshold.sequences, threshold.symbols) == (None, 1, 199)


def test_too_little_normal_data_and_impossible_shares_are_refused(onnx):
    with pytest.raises(ThresholdError, match="0.01 false alarms cannot be told from 98 symbols .* it takes 99"):
        calibrate(onnx, ["012340123", *["30"] * 90, "3", ""], 0.01)
    assert calibrate(onnx, ["012340123", *["30"] * 91, "3", ""], 0.01).symbols == 99
    with pytest.raises(ThresholdError, match="from 0 symbols"):
        calibrate(onnx, [])
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(OptionError, match="between 0 and 1"):
            calibrate(onnx, normal(10), share)
    with pytest.raises(UnknownSymbolError):
        calibrate(onnx, [["3", "x"]], 0.5)


def test_a_threshold_is_read_as_it_was_saved(onnx, tmp_path):
    threshold = calibrate(onnx, normal(30), 0.1)
    path = tmp_path / "threshold.json"
    threshold.save(path)
    assert read_threshold(path, onnx.file) == threshold
    assert json.loads(path.read_text())["format"] == 1


def test_a_threshold_of_another_model_or_another_version_is_refused(onnx, tmp_path):
    path = tmp_path / "threshold.json"
    threshold = calibrate(onnx, normal(30), 0.1)
    threshold.save(path)
    with pytest.raises(OtherModelError, match="was calibrated with a model of fingerprint .* stepcell calibrate"):
        read_threshold(path, load(DATA / "memory.tflite").file)
    for content, message in (
        (json.dumps({**threshold.to_json(), "format": 2}), "format 2; this stepcell reads format 1. Upgrade"),
        (json.dumps({**threshold.to_json(), "format": "one"}), "wrong are format"),
        (json.dumps({**threshold.to_json(), "symbol_bits": None, "symbols": 9.5}), "wrong are symbol_bits, symbols"),
        (json.dumps({**threshold.to_json(), "sequence_bits": float("nan")}), "wrong are sequence_bits"),
        (json.dumps({**threshold.to_json(), "symbol_bits": 10**400}), "wrong are symbol_bits"),
        (json.dumps({**threshold.to_json(), "symbol_bits": -1.0}), "wrong are symbol_bits"),
        (json.dumps({**threshold.to_json(), "false_alarms": 1.5, "symbols": 0}), "wrong are false_alarms, symbols"),
        ("[1]", "wrong are fingerprint"),
        (json.dumps({"format": 1, "fingerprint": "", "symbol_bits": 1}), "wrong are sequence_bits, false_alarms, sym"),
        ("bits", "is not JSON"),
        ("\xff\xfe", "is not JSON"),
    ):
        path.write_bytes(content.encode("latin-1"))
        with pytest.raises(ThresholdError, match=message):
            read_threshold(path, onnx.file)
    with pytest.raises(ThresholdError, match="There is no threshold"):
        read_threshold(tmp_path / "none.json", onnx.file)
    with pytest.raises(ThresholdError, match="Cannot read"):
        read_threshold(tmp_path, onnx.file)


@pytest.mark.parametrize(
    "change",
    [{"residuals": [1.0, 10**400]}, {"residuals": [1.0, -1.0]}, {"sequence_residuals": [1.0, float("nan")]},
     {"false_alarms": 1.5}, {"rows": 0}, {"sequences": -1}],
)  # fmt: skip
def test_residuals_that_cannot_be_are_no_threshold(change, tmp_path):
    file = load(DATA / "sensor.onnx", backend="numpy").file
    threshold = ResidualThreshold(file.manifest.fingerprint, ("a", "b"), (1.5, 2.5), (3.5, 4.5), 0.01, 900, 9)
    threshold.save(tmp_path / "normal.threshold")
    assert read_residual_threshold(tmp_path / "normal.threshold", file) == threshold
    (tmp_path / "normal.threshold").write_text(json.dumps({**threshold.to_json(), **change}))
    with pytest.raises(ThresholdError, match=f"wrong are {next(iter(change))}"):
        read_residual_threshold(tmp_path / "normal.threshold", file)
