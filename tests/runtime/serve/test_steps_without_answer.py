"""`stepcell predict` with a model that does not answer at each step: a line for each line, empty or with null."""

import json

import pytest
from support.models import answering
from support.predicting import on_lines, predict

SYMBOLS = "01234012"


@pytest.fixture
def model(tmp_path):
    return str(answering(tmp_path / "sparse.tflite", 3, 2))


def test_a_step_without_an_answer_is_an_empty_line(model):
    found = predict(model=model, input=on_lines(SYMBOLS)).stdout.split("\n")[:-1]
    plain = predict(input=on_lines(SYMBOLS)).stdout.split("\n")[:-1]
    assert found == [line if step in (3, 5, 7) else "" for step, line in enumerate(plain, 1)]


def test_a_step_without_an_answer_is_null_in_json(model):
    found = [json.loads(line) for line in predict("--json", model=model, input=on_lines(SYMBOLS)).stdout.splitlines()]
    assert [line["input"] for line in found] == list(SYMBOLS)
    assert [line["symbol"] is not None for line in found] == [step in (3, 5, 7) for step in range(1, 9)]
    assert found[0] == {"input": "0", "symbol": None}


def test_values_are_null_where_there_are_none(tmp_path):
    model = str(answering(tmp_path / "sensor.tflite", 2, 1, of="sensor"))
    line = json.dumps({"features": [1, 2, 3, 4]}) + "\n"
    first, second = map(json.loads, predict("--json", model=model, input=2 * line).stdout.splitlines())
    assert first["values"] is None
    assert len(second["values"]) == 2


def test_a_saved_session_answers_at_the_same_steps_as_one_that_was_not_cut(model, tmp_path):
    whole = predict("--json", model=model, input=on_lines(SYMBOLS)).stdout
    parts = [
        predict("--json", "--state", tmp_path / "one.state", model=model, input=on_lines(part)).stdout
        for part in (SYMBOLS[:2], SYMBOLS[2:3], SYMBOLS[3:])
    ]
    assert "".join(parts) == whole


def test_each_key_counts_for_itself(model):
    lines = [{"key": key, "symbol": symbol} for symbol in SYMBOLS[:4] for key in "ab"]
    answers = predict("--json", "--key", "key", model=model, input="".join(json.dumps(line) + "\n" for line in lines))
    found = [json.loads(line) for line in answers.stdout.splitlines()]
    assert [(line["seen"], line["symbol"] is not None) for line in found] == [
        (seen, seen == 3) for seen in range(1, 5) for _ in "ab"
    ]
