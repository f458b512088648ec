"""Rows of a model that reads features alone are answered live, and their values compared with its answers."""

from __future__ import annotations

import json

import pytest
from support.command_line import stepcell
from support.power import write_power, write_switch

from stepcell.runtime import load
from stepcell.runtime.tasks.residuals import ResidualThreshold

HEADER = "run,volts,amps,watts\n"
ROWS = ("a,2,3,7\n", "b,1,1,5\n", "a,1,2,4\n", "a,0,0,30\n")  # answers: a 3, 4, 1; b 0.5
READING = {"kind": "events", "symbol": [], "sequence": "run", "features": {"volts": "volts", "amps": "amps"}}


def model_of(folder, ahead):
    data = {"reading": READING, "targets": ["watts"], "ahead": ahead}
    return write_power(folder / "power.onnx", training={"data": data})


def threshold_of(model, limit=3.5, alarm=None):
    path = model.with_suffix(".threshold")
    alone = None if alarm is None else (alarm,)
    ResidualThreshold(load(model).manifest.fingerprint, ("watts",), (limit,), alone, 0.01, 100, 9).save(path)
    return path


def predicted(model, *arguments, input):
    result = stepcell("predict", model, "--json", *arguments, input=input)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def residuals(answers):
    return [(one["residuals"] and one["residuals"][0], one["alert"], one["alarm"]) for one in answers]


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_rows_of_features_alone_are_read_by_the_columns_of_the_training(tmp_path, format):
    model = model_of(tmp_path, 0)
    names = HEADER.strip().split(",")
    lines = [json.dumps(dict(zip(names, row.strip().split(","), strict=True))) + "\n" for row in ROWS]
    text = HEADER + "".join(ROWS) if format == "csv" else "".join(lines)
    answers = predicted(model, "--format", format, input=text)
    assert [(one["stream"], one["values"][0], one["watts"]) for one in answers] == [
        ("a", 3.0, "7"), ("b", 0.5, "5"), ("a", 4.0, "4"), ("a", 1.0, "30"),
    ]  # fmt: skip


def test_the_value_of_a_row_is_compared_with_the_answer_to_it(tmp_path):
    model = model_of(tmp_path, 0)
    threshold = threshold_of(model, 3.5, 20.0)
    answers = predicted(model, "--format", "csv", "--threshold", threshold, input=HEADER + "".join(ROWS))
    assert residuals(answers) == [(-4, True, False), (-4.5, True, False), (0, False, False), (-29, True, True)]
    result = stepcell("predict", model, "--format", "csv", "--threshold", threshold, input=HEADER + ROWS[0])
    assert result.stdout == "a\t-4 alert\t3\n"


@pytest.mark.parametrize("ahead", [1, 2])
def test_the_value_of_a_row_is_compared_with_the_forecast_made_for_it(tmp_path, ahead):
    model = model_of(tmp_path, ahead)
    answers = predicted(model, "--format", "csv", "--threshold", threshold_of(model), input=HEADER + "".join(ROWS))
    nothing = (None, False, False)  # of stream b no row follows
    of_a = (
        [nothing, (3 - 4, False, False), (4 - 30, True, False)]
        if ahead == 1
        else [nothing, nothing, (3 - 30, True, False)]
    )
    assert residuals(answers) == [of_a[0], nothing, *of_a[1:]]


def test_forecasts_are_saved_with_the_state_and_forgotten_at_a_reset(tmp_path):
    model, lines = model_of(tmp_path, 1), HEADER + "".join(ROWS)
    arguments = ("--format", "csv", "--threshold", threshold_of(model))
    whole = predicted(model, *arguments, input=lines)
    state = tmp_path / "state"
    first = predicted(model, *arguments, "--state", state, input=HEADER + ROWS[0] + ROWS[1])
    assert first + predicted(model, *arguments, "--state", state, input="".join(ROWS[2:])) == whole
    objects = [{"run": "a", "volts": 1, "amps": 2, "watts": 3}, {"run": "a", "reset": True}]
    text = "".join(json.dumps(one) + "\n" for one in [objects[0], objects[1], objects[0]])
    answers = predicted(model, "--format", "jsonl", "--threshold", threshold_of(model), input=text)
    assert [one.get("residuals") for one in answers] == [None, None, None]
    assert answers[1]["reset"]


def test_a_row_without_its_value_is_answered_and_not_compared(tmp_path):
    model = model_of(tmp_path, 0)
    answers = predicted(
        model, "--format", "csv", "--threshold", threshold_of(model), input=HEADER + "a,2,3,\n" + ROWS[2]
    )
    assert residuals(answers) == [(None, False, False), (0, False, False)]
    plain = json.dumps({"volts": [2], "amps": [3], "watts": 7})
    assert residuals(predicted(model, "--threshold", threshold_of(model), input=plain)) == [(-4, True, False)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run,volts,amps\na,1,2\n", "There is no column 'watts', which --threshold is about"),
        (HEADER + "a,1,2,much\n", "'much' in the column 'watts' is not a number"),
        (HEADER + "a,1,,3\n", "nothing in the column 'amps'"),
    ],
)
def test_a_row_that_cannot_be_compared_is_a_bad_line(tmp_path, line, said):
    model = model_of(tmp_path, 0)
    arguments = ("predict", model, "--format", "csv", "--threshold", threshold_of(model))
    result = stepcell(*arguments, input=line)
    assert result.exit_code == 1
    assert said in result.stderr
    after = predicted(model, *arguments[2:], "--bad-lines", "skip", input=HEADER + "a,9,9,x\n" + ROWS[0])
    assert residuals(after[1:]) == [(-4, True, False)]  # the state did not move at the bad line


def test_a_threshold_of_labels_is_refused_where_the_right_label_is_not_known(tmp_path):
    switch = write_switch(tmp_path / "switch.onnx")
    result = stepcell("predict", switch, "--threshold", threshold_of(switch), input="")
    assert result.exit_code == 2
    assert "answers with labels" in result.stderr
