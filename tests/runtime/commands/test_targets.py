"""`stepcell score` and `stepcell calibrate` for models of labels and of values."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.command_line import stepcell
from support.power import write_power, write_switch, write_table

from stepcell.runtime import load
from stepcell.runtime.common.errors import OptionError, OtherModelError, ThresholdError
from stepcell.runtime.tasks.residuals import calibrate_residuals, read_residual_threshold


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_power(tmp_path / "power.onnx")
    write_switch(tmp_path / "switch.onnx")
    return tmp_path


def test_values_are_scored_by_their_residuals(folder):
    values = write_table(folder / "power.csv")
    result = stepcell("score", "power.onnx", "power.csv", "--target", "watts", "--json", "--per-symbol")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    product = values[:, 0] * values[:, 1]
    residuals = (product + np.concatenate([[0], product[:-1]])) / 2 - values[:, 2]
    np.testing.assert_allclose([line["residuals"][0] for line in lines], residuals, atol=1e-4)
    summary = json.loads(result.stderr.splitlines()[-1])
    assert summary["values"]["watts"]["mean_absolute_error"] == pytest.approx(np.abs(residuals).mean(), rel=1e-5)
    assert "mean absolute error" in stepcell("score", "power.onnx", "power.csv", "--target", "watts").stdout


def test_labels_are_scored_by_the_surprise_of_the_right_one(folder):
    values = write_table(folder / "power.csv")
    columns = ["--target", "on", "--sequence", "run", "--order", "second"]
    lines = stepcell("score", "switch.onnx", "power.csv", *columns, "--per-symbol").stdout.splitlines()
    assert len(lines) == 40
    number, right, answered, bits = lines[20].split("\t")
    one = 1 / (1 + np.exp(-values[20, 0] * values[20, 1]))
    assert (number, right, answered) == ("2", str(int(values[20, 2] > 0)), str(int(one > 0.5)))
    assert float(bits) == pytest.approx(-np.log2(one if right == "1" else 1 - one), abs=1e-3)
    found = json.loads(stepcell("score", "switch.onnx", "power.csv", *columns, "--json").stdout)
    assert found["labels"] == 40
    assert 0 <= found["calibration_error"] <= 1


def test_a_threshold_of_residuals_is_exceeded_as_rarely_as_asked_for(folder):
    values = write_table(folder / "power.csv", 400)
    result = stepcell(
        "calibrate", "power.onnx", "power.csv", "--target", "watts", "--false-alarms", "0.1", "--out", "t"
    )
    assert result.exit_code == 0, result.output
    file = load("power.onnx").file
    threshold = read_residual_threshold("t", file)
    product = values[:, 0] * values[:, 1]
    residuals = (product + np.concatenate([[0], product[:-1]])) / 2 - values[:, 2]
    surprising = [threshold.is_alert([residual])[0] for residual in residuals]
    assert 0.08 < np.mean(surprising) <= 0.1
    assert (threshold.columns, threshold.rows, threshold.sequence_residuals) == (("watts",), 400, None)
    with pytest.raises(OtherModelError, match="t was calibrated with a model of fingerprint"):
        read_residual_threshold("t", load("switch.onnx").file)


def test_a_threshold_of_labels_is_in_bits(folder):
    write_table(folder / "power.csv", 400)
    result = stepcell("calibrate", "switch.onnx", "power.csv", "--target", "on", "--out", "t", "--json")
    assert json.loads(result.stdout)["columns"] == ["on"]
    assert read_residual_threshold("t", load("switch.onnx").file).residuals[0] > 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There is no threshold t. Make it anew with: stepcell calibrate MODEL NORMAL_DATA --target"),
        ("{", "t is not JSON"),
        ("[]", "t is no threshold of residuals: wrong are format, kind"),
        ('{"format": 1, "kind": "residuals", "fingerprint": "x", "columns": ["w"], "residuals": [NaN], '
         '"sequence_residuals": null, "false_alarms": 0.1, "rows": 1, "sequences": 1}', "wrong are residuals"),
        ('{"format": 99}', "newer|99"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_threshold_of_residuals_is_refused(folder, content, said):
    if content is not None:
        (folder / "t").write_text(content)
    with pytest.raises(ThresholdError, match=said):
        read_residual_threshold("t", load("power.onnx").file)


def test_too_few_rows_and_a_share_that_makes_no_sense_are_refused(folder):
    file, starts = load("power.onnx").file, np.array([0, 3])
    with pytest.raises(ThresholdError, match="cannot be told from 3 rows: it takes 99"):
        calibrate_residuals(file, ["watts"], np.ones((3, 1)), starts)
    with pytest.raises(OptionError, match="between 0 and 1, not 2"):
        calibrate_residuals(file, ["watts"], np.ones((3, 1)), starts, 2)


def test_rows_with_right_answers_come_from_a_file(folder):
    result = stepcell("score", "power.onnx", "--target", "watts", input="")
    assert "Rows with right answers are read from a file" in result.stderr
