"""The commands `stepcell score` and `stepcell calibrate`."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from support.command_line import stepcell
from support.models import DATA, changed_memory, path_of

from stepcell.runtime import Vocabulary, load, read_model_file, read_threshold
from stepcell.runtime.data import TextReader
from stepcell.runtime.tasks.lanes import FEWEST

TFLITE = str(DATA / "memory.tflite")


def test_symbols_on_lines_are_scored_from_a_file_or_stdin(memory, tmp_path):
    symbols = "3012340124" * 30
    expected = memory.stream().score(symbols).summary
    path = tmp_path / "symbols"
    path.write_text("".join(f"{symbol}\n" for symbol in symbols))
    found = json.loads(stepcell("score", TFLITE, path, "--json").stdout)
    assert found == expected.to_json()
    result = stepcell("score", TFLITE, input=path.read_text())
    assert result.stderr == "stdin: 300 symbols, read as a symbol on each line\n"
    header, row = result.stdout.splitlines()
    assert header.split("  ")[0] == "symbols"
    assert row.split()[:2] == ["299", f"{expected.nats_per_symbol:.4f}"]
    assert f"{100 * expected.top_1 / 299:.2f} %" in row


@pytest.mark.parametrize("command", [["score"], ["calibrate", "--out", "threshold.json"]])
def test_data_of_another_encoding_are_read_where_it_is_said(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "symbols.txt"
    path.write_bytes(("3\n0\n1\n2\n3\n" * 200).encode("utf-16"))
    refused = stepcell(command[0], TFLITE, path, *command[1:])
    assert refused.exit_code == 1
    assert "--encoding utf-16" in refused.stderr
    assert stepcell(command[0], TFLITE, path, *command[1:], "--encoding", "utf-16").exit_code == 0


def test_a_newline_as_a_symbol_is_written_as_its_escape(text_model):
    result = stepcell("score", text_model, "--format", "symbols", "--per-symbol", input="a\n\\n\nb\n")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["a", "\\n", "b"]


def test_each_symbol_is_printed_with_its_surprise_and_rank(memory):
    score = memory.stream().score("3012")
    result = stepcell("score", TFLITE, "--per-symbol", input="3\n0\n1\n2\n")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0] == ["3", "-", "-"]
    assert [float(bits) for _, bits, _ in lines[1:]] == pytest.approx(score.bits[1:].tolist(), abs=1e-4)
    assert [int(rank) for *_, rank in lines[1:]] == score.ranks[1:].tolist()
    assert "bits per symbol" in result.stderr
    result = stepcell("score", TFLITE, "--per-symbol", "--json", input="3\n0\n")
    first, second = map(json.loads, result.stdout.splitlines())
    assert first == {"symbol": "3", "surprise": None, "rank": None}
    assert (second["symbol"], second["rank"]) == ("0", 1)
    assert json.loads(result.stderr.splitlines()[-1])["scored"] == 1


def test_sequences_on_lines_begin_from_the_initial_state(memory):
    result = stepcell("score", TFLITE, "--format", "lines", "--json", input="3 0 1 2\n4 0 1 2 4\n")
    scores = [memory.stream().score(line) for line in ("3012", "40124")]
    figures = json.loads(result.stdout)
    assert (figures["symbols"], figures["scored"]) == (9, 7)
    assert figures["nats_per_symbol"] == pytest.approx(sum(score.summary.nats for score in scores) / 7)
    result = stepcell("score", TFLITE, "--format", "lines", "--per-symbol", input="3 0\n4 0\n")
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()] == [
        ["1", "3"],
        ["1", "0"],
        ["2", "4"],
        ["2", "0"],
    ]


def test_data_are_read_as_the_training_data_were(events_model, text_model, tmp_path):
    model, log = load(events_model), tmp_path / "other.csv"
    log.write_text("case;event\n1;take in\n2;check\n1;fly\n2;pay\n")
    whole = [["<end>", "take in", "fly", "<end>"], ["<end>", "check", "pay", "<end>"]]
    result = stepcell("score", events_model, log, "--json")
    nats = sum(model.stream().score(sequence).summary.nats for sequence in whole)
    assert json.loads(result.stdout)["scored"] == 6
    assert json.loads(result.stdout)["nats_per_symbol"] == pytest.approx(nats / 6)
    assert "1 of its 4 symbols are unknown to the model" in result.stderr
    assert json.loads(stepcell("score", events_model, "--json", input=log.read_text()).stdout)["scored"] == 6
    text = tmp_path / "text"
    text.write_text("abcd\nabc")
    result = stepcell("score", text_model, text, "--json")
    assert json.loads(result.stdout)["scored"] == 7
    assert "8 symbols, read as characters" in result.stderr
    stream = load(text_model).stream()
    assert json.loads(result.stdout)["bits_per_symbol"] * math.log(2) == pytest.approx(
        stream.score("abcd\nabc").summary.nats_per_symbol
    )


def test_the_file_of_the_training_is_recognized(tmp_path):
    data, path = tmp_path / "text", tmp_path / "text.onnx"
    data.write_text("abcdabcd")
    sha256 = TextReader().read(data).sha256
    changed_memory(
        path,
        vocabulary=Vocabulary(tuple("abcd\n")),
        training={"data": {"reading": TextReader().to_json(), "end": None, "sha256": sha256}},
    )
    assert "the model was trained on it: these are no figures for new data" in stepcell("score", path, data).stderr
    data.write_text("abcdabcda")
    assert "trained on it" not in stepcell("score", path, data).stderr


def test_symbols_that_nothing_stands_for_are_all_named_and_the_way_they_were_read():
    result = stepcell("score", TFLITE, "--format", "text", input="30x\ny")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "memory does not know 3 symbols of stdin: 'x', '\\n', 'y'. It knows 5 symbols" in result.stderr
    expected = "The data were read as characters; if that is wrong, name their format: --format csv, tsv, jsonl,"
    assert expected in result.stderr


def test_data_that_cannot_be_read_are_refused(events_model, tmp_path):
    for arguments, message in (
        (["score", TFLITE, tmp_path / "none"], "Cannot read"),
        (["score", TFLITE, "--format", "text"], "stdin is empty"),
        (["score", TFLITE], "stdin is empty"),
        (["score", events_model], "stdin is empty"),
    ):
        result = stepcell(*arguments, input="")
        assert (result.exit_code, result.stdout) == (1, "")
        assert message in result.stderr
        assert "stepcell-" not in result.stderr  # where stdin is kept


def test_the_columns_of_the_training_are_read_from_every_format(events_model, tmp_path):
    model = load(events_model)
    rows = [("1", "take in"), ("2", "check"), ("1", "fly"), ("2", "pay")]
    table, lines = tmp_path / "table", tmp_path / "lines"
    table.write_text("case,event\n" + "".join(f"{case},{event}\n" for case, event in rows))
    records = "".join(json.dumps({"event": event, "case": case}) + "\n" for case, event in rows)
    lines.write_text("check pay\n")
    whole = [["<end>", "take in", "fly", "<end>"], ["<end>", "check", "pay", "<end>"]]
    both, second = (
        pytest.approx(sum(model.stream().score(sequence).summary.nats for sequence in part) / (3 * len(part)))
        for part in (whole, whole[1:])
    )
    for arguments, given, expected in (
        ([table, "--format", "csv"], "", both),
        (["--format", "jsonl"], records, both),
        ([lines, "--format", "lines"], "", second),
    ):
        result = stepcell("score", events_model, *arguments, "--json", input=given)
        assert json.loads(result.stdout)["nats_per_symbol"] == expected
    result = stepcell("calibrate", events_model, table, "--format", "csv", "--false-alarms", "0.2", "--out",
                      tmp_path / "threshold.json", "--json")  # fmt: skip
    assert json.loads(result.stdout)["symbols"] == 6
    result = stepcell("score", TFLITE, table, "--format", "csv")
    assert "memory does not name the symbol column of a table: it was not trained on one" in result.stderr


def test_the_certificate_of_a_long_score_is_shown():
    path = path_of("lstm", "onnx")
    ids = np.random.default_rng(0).integers(0, 7, FEWEST + 1)
    result = stepcell("score", path, "--json", input="".join(f"{id}\n" for id in ids.tolist()))
    assert json.loads(result.stdout)["scored"] == FEWEST
    assert "scored in 64 lanes, 0 of them redone; where they meet, states differ by" in result.stderr


def test_a_threshold_is_calibrated_and_saved(memory, tmp_path):
    data, out = tmp_path / "normal.lines", tmp_path / "threshold.json"
    data.write_text("3 0 1 2 3\n4 0 1 2 4\n" * 60)
    result = stepcell("calibrate", TFLITE, data, "--format", "lines", "--out", out, "--false-alarms", "0.02")
    assert result.exit_code == 0
    threshold = read_threshold(out, memory.file)
    assert (threshold.symbols, threshold.sequences, threshold.false_alarms) == (480, 120, 0.02)
    assert f"{threshold.symbol_bits:.2f} bits" in result.stdout
    assert f"written to {out}" in result.stdout
    result = stepcell("calibrate", TFLITE, data, "--format", "lines", "--out", out, "--json")
    assert json.loads(result.stdout) == json.loads(out.read_text())


def test_too_little_data_write_no_threshold(tmp_path):
    data, out = tmp_path / "normal", tmp_path / "threshold.json"
    data.write_text("3\n0\n1\n")
    result = stepcell("calibrate", TFLITE, data, "--out", out)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "it takes 99" in result.stderr
    assert not out.exists()


@pytest.mark.parametrize("command", ["score", "calibrate"])
def test_a_model_that_answers_with_labels_is_refused_before_the_data_are_read(command, tmp_path):
    path = changed_memory(tmp_path / "labels.onnx", labels=Vocabulary(tuple("abcde")))
    out = ["--out", tmp_path / "x"] if command == "calibrate" else []
    result = stepcell(command, path, tmp_path / "none", *out)
    assert result.exit_code == 1
    assert "answers with labels" in result.stderr
    assert read_model_file(path).manifest.labels is not None
