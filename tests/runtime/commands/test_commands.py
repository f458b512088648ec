"""The commands that generate, score and calibrate, and how symbols are read and written by people."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from support.keras_models import sharp_model
from support.models import DATA, changed_memory
from support.sealed import write_model
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import build_step_function
from stepcell.runtime import Vocabulary, load, read_model_file, read_threshold
from stepcell.runtime.commands.generate import generate
from stepcell.runtime.commands.options import DataFormat, TableFormat
from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import DATA_FORMATS, FORMATS, EventsReader, SymbolsReader, TextReader, reader_for_model
from stepcell.runtime.format.vocabulary import read_symbols
from stepcell.runtime.tasks.generate import Sampling
from stepcell.runtime.tasks.lanes import FEWEST
from stepcell.runtime.tasks.text_output import SymbolFormatter

TFLITE = str(DATA / "memory.tflite")
TEXT = {"reading": TextReader().to_json(), "end": None, "source": "book.txt"}
EVENTS = {
    "reading": EventsReader("event", "case", end="<end>").to_json(), "end": "<end>", "min_count": 1,
    "source": "log.csv", "sha256": "",
}  # fmt: skip
ACTIVITIES = Vocabulary(("take in", "check", "pay", "<unknown>", "<end>"), "<unknown>")


def stepcell(*arguments, input=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    """The memory model as if trained on a text of the letters a to d and the newline."""
    path = tmp_path_factory.mktemp("text") / "text.tflite"
    return changed_memory(path, vocabulary=Vocabulary(tuple("abcd\n")), training={"data": TEXT})


@pytest.fixture(scope="module")
def events_model(tmp_path_factory):
    """The memory model as if trained on a log of cases."""
    path = tmp_path_factory.mktemp("events") / "events.tflite"
    return changed_memory(path, vocabulary=ACTIVITIES, training={"data": EVENTS})


# ----- generate


def test_characters_are_generated_without_separators(memory):
    expected = "".join(memory.stream().generate(20, prompt="30", seed=1))
    result = stepcell("generate", TFLITE, "--prompt", "3 0", "--count", 20, "--seed", 1)
    assert (result.exit_code, result.stdout) == (0, expected + "\n")
    options = {"temperature": 2.0, "top_k": 3, "top_p": 0.9}
    expected = "".join(memory.stream().generate(50, prompt="30", seed=2, **options))
    flags = ["--temperature", 2, "--top-k", 3, "--top-p", 0.9]
    assert stepcell("generate", TFLITE, "--prompt", "30", "--count", 50, "--seed", 2, *flags).stdout == expected + "\n"
    expected = "".join(memory.stream().generate(100, prompt="30", greedy=True, stop="2"))
    assert stepcell("generate", TFLITE, "--prompt", "30", "--greedy", "--stop", "2").stdout == expected + "\n"


def test_each_symbol_is_written_before_the_next_is_drawn(monkeypatch):
    held, written, seen, draw = [], [], [], Sampling.draw

    class Stdout:
        write = held.append

        def flush():
            written.extend(held)
            held.clear()

    def watched(self, *arguments):
        seen.append(len(written))
        return draw(self, *arguments)

    monkeypatch.setattr(Sampling, "draw", watched)
    monkeypatch.setattr("sys.stdout", Stdout)
    generate(Path(TFLITE), prompt="3", count=4, seed=1)
    assert seen == [0, 1, 2, 3]


def test_a_model_of_sequences_begins_one_and_stops_at_its_end(events_model):
    stream = load(events_model).stream()
    expected = list(stream.generate(100, prompt=["<end>"], seed=3, stop="<end>"))
    assert 1 < len(expected) < 100
    result = stepcell("generate", events_model, "--seed", 3, "--stop", "<end>")
    assert result.stdout.splitlines() == expected  # "take in" has a blank: a symbol on each line
    result = stepcell("generate", events_model, "--seed", 3, "--count", 2, "--json", "--prompt", "take in\npay")
    assert json.loads(result.stdout)["prompt"] == ["take in", "pay"]
    assert len(json.loads(result.stdout)["symbols"]) == 2


def test_text_comes_with_its_newlines_as_they_are(text_model):
    result = stepcell("generate", text_model, "--prompt", r"a\nb", "--count", 200, "--seed", 1, "--temperature", 3)
    assert len(result.stdout) == 201
    assert {"\n", "a", "d"} <= set(result.stdout)
    line = stepcell("generate", text_model, "--prompt", "a", "--seed", 1, "--temperature", 3, "--stop", r"\n").stdout
    assert line.endswith("\n\n")
    assert line.count("\n") == 2


def test_beam_prints_continuations_the_likeliest_first(memory):
    found = memory.stream().beam(5, 3, prompt="30")
    result = stepcell("generate", TFLITE, "--prompt", "30", "--count", 5, "--beam", 3)
    expected = [f"{one.log_probability:.3f}\t{''.join(one.symbols)}" for one in found]
    assert result.stdout.splitlines() == expected
    result = stepcell("generate", TFLITE, "--prompt", "30", "--count", 5, "--beam", 3, "--json")
    assert [way["symbols"] for way in json.loads(result.stdout)["continuations"]] == [
        list(one.symbols) for one in found
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give it a prompt of one symbol or more"),
        (["--prompt", "x"], 1, "Symbol 'x' is not in the vocabulary of memory.tflite"),
        (["--prompt", "3", "--stop", "y", "--temperature", "0"], 2, "the temperature is 0.0"),
        (["--prompt", "3", "--stop", "y"], 2, "the stop symbol 'y' is not in the vocabulary"),
        (["--prompt", "3", "--beam", "2", "--seed", "1", "--temperature", "2"], 2, "leave out --seed, --temperature"),
        (["--prompt", "3", "--seed", "-1"], 2, "--seed"),
        (["--prompt", "3", "--top-k", "0"], 2, "--top-k"),
    ],
)
def test_a_generation_that_cannot_be_made_is_refused_before_anything_is_printed(arguments, code, message):
    result = stepcell("generate", TFLITE, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr


# ----- how symbols are written


@pytest.mark.parametrize(
    ("notation", "symbols", "text"),
    [
        (SymbolFormatter(Vocabulary(tuple("01"))), ["0", "1", "1"], "011"),
        (SymbolFormatter(Vocabulary(("tea", "\n", "cup"))), ["tea", "\n", "cup"], r"tea \n cup"),
        (SymbolFormatter(Vocabulary(("take in", "\n"))), ["take in", "\n"], "take in\n\\n"),
        (SymbolFormatter(Vocabulary(("a", "\n", "<e>")), "character", "<e>"), ["a", "\n", "<e>", "a"], "a\n<e>a"),
        (SymbolFormatter(Vocabulary(("to", "be", "<e>")), "word", "<e>"), ["to", "be", "<e>", "to"], "to be <e> to"),
        (SymbolFormatter(Vocabulary(("to", "\n")), "word"), ["to", "to", "\n", "\n", "to"], "to to\n\nto"),
        (SymbolFormatter(Vocabulary(("c3", "a4")), "byte"), ["c3", "a4", "61"], "äa"),
    ],
)
def test_what_is_written_is_read_back_as_the_same_symbols(notation, symbols, text):
    assert "".join(notation.write(symbols)) == text
    assert notation.read(text) == symbols


def test_bytes_are_written_when_they_make_a_character_and_what_makes_none_is_marked():
    notation = SymbolFormatter(Vocabulary(("e2", "82", "ac", "<e>")), "byte", "<e>")
    assert list(notation.write(["e2", "82", "ac", "e2", "<e>", "82"])) == ["", "", "€", "", "\ufffd<e>", "\ufffd", ""]


def test_where_a_symbol_has_a_blank_within_each_stands_on_its_line():
    assert read_symbols("take in\n\ncheck\n", ACTIVITIES) == ["take in", "check"]
    assert read_symbols("a  b\n", Vocabulary(("a", "b b", " "))) == ["a  b"]
    assert read_symbols(r"tea \n", Vocabulary(("tea", "\n"))) == ["tea", "\n"]  # typed as an escape, which has no blank


@pytest.mark.parametrize("data", [None, 5, {"reading": 3, "end": ["x"]}, {"reading": {"kind": "text", "unit": "page"}}])
def test_what_a_file_says_about_its_data_may_be_anything_at_all(data, memory):
    manifest = replace(memory.manifest, training={"data": data})
    assert SymbolFormatter.of(manifest) == SymbolFormatter(memory.vocabulary)


# ----- score


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
    assert first == {"symbol": "3", "bits": None, "rank": None}
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
    changed_memory(path, vocabulary=Vocabulary(tuple("abcd\n")), training={"data": {**TEXT, "sha256": sha256}})
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


def test_a_reading_of_another_kind_says_how_to_go_on(memory):
    for reading in ({"kind": "sound"}, {"kind": "text", "unit": "page"}, "x"):
        manifest = replace(memory.manifest, training={"data": {"reading": reading}})
        with pytest.raises(
            CorpusError, match="which this stepcell does not understand .* --format csv, .* text, symbols"
        ):
            reader_for_model(manifest)
        assert reader_for_model(manifest, {"format": "symbols"}).reader == SymbolsReader()
    newer = {**TextReader("word").to_json(), "more": 1}
    manifest = replace(memory.manifest, training={"data": {"reading": newer}})
    assert reader_for_model(manifest).reader == TextReader("word")


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


def test_every_command_calls_the_formats_alike():
    assert get_args(DataFormat) == DATA_FORMATS
    assert get_args(TableFormat) == FORMATS == DATA_FORMATS[: len(FORMATS)]
    manifest = read_model_file(TFLITE).manifest
    for format in DATA_FORMATS:
        reading = reader_for_model(manifest, {"format": format, "symbol": "what"} if format in FORMATS[:4] else
                                    {"format": format}).reader  # fmt: skip
        assert getattr(reading, "format", format) == format
    with pytest.raises(CorpusError, match="The format is 'xlsx', not one of csv, .*, symbols"):
        reader_for_model(manifest, {"format": "xlsx"})


def test_the_certificate_of_a_long_score_is_shown(tmp_path):
    path = write_model(build_step_function(sharp_model("lstm", 1)), tmp_path / "forgetful.onnx")
    ids = np.random.default_rng(0).integers(0, 7, FEWEST + 1)
    result = stepcell("score", path, "--json", input="".join(f"{id}\n" for id in ids.tolist()))
    assert json.loads(result.stdout)["scored"] == FEWEST
    assert "scored in 64 lanes, 0 of them redone; where they meet, states differ by" in result.stderr


# ----- calibrate


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
