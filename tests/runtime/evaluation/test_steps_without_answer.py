"""A model that does not answer at each step is judged by its answers, beside baselines on the same symbols or rows."""

import json

import numpy as np
import pytest
from support.command_line import stepcell
from support.models import answering, let_answer, path_of
from support.power import write_power, write_switch, write_table

from stepcell.runtime import load
from stepcell.runtime.common.errors import OptionError
from stepcell.runtime.data import Recording, encode_sequences
from stepcell.runtime.evaluation import (
    EvaluationData,
    EvaluationModes,
    evaluate,
    evaluate_labels,
    evaluate_values,
    read_target_data,
)

FIRST, SECOND = slice(20), slice(20, 40)
ROW = {"sequence": "run", "order": "second"}
SEQUENCES = ["3012340", "4012430122", "30", "012343"]


def data_of(model, sequences=SEQUENCES):
    encoded = encode_sequences(Recording.of(sequences), model.vocabulary, None)
    return EvaluationData(encoded, encoded, 0, ())


def test_symbols_after_an_answer_are_judged_and_baselines_on_the_same(tmp_path):
    plain = load(path_of("memory"), backend="numpy")
    sparse = load(answering(tmp_path / "sparse.tflite", 3, 2), backend="numpy")
    whole = EvaluationModes(plain, data_of(plain).test).reset()
    found = evaluate(sparse, data_of(sparse))
    chosen = whole.select((whole.positions >= 3) & (whole.positions % 2 == 1))
    np.testing.assert_array_equal(found.modes["reset"].targets, chosen.targets)
    np.testing.assert_array_equal(found.modes["reset"].log_probabilities, chosen.log_probabilities)
    assert {len(one.scores) for one in found.baselines} == {len(chosen)}
    assert "memoryless" not in found.modes
    assert len(found.modes["carried"]) < len(chosen)  # those that both modes answer
    assert found.notes[-1] == (
        "the model answers at every 2nd step, first at step 3: 13 of 21 symbols have no prediction"
    )


def test_nothing_is_evaluated_if_no_sequence_is_long_enough(tmp_path):
    late = load(answering(tmp_path / "late.tflite", 50, 1), backend="numpy")
    with pytest.raises(OptionError, match=r"answers from step 50 on, and no sequence is so long"):
        evaluate(late, data_of(late))


def test_values_are_judged_in_the_rows_that_were_answered(tmp_path):
    plain = write_power(tmp_path / "power.onnx")
    path, model = tmp_path / "power.csv", load(plain, backend="numpy")
    write_table(path)
    data = read_target_data(model.manifest, path, ["watts"], options=ROW)
    rows = [row for row in range(40) if row % 20 + 1 in range(4, 21, 3)]
    answers = np.concatenate([model.stream().run(None, data.inputs[part].features) for part in (FIRST, SECOND)])
    sparse = load(let_answer(plain, 4, 3), backend="numpy")
    found = evaluate_values(sparse, data)
    errors = np.abs(answers[rows] - data.targets[rows])
    assert found.modes["reset"].absolute[0] == pytest.approx(errors.mean(), rel=1e-6)
    assert {len(one) for one in (found.modes["reset"], *found.baselines.values())} == {len(rows)}
    assert "memoryless" not in found.modes
    assert found.notes[-1].endswith("28 of 40 rows have no answer")


def test_labels_are_judged_in_the_rows_that_were_answered(tmp_path):
    model = load(let_answer(write_switch(tmp_path / "switch.onnx"), 2, 3), backend="numpy")
    path = tmp_path / "power.csv"
    write_table(path)
    found = evaluate_labels(model, read_target_data(model.manifest, path, ["on"], options=ROW))
    assert found.modes["reset"].positions.tolist() == [*range(2, 21, 3)] * 2
    assert len(found.modes["at_end"]) == 2
    assert {len(one.scores) for one in found.baselines} == {14}


def test_residuals_are_those_of_the_rows_that_were_answered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    let_answer(write_power(tmp_path / "power.onnx"), 4, 3)
    write_table(tmp_path / "power.csv")
    columns = ["--target", "watts", "--sequence", "run", "--order", "second"]
    result = stepcell("score", "power.onnx", "power.csv", *columns, "--json")
    assert json.loads(result.stdout)["answers"] == 12
    assert "28 of 40 rows have no answer" in result.stderr
    found = stepcell("calibrate", "power.onnx", "power.csv", *columns, "--false-alarms", "0.2", "--out", "t", "--json")
    assert json.loads(found.stdout)["rows"] == 12
    let_answer(tmp_path / "power.onnx", 50, 1)
    refused = stepcell("score", "power.onnx", "power.csv", *columns)
    assert refused.exit_code == 2
    assert "answers from step 50 on, and no sequence of power.csv is so long" in refused.stderr
