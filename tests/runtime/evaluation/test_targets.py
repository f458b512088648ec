"""Models of labels and of values are judged on rows with their right answers, beside baselines."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from support.command_line import stepcell
from support.models import path_of
from support.power import write_power, write_switch, write_table

from stepcell.runtime import Vocabulary, load, read_model_file
from stepcell.runtime.common.errors import CorpusError, StepcellError
from stepcell.runtime.data import EventsReader
from stepcell.runtime.data.time_bins import TimeBins
from stepcell.runtime.evaluation import evaluate_labels, evaluate_values, read_evaluation_data, read_target_data
from stepcell.runtime.format.model_file import pack

ROW = {"sequence": "run", "order": "second"}


@pytest.fixture
def power(tmp_path):
    return load(write_power(tmp_path / "power.onnx"), backend="numpy")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "power.csv"
    return path, write_table(path)


def answers(values, starts):
    """What the model of watts answers: the mean of two products."""
    product = values[:, 0] * values[:, 1]
    before = np.concatenate([[0], product[:-1]])
    before[starts] = 0
    return (product + before) / 2


def test_values_are_judged_by_absolute_and_squared_error_beside_the_last_value_and_the_mean(power, table):
    path, values = table
    found = evaluate_values(power, read_target_data(power.manifest, path, ["watts"], options=ROW))
    watts, counted = values[:, 2], np.ones(len(values), bool)
    counted[[0, 20]] = False  # no value before them
    expected = {
        "reset": answers(values, [0, 20]),
        "carried": answers(values, [0]),
        "memoryless": values[:, 0] * values[:, 1] / 2,
    }
    for name, answer in expected.items():
        errors = (answer - watts)[counted]
        assert found.modes[name].absolute[0] == pytest.approx(np.abs(errors).mean(), rel=1e-5), name
        assert found.modes[name].squared[0] == pytest.approx((errors**2).mean(), rel=1e-5), name
    last = (np.roll(watts, 1) - watts)[counted]
    assert found.baselines["the last value again"].absolute[0] == pytest.approx(np.abs(last).mean(), rel=1e-5)
    mean = (watts.mean() - watts)[counted]
    assert found.baselines["the mean"].squared[0] == pytest.approx((mean**2).mean(), rel=1e-5)
    assert found.notes[-1].startswith("baselines are made of the same data, which favours them")


def test_the_mean_is_that_of_the_training_data_where_they_are_named(power, table, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("volts,amps,watts,run,second\n" + "".join(f"1,1,{10 + n % 2},a,{n}\n" for n in range(10)))
    data = read_target_data(power.manifest, table[0], ["watts"], baseline_from=other, options=ROW)
    errors = 10.5 - np.delete(table[1][:, 2], [0, 20])
    assert evaluate_values(power, data).baselines["the mean"].absolute[0] == pytest.approx(np.abs(errors).mean())
    part = read_target_data(power.manifest, table[0], ["watts"], held_out=0.5, options=ROW)
    assert (len(part.targets), len(part.train)) == (20, 20)
    assert sorted([*part.targets[:, 0], *part.train[:, 0]]) == pytest.approx(sorted(table[1][:, 2]), rel=1e-6)


def test_rows_are_sorted_into_their_sequences(power, table, tmp_path):
    head, *lines = table[0].read_text().splitlines(keepends=True)
    mixed = tmp_path / "mixed.csv"
    mixed.write_text(head + "".join(lines[::2] + lines[1::2]))
    one, other = (read_target_data(power.manifest, path, ["watts"], options=ROW) for path in (table[0], mixed))
    np.testing.assert_array_equal(one.targets, other.targets)
    for name in ("volts", "amps"):
        np.testing.assert_array_equal(one.inputs.features[name], other.inputs.features[name])


def test_the_command_of_the_issue_judges_values(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_power(tmp_path / "model.onnx")
    columns = ["--target", "watts", "--feature", "volts=volts", "--feature", "amps=amps"]
    result = stepcell("evaluate", "model.onnx", "power.csv", *columns, "--report", "report.html")
    assert result.exit_code == 0, result.output
    for part in ("mean absolute error", "mean squared error", "the last value again", "the mean", "watts: "):
        assert part in result.output
        assert part in (tmp_path / "report.html").read_text()
    found = json.loads(stepcell("evaluate", "model.onnx", "power.csv", *columns, "--json").stdout)
    assert set(found["modes"]) == {"carried", "memoryless"}
    assert found["modes"]["carried"]["values"]["watts"]["mean_absolute_error"] > 0
    assert found["verdict"].startswith("watts: ")


@pytest.fixture
def labelled(tmp_path):
    """Rows of symbols and labels."""
    random, path = np.random.default_rng(3), tmp_path / "levels.csv"
    rows = [
        (run, random.choice(list("abcdef")), random.choice(["low", "middle", "high"]))
        for run in "xyz"
        for _ in "1234567"
    ]
    path.write_text("run,event,level\n" + "".join(",".join(row) + "\n" for row in rows))
    return path, rows


def test_labels_are_judged_at_each_step_and_at_the_end(labelled):
    path, rows = labelled
    model = load(path_of("labelled"), backend="numpy")
    data = read_target_data(model.manifest, path, ["level"], options={"symbol": "event", "sequence": "run"})
    found = evaluate_labels(model, data)
    stream, probabilities = model.stream(), []
    for index, (_, event, _) in enumerate(rows):
        if index % 7 == 0:
            stream.reset()
        probabilities.append(stream.step(event).probabilities)
    right = np.array([["low", "middle", "high"].index(level) for *_, level in rows])
    answered, chosen = np.argmax(probabilities, axis=1), np.array(probabilities)[np.arange(21), right]
    assert found.main.accuracy == pytest.approx((answered == right).mean())
    assert found.main.nats == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    assert found.modes["at_end"].nats == pytest.approx(-np.log(chosen[6::7]).mean(), rel=1e-5)
    table = np.zeros((3, 3), int)
    np.add.at(table, (right, answered), 1)
    assert found.to_json()["confusion"] == table.tolist()
    assert found.baselines[0].scores.accuracy == pytest.approx(np.bincount(right).max() / 21)


def test_the_command_shows_accuracy_log_loss_calibration_and_confusion_of_labels(labelled):
    columns = ["--target", "level", "--symbol", "event", "--sequence", "run"]
    result = stepcell("evaluate", path_of("labelled"), labelled[0], *columns)
    assert result.exit_code == 0, result.output
    for part in (
        "at the end of each sequence",
        "the most frequent label",
        "right \\ answered",
        "evaluated: 3 sequences, 21 labels",
        "calibration: probabilities are off by",
        "bits per label",
    ):
        assert part in result.output


def test_one_sigmoid_unit_is_two_labels(table, tmp_path):
    path, values = table
    model = load(write_switch(tmp_path / "switch.onnx"), backend="numpy")
    found = evaluate_labels(model, read_target_data(model.manifest, path, ["on"], options=ROW))
    right = values[:, 2] > 0
    one = 1 / (1 + np.exp(-values[:, 0] * values[:, 1]))
    assert found.main.accuracy == pytest.approx(((one > 0.5) == right).mean())
    assert found.main.nats == pytest.approx(-np.log(np.where(right, one, 1 - one)).mean(), rel=1e-4)
    assert found.symbols == ("0", "1")


@pytest.mark.parametrize(
    ("model", "targets", "features", "options", "said"),
    [
        ("sensor", [], [], {}, "features \\[4\\] takes 4 columns, named: 1; repeat --feature features=COLUMN in order; "
         "the right values take 2 columns, none is named: --target COLUMN, repeated in order"),
        ("sensor", ["u", "v"], ["x=a"], {"gaps": "1min"}, "--gaps does not apply .*; there is no feature x"),
        ("labelled", [], [], {}, "no column is named for the symbol: --symbol COLUMN; the right labels take 1 column"),
        ("labelled", ["nothing"], [], {"symbol": "event"}, "no column 'nothing' \\(--target\\)"),
        ("labelled", ["run"], [], {"symbol": "event"}, "'run' of .* has 'x', 'y', 'z', which labelled does not answer. "
         "Its labels: 'low', 'middle', 'high'"),
        ("labelled", ["level"], [], {"symbol": "level"}, "does not know '(low|middle|high)', .* It knows 6 symbols"),
    ],
)  # fmt: skip
def test_columns_that_are_missing_or_hold_something_else_are_all_named(
    labelled, model, targets, features, options, said
):
    with pytest.raises(CorpusError, match=said):
        read_target_data(load(path_of(model)).manifest, labelled[0], targets, features, options=options)


def test_a_row_that_is_not_whole_is_refused_because_the_state_moves_at_it(labelled):
    path, _ = labelled
    lines = path.read_text().splitlines(keepends=True)
    lines[3] = "x,a,\n"
    path.write_text("".join(lines))
    with pytest.raises(
        CorpusError, match="nothing in the columns 'level': left out: 1 without .*every row must be whole"
    ):
        read_target_data(load(path_of("labelled")).manifest, path, ["level"], options={"symbol": "event"})


def test_numbers_of_several_columns_and_ids_are_put_together_in_their_order(tmp_path):
    path = tmp_path / "four.csv"
    path.write_text("a,b,c,d,u,v\n" + "".join(f"{n},{n + 1},{n + 2},{n + 3},0,1\n" for n in range(5)))
    model = load(path_of("sensor"), backend="numpy")
    data = read_target_data(model.manifest, path, ["u", "v"], [f"features={name}" for name in "dcba"])
    assert data.inputs.features["features"][0].tolist() == [3, 2, 1, 0]
    assert data.targets.tolist() == [[0, 1]] * 5
    assert list(evaluate_values(model, data).names) == ["u", "v"]


def test_symbols_that_the_model_does_not_know_are_counted(labelled, tmp_path):
    path, _ = labelled
    model = read_model_file(path_of("labelled"))
    symbols = ("a", "b", "c", "d", "e", "<unknown>")
    manifest = replace(model.manifest, vocabulary=Vocabulary(symbols, "<unknown>"))
    data = read_target_data(manifest, path, ["level"], options={"symbol": "event"})
    strange = path.read_text().count(",f,")
    assert f"{strange} of its 21 symbols are unknown to the model" in data.notes
    assert (data.inputs.ids == 5).sum() == strange


def test_a_column_of_right_answers_is_refused_for_a_model_of_the_next_symbol(labelled):
    for command in ("evaluate", "score"):
        result = stepcell(command, path_of("memory"), labelled[0], "--target", "level")
        assert result.exit_code != 0
        assert "memory.tflite predicts its next symbol" in result.stderr


@pytest.mark.parametrize("held_out", [{"share": "many"}, {"part": 1}, {"share": 0.1, "by": 3}, {"share": [1]}])
def test_a_split_that_is_described_in_another_way_is_refused_and_not_a_bare_error(held_out, labelled, tmp_path):
    path, _ = labelled
    lines = tmp_path / "events.lines"
    lines.write_text("a b c\n" * 3)
    file = read_model_file(path_of("labelled"))
    sha256 = EventsReader(symbol="event").read(path).sha256
    manifest = replace(file.manifest, training={"data": {"held_out": held_out, "sha256": sha256}})
    with pytest.raises(CorpusError, match="held-out part of the training is described"):
        read_target_data(manifest, path, ["level"], options={"symbol": "event"})
    reading = {"kind": "events", "format": "lines", "end": None}
    manifest = replace(manifest, labels=None, training={"data": {"held_out": held_out, "reading": reading}})
    with pytest.raises(CorpusError, match="held-out part of the training is described"):
        read_evaluation_data(manifest, lines)


@pytest.mark.parametrize(
    "data",
    [
        {"targets": 3},
        {"targets": [3]},
        {"reading": {"kind": "events", "features": 7, "symbol": "event"}},
        {"reading": {"kind": "events", "symbol": {"a": 1}}},
        {"reading": {"kind": "events", "symbol": "event", "encoding": 5}},
        {"reading": {"kind": "events", "symbol": "event", "header": [], "delimiter": 4}},
        {"sha256": 3, "learned": {"keys": 4}},
    ],
)
def test_a_training_that_is_described_strangely_gives_no_bare_error(data, labelled):
    file = read_model_file(path_of("labelled"))
    manifest = replace(file.manifest, training={"data": data})
    for targets, options in ((["level"], {"symbol": "event"}), ([], {}), (["level"], {})):
        with suppress(StepcellError):  # nothing else is raised
            read_target_data(manifest, labelled[0], targets, options=options)


def test_a_row_whose_gap_is_fed_behind_it_is_one_answer_the_one_that_predict_gives(tmp_path):
    file = read_model_file(path_of("labelled", "onnx"))
    early, late = TimeBins.parse("10").symbols
    reading = {"kind": "events", "symbol": "what", "order": "time", "sequence": "key", "gaps": "10"}
    training = {"data": {"reading": reading, "targets": ["right"]}}
    vocabulary = Vocabulary(("a", "b", "c", "d", early, late))
    path = tmp_path / "gaps.onnx"
    manifest = replace(file.manifest, vocabulary=vocabulary, training=training, golden=None)
    path.write_bytes(pack(file.payload, manifest, "onnx"))
    table = tmp_path / "log.csv"
    rows = [
        ("x", 0, "a", "low"),
        ("x", 3, "b", "high"),
        ("x", 30, "a", "low"),
        ("y", 5, "c", "middle"),
        ("y", 90, "d", "low"),
    ]
    table.write_text("\n".join(["key,time,what,right", *(",".join(map(str, row)) for row in rows)]) + "\n")
    model = load(path, backend="numpy")
    data = read_target_data(model.manifest, table, ["right"])
    found = evaluate_labels(model, data)
    stream, given, before = model.stream(), [], {}
    for key, time, what, _ in rows:
        if key not in before:
            stream.reset()
        answer = stream.step(what)
        if key in before:
            answer = stream.step(late if time - before[key] >= 10 else early)
        given.append(answer.symbol)
        before[key] = time
    assert {name: len(scores) for name, scores in found.modes.items()} == {
        "reset": 5, "carried": 5, "memoryless": 5, "at_end": 2,
    }  # fmt: skip
    right = [row[3] for row in rows]
    assert found.main.accuracy == pytest.approx(
        np.mean([one == other for one, other in zip(given, right, strict=True)])
    )
    live = stepcell(
        "predict", path, "--input", table, "--format", "csv", "--key", "key", "--json", "--backend", "numpy"
    )
    assert [json.loads(line)["symbol"] for line in live.stdout.splitlines()] == given, live.output
    scored = stepcell("score", path, table, "--target", "right", "--per-symbol", "--backend", "numpy")
    assert [line.split("\t")[2] for line in scored.stdout.splitlines()[:5]] == given, scored.output
