"""A model card says what the manifest knows, in Markdown and metadata that stay valid around any text."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.command_line import stepcell
from support.models import DATA, STANDARD, path_of

from stepcell.runtime import Feature, Vocabulary, read_model_file
from stepcell.runtime.data import EventsReader
from stepcell.runtime.format.card import WRITTEN_BY, model_card
from stepcell.runtime.format.tensor_specs import AnswerTimes, Window

READER = MarkdownIt("commonmark").enable("table")
FILE = read_model_file(DATA / "memory.tflite")
EVENTS = {
    "problem": "events", "framing": "truncated BPTT over packed sequences", "longest_length": 50, "accuracy": 0.75,
    "bits_per_symbol": 1.5, "parameters": 2185, "baselines": {"2-gram": {"accuracy": 0.5, "bits_per_symbol": 2.25}},
    "data": {
        "source": "log.csv", "sha256": "ab" * 32, "end": None, "min_count": 2, "held_out": {"share": 0.2, "by": "time"},
        "reading": EventsReader("activity", "case", "time").to_json(),
    },
}  # fmt: skip


def card_of(file=FILE, license=None, picture=None, name=None, **changes):
    file = replace(file, manifest=replace(file.manifest, **changes), name=name or file.name)
    return model_card(file, 1234, license=license, picture=picture)


def metadata_of(card):
    head, text, page = card.split("---\n", 2)
    assert head == ""
    return yaml.safe_load(text), page


def section(card, name):
    """The lines of a section of a card."""
    return re.search(rf"^## {name}\n\n(.*?)(?=^## |\Z)", card, re.DOTALL | re.MULTILINE)[1]


def blocks(card):
    return [token.content for token in READER.parse(card) if token.type == "fence"]


def test_the_metadata_are_those_that_hubs_read():
    found, _ = metadata_of(card_of(training=EVENTS, license="apache-2.0"))
    assert found["library_name"] == "stepcell"
    assert found["license"] == "apache-2.0"
    assert found["tags"] == ["stepcell", "recurrent-neural-network", "explicit-state", "tflite", "lstm"]
    assert found["metrics"] == ["accuracy", "bits_per_symbol"]
    (result,) = found["model-index"][0]["results"]
    assert found["model-index"][0]["name"] == "memory"
    assert result["dataset"] == {"type": "other", "name": "log.csv"}
    assert [(each["type"], each["value"]) for each in result["metrics"]] == [
        ("accuracy", 0.75),
        ("bits_per_symbol", 1.5),
    ]


def test_without_measured_values_there_are_none_in_the_metadata_and_no_license_is_invented():
    found, _ = metadata_of(card_of(training={}))
    assert set(found) == {"library_name", "tags"}


@pytest.mark.parametrize(
    ("changes", "tag"),
    [
        ({"training": {"data": {"reading": {"kind": "text"}}}}, "text-generation"),
        ({"output": "linear", "training": {"data": {"targets": ["w"], "ahead": 1}}}, "time-series-forecasting"),
        ({"output": "linear", "training": {"data": {"targets": ["w"]}}}, "tabular-regression"),
        ({"labels": Vocabulary(("a", "b")), "training": {"data": {"targets": ["w"]}}}, "tabular-classification"),
        ({"labels": Vocabulary(("a", "b"))}, None),
        ({}, None),
    ],
)
def test_the_task_is_named_where_the_list_of_the_hubs_has_it(changes, tag):
    assert metadata_of(card_of(**changes))[0].get("pipeline_tag") == tag


def test_training_is_told_with_data_columns_and_held_out_figures_beside_baselines():
    text = section(card_of(training=EVENTS), "Training")
    for row in (
        "| data | `log.csv` |",
        "| held out | 0.2 of it, the last by time |",
        "| columns of the symbol | `activity` |",
        "| column of the sequence | `case` |",
        "| symbols | those that occur 2 times or more |",
        "|  | this model | `2-gram` |",
        "| accuracy | 0.75 | 0.5 |",
        "| bits per symbol | 1.5 | 2.25 |",
    ):
        assert row in text.splitlines()
    assert "| parameters | 2,185 |" in card_of(training=EVENTS)
    went_on = {**EVENTS, "from": {"run": "log", "fingerprint": "0" * 64}}
    assert "| went on from the run | `log` |" in section(card_of(training=went_on), "Training").splitlines()
    assert "went on from" not in card_of(training={**EVENTS, "from": ["log"]})
    assert "of the float32 model" in section(card_of(training=EVENTS, quantization="int8"), "Training")


def test_errors_of_values_are_told_for_each_column():
    data = {"source": "p.csv", "targets": ["watts", "amps"]}
    training = {"mean_absolute_error": [4.5, 0.25], "data": data, "baselines": {"mean": {"mean_absolute_error": [9.0]}}}
    text = section(card_of(training=training, output="linear"), "Training")
    assert "| mean absolute error of `watts` | 4.5 | 9 |" in text
    assert "| mean absolute error of `amps` | 0.25 |  |" in text


def test_a_file_without_training_data_has_a_card_without_training():
    card = card_of(read_model_file(DATA / "adopted.tflite"))
    assert "## Training" not in card
    assert "records no comparison" in section(card, "Exactness")
    assert "has no measured accuracy" in section(card, "Limits")


def test_exactness_is_told_for_each_interpreter():
    text = section(card_of(), "Exactness")
    carried = [entry for entry in FILE.manifest.parity if entry["start"] != "each"]
    assert len(carried) == text.count("| 10,000 |") > 0
    assert "known answer of 24 steps" in text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"memory": 37}, "It remembers about 37 steps"),
        ({"window": Window(12, "rows")}, "An answer depends on the last 12 steps alone."),
        ({"vocabulary": Vocabulary(("0", "1", "2", "3", "?"), "?")}, "is read as <code>&#39;&#63;&#39;</code>"),
        ({"training": EVENTS}, "The figures hold for data like `log.csv`"),
    ],
)
def test_limits_are_those_that_the_manifest_knows(changes, text):
    assert text in section(card_of(**changes), "Limits")


def test_a_model_that_does_not_answer_at_each_step_says_so():
    card = card_of(answers=AnswerTimes(4, 1))
    assert "answers from step 4 on with the probabilities" in card
    assert "if prediction is not None:" in blocks(card)[0]


WEIRD = st.text(st.characters(), max_size=8)
SYMBOL = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=20, deadline=None)
@given(
    st.lists(SYMBOL, min_size=5, max_size=5, unique=True), WEIRD, WEIRD, WEIRD,
    st.dictionaries(WEIRD, st.just({"accuracy": 1.0}), min_size=1, max_size=1),
)  # fmt: skip
@example(["|", "`", "\n", "---", "\n---\n# x"], "---\n# x", "`x`\n```\n", "|\n\n---", {"|x": {"accuracy": 1.0}})
def test_no_symbol_or_name_changes_the_structure_of_a_card(symbols, name, source, file_name, baselines):
    def structure(card):
        return [token.type for token in READER.parse(card)]

    training = {**EVENTS, "data": {**EVENTS["data"], "source": source or "x"}, "baselines": baselines}
    card = card_of(training=training, vocabulary=Vocabulary(tuple(symbols)), name=file_name.replace("/", "") or "x")
    expected = card_of(training={**EVENTS, "baselines": {"x": {"accuracy": 1.0}}})
    found, page = metadata_of(card)
    assert structure(page) == structure(metadata_of(expected)[1])
    assert found.keys() == metadata_of(expected)[0].keys()
    assert card.encode().decode() == card
    assert card.endswith(f"{WRITTEN_BY}\n")
    named = model_card(replace(FILE, manifest=replace(FILE.manifest, name=name, training=EVENTS)), 1)
    assert structure(metadata_of(named)[1]) == structure(metadata_of(card_of(training=EVENTS))[1])


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=20, deadline=None)
@given(st.dictionaries(
    st.sampled_from(["problem", "accuracy", "baselines", "data", "mean_absolute_error", "parameters", "framing"]),
    st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=3), lambda inner: st.lists(
        inner, max_size=2) | st.dictionaries(st.sampled_from(
            ["source", "reading", "symbol", "held_out", "share", "by", "accuracy", "targets"]), inner, max_size=3)),
))  # fmt: skip
def test_what_training_left_in_another_shape_is_left_out(training):
    found, _ = metadata_of(card_of(training=training))
    assert found["library_name"] == "stepcell"


def run_python(block, folder, monkeypatch, file):
    monkeypatch.chdir(folder)
    (folder / file.name).write_bytes(file.read_bytes())
    exec(block, {})


@pytest.mark.parametrize("name", [*STANDARD, "personal", "adopted"])
def test_the_blocks_to_load_and_predict_run(name, tmp_path, monkeypatch, capsys):
    path = DATA / f"{name}.tflite"
    load, predict, _ = blocks(card_of(read_model_file(path)))
    run_python(load, tmp_path, monkeypatch, path)
    assert capsys.readouterr().out
    writer, command = predict.rstrip("\n").rsplit(" | stepcell ", 1)
    lines = subprocess.run(["bash", "-c", writer], capture_output=True, check=True, text=True).stdout
    result = stepcell(*shlex.split(command), input=lines)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, len(lines.splitlines()))


@pytest.mark.parametrize("name", ["wide", "personal"])
def test_the_block_to_serve_runs(name, tmp_path):
    (tmp_path / f"{name}.tflite").write_bytes(path_of(name).read_bytes())
    _, _, serve = blocks(card_of(read_model_file(path_of(name))))
    serve = serve.replace("| stepcell serve", f"| {sys.executable} -m stepcell.cli serve")
    done = subprocess.run(["bash", "-ec", serve], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert '"stream": "first"' in done.stdout


def test_large_features_are_not_written_out():
    changes = {"features": (Feature("chunk", (16000,)),), "vocabulary": Vocabulary.none()}
    load, predict, serve = blocks(card_of(labels=Vocabulary(tuple("abcde")), **changes))
    assert '{"chunk": numpy.zeros((16000,), "float32")}' in load
    assert len(predict) < 200
    writer = serve.rsplit(" | stepcell ", 1)[0]
    line = subprocess.run(["bash", "-c", writer], capture_output=True, check=True, text=True).stdout
    assert line.startswith('{"stream": "first", "chunk": [0.0, 0.0')


def test_a_picture_is_shown_where_there_is_one():
    assert "![State over time](state.png)" in card_of(picture="state.png")
    assert "![" not in card_of()
