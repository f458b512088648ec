"""stepcell predict: whatever ended the last run, the next one goes on as if nothing had happened."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import BytesIO, StringIO

import pytest
from support.models import DATA, changed_memory
from support.predicting import ONNX, SYMBOLS, TFLITE, append, expected_answers, on_lines, predict, where, whole_run

from stepcell.runtime import TargetError, Vocabulary, calibrate, load, read_saved_streams
from stepcell.runtime.commands.predict import print_answer
from stepcell.runtime.common.errors import OptionError
from stepcell.runtime.serve.loop import IOOptions, predict_lines
from stepcell.runtime.serve.session import LineOptions, Session
from stepcell.runtime.serve.state_file import locked


@pytest.mark.parametrize("cuts", [[1], [60], [119], [1, 2, 3], [40, 80]])
def test_runs_one_after_the_other_are_one_run(tmp_path, cuts):
    path = tmp_path / "memory.state"
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(SYMBOLS)], strict=True):
        result = predict("--state", path, input=on_lines(SYMBOLS[start:end]))
        assert result.exit_code == 0
        assert f"memory.state: {start} symbols seen, {start} lines read\n" in result.stderr
        found += result.stdout.splitlines()
    assert found == expected_answers()
    assert path.read_bytes() == whole_run(tmp_path).read_bytes()


def test_the_offset_in_the_input_is_saved_with_the_state(tmp_path):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    found = []
    for end in (1, 50, 50, 120):
        log.write_text(on_lines(SYMBOLS[:end]))
        result = predict("--state", path, "--input", log)
        assert result.exit_code == 0
        found += result.stdout.splitlines()
    assert found == expected_answers()
    assert "has changed" not in result.stderr
    assert "beginning" not in result.stderr


def test_a_last_line_without_an_end_is_left_for_the_next_run_only_if_there_is_a_state(tmp_path):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text("4\n0")
    assert predict("--input", log).stdout == "0\n1\n"
    result = predict("--state", path, "--input", log)
    assert result.stdout == "0\n"
    assert f"The last line of {log} has no line end yet. It is left for the next run.\n" in result.stderr
    append(log, "\n1\n2\n")
    assert predict("--state", path, "--input", log).stdout == "1\n2\n4\n"


def test_another_or_a_changed_input_is_read_from_its_beginning_and_that_is_said(tmp_path):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text("4\n0\n")
    predict("--state", path, "--input", log)
    for content in ("1\n", "3\n4\n1\n"):  # shorter; other symbols before the offset
        log.write_text(content)
        result = predict("--state", path, "--input", log)
        assert len(result.stdout.splitlines()) == len(content) // 2
        assert f"{log} has changed since it was read: going on at its beginning. What followed line" in result.stderr
    other = tmp_path / "other"
    other.write_text(log.read_text() + "2\n")
    result = predict("--state", path, "--input", other)
    assert f"{other} is another file than before ({log.resolve()}): going on at its beginning." in result.stderr
    stream = load(TFLITE).stream()
    stream.absorb("4013413412")
    assert where(path)[""][0] == 10
    assert where(path)[""][1] == stream.state["c0"].tolist()


def test_a_state_saved_from_python_goes_on_and_says_that_it_knows_no_offset(tmp_path, memory):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    stream = memory.stream()
    stream.absorb("40")
    stream.save(path)
    log.write_text("1\n2\n")
    result = predict("--state", path, "--input", log)
    assert result.stdout == "2\n4\n"
    assert "memory.state: 2 symbols seen, 2 lines read" in result.stderr
    assert f"does not say how far {log} was read: reading it from its beginning." in result.stderr
    stream.restore(path)  # and back
    assert stream.symbols_seen == 4


def test_a_refused_line_is_not_read_and_what_came_before_is_saved(tmp_path):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text("4\n0\nx\n2\n")
    for _ in range(2):
        result = predict("--state", path, "--input", log)
        assert result.exit_code == 1
        assert "Line 3: Symbol 'x' is not in the vocabulary" in result.stderr
        assert where(path)[""][0] == 2
    assert result.stdout == ""
    log.write_text("4\n0\n1\n2\n")
    assert predict("--state", path, "--input", log).stdout == "2\n4\n"


def test_the_state_of_another_file_of_the_network_needs_other_model(tmp_path):
    path = tmp_path / "memory.state"
    predict("--state", path, input="4\n0\n")
    before = path.read_bytes()
    result = predict("--state", path, input="1\n", model=ONNX)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--ignore-fingerprint" in result.stderr
    assert path.read_bytes() == before
    result = predict("--state", path, "--ignore-fingerprint", input="1\n2\n", model=ONNX)
    assert result.stdout == "2\n4\n"
    assert read_saved_streams(path).fingerprint == load(ONNX).manifest.fingerprint


def test_a_damaged_state_is_refused_and_stays(tmp_path):
    path = tmp_path / "memory.state"
    predict("--state", path, input="4\n0\n")
    path.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes()
    result = predict("--state", path, input="1\n")
    assert result.exit_code == 1
    assert "damaged or cut short" in result.stderr
    assert path.read_bytes() == before


def test_a_state_file_belongs_to_one_process_at_a_time(tmp_path):
    path = tmp_path / "memory.state"
    with locked(path):
        result = predict("--state", path, input="1\n")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "is in use: another process saves its streams there" in result.stderr
    assert predict("--state", path, input="1\n").exit_code == 0


def test_a_state_that_cannot_be_saved_is_told_before_anything_is_answered(tmp_path):
    result = predict("--state", tmp_path / "none" / "memory.state", input="1\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Cannot write" in result.stderr


def test_skipped_symbols_leave_the_state_are_counted_and_still_get_a_line(tmp_path):
    path = tmp_path / "memory.state"
    result = predict("--unknown", "skip", "--state", path, input="4\nx\n0\ny\n1\n2\n")
    assert result.exit_code == 0
    assert result.stdout == "0\n\n1\n\n2\n4\n"
    assert result.stderr.count("is skipped") == 1
    assert "Line 2 is skipped (1 so far): Symbol 'x' is not in the vocabulary" in result.stderr
    result = predict("--unknown", "skip", "--state", path, "--json", input="z\n")
    assert json.loads(result.stdout) == {"input": "z", "unknown": True}
    assert "4 symbols seen, 6 lines read, 2 of them unknown" in result.stderr


def test_surprising_symbols_are_marked(memory, tmp_path):
    threshold = tmp_path / "threshold.json"
    calibrate(memory, ["30123", "40124"] * 60).save(threshold)
    result = predict("--threshold", threshold, input="4\n0\n1\n2\n3\n")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [given for given, _, _ in lines] == [*"40123"]
    assert [answer for _, _, answer in lines[:4]] == [*"0124"]
    assert lines[0][1] == "-"
    assert float(lines[1][1]) < 0.1
    assert lines[-1][1].endswith(" alarm")
    last = json.loads(predict("--threshold", threshold, "--json", input="4\n0\n1\n2\n3\n").stdout.splitlines()[-1])
    assert last["surprise"] > 5
    assert (last["alert"], last["alarm"], last["line"]) == (True, True, "3")
    assert last["rank"] > 1
    first = json.loads(predict("--threshold", threshold, "--json", input="4\n").stdout)
    assert (first["surprise"], first["rank"], first["alert"]) == (None, None, False)
    assert "line" not in first


def test_symbols_that_come_with_a_low_probability_are_alerts_without_a_calibrated_file():
    lines = [
        json.loads(line)
        for line in predict("--alert-below", "0.1", "--json", input=on_lines("40123")).stdout.splitlines()
    ]
    assert [one["alert"] for one in lines] == [False] * 4 + [True]
    assert not any(one["alarm"] for one in lines)
    assert lines[-1]["surprise"] > 5
    assert (
        predict("--alert-below", "0.1", input=on_lines("40123"))
        .stdout.splitlines()[-1]
        .split("\t")[1]
        .endswith(" alert")
    )
    assert 2 ** -lines[1]["surprise"] > 0.96
    strict = predict("--alert-below", "1", "--json", input=on_lines("40")).stdout.splitlines()
    assert [json.loads(line)["alert"] for line in strict] == [False, True]  # 0.967 is below 1


def test_an_alert_has_its_line_with_all_its_fields():
    lines = [json.dumps({"machine": "a", "event": symbol, "at": "12:00"}) for symbol in "40123"]
    options = ("--key", "machine", "--symbol-field", "event", "--alert-below", "0.1", "--json")
    answers = [json.loads(line) for line in predict(*options, input="\n".join(lines) + "\n").stdout.splitlines()]
    assert [one.get("line") for one in answers] == [None] * 4 + [lines[-1]]


@pytest.mark.parametrize("probability", ["0", "1.5", "nan"])
def test_a_bound_that_is_no_probability_is_refused(probability):
    result = predict("--alert-below", probability, input="4\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Symbols are alerts below a probability between 0 and 1" in result.stderr


def test_a_model_whose_symbols_have_no_probability_is_refused_before_anything_is_read(memory, tmp_path):
    threshold = calibrate(memory, ["30123", "40124"] * 60)
    path = changed_memory(tmp_path / "labels.tflite", labels=Vocabulary(tuple("abcde")))
    with pytest.raises(TargetError, match="answers with labels"):
        Session(load(path), LineOptions(threshold=threshold), 1, print)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--follow", "--save-every", "5", "--ignore-fingerprint"],
         "--follow needs --input; --save-every needs --state; --ignore-fingerprint needs --state"),
        (["--save-interval", "0"], "--save-interval needs --state"),
        (["--max-streams", "5"], "it needs --key"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_named_all_at_once(options, message):
    result = predict(*options, input="3\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_file_without_lines_is_refused_in_a_few_words(tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(2**20 + 1))
    result = predict("--input", tmp_path / "zeros")
    assert result.exit_code == 1
    assert "Line 1 is longer than 1,048,576 bytes" in result.stderr
    (tmp_path / "long").write_bytes(b"3\n" + b"x" * 500_000 + b"\n")
    result = predict("--input", tmp_path / "long")
    assert result.exit_code == 1
    assert "Line 2: Symbol 'xxx" in result.stderr
    assert "... (500,002 characters)" in result.stderr
    assert len(result.stderr) < 500


def test_a_line_that_is_not_utf_8_is_refused_with_its_first_wrong_byte():
    result = predict(input=b"3\n0\xff\n")
    assert (result.exit_code, result.stdout) == (1, "0\n")
    assert "Line 2 is not UTF-8: byte 2 is 0xff." in result.stderr


def test_without_stdin_there_is_nothing_to_read(memory):
    with pytest.raises(OptionError, match="There is no stdin"):
        predict_lines(memory, LineOptions(), IOOptions(), None, print, print)


def test_what_a_killed_save_has_left_is_removed(tmp_path):
    left, other = tmp_path / ".memory.state.123.part", tmp_path / ".memory.state.old.7.part"  # of memory.state.old
    left.touch()
    other.touch()
    assert predict("--state", tmp_path / "memory.state", input="3\n").exit_code == 0
    assert list(tmp_path.glob(".memory.state.*.part")) == [other]


def test_features_are_read_from_json_lines_and_all_outputs_are_answered():
    lines = '{"symbol": "a", "hour": 3, "speed": [1, 2, 3]}\n{"symbol": "b", "hour": 30, "speed": [1, 2, 3]}\n'
    result = predict("--json", input=lines, model=str(DATA / "wide.onnx"))
    assert result.exit_code == 1
    assert "Line 2: wide.onnx reads hour" in result.stderr
    answer = json.loads(result.stdout.splitlines()[0])
    assert {"input", "symbol", "probability", "gap", "mood"} <= answer.keys()
    assert len(answer["gap"]["values"]) == 2


def test_a_link_to_a_state_stays_and_both_names_have_one_lock(tmp_path):
    real, link = tmp_path / "real" / "s", tmp_path / "link"
    real.parent.mkdir()
    link.symlink_to(real)
    assert predict("--state", link, input="4\n0\n").exit_code == 0
    assert link.is_symlink()
    assert predict("--state", real, input="1\n2\n").stdout == "2\n4\n"
    with locked(real):
        assert "is in use" in predict("--state", link, input="1\n").stderr


def test_an_answer_is_one_write_and_durable_before_its_line_is_saved(memory, tmp_path):
    events, path = [], tmp_path / "memory.state"

    def sync():
        events.append(("sync", where(path)[""][0] if path.exists() else 0))

    io = IOOptions(state=path, save_every=2, save_interval=60)
    lines = BytesIO(on_lines("4012").encode())
    predict_lines(memory, LineOptions(), io, lines, events.append, lambda _: None, sync=sync)
    assert events == [("sync", 0), "0", "1", ("sync", 0), "2", "4", ("sync", 2)]
    writes = []

    class Unbuffered(StringIO):
        def write(self, text):
            writes.append(text)
            return len(text)

    with redirect_stdout(Unbuffered()):
        print_answer("0")
    assert writes == ["0\n"]
