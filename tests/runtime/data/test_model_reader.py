"""Data for a model are read as its training data were, unless options say otherwise."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime import Manifest, Vocabulary
from stepcell.runtime.commands.options import DataFormat, TableFormat
from stepcell.runtime.common.errors import CorpusError, OptionError
from stepcell.runtime.data import (
    DATA_FORMATS,
    FORMATS,
    EventsReader,
    HeldOut,
    SymbolsReader,
    TextReader,
    reader_for_model,
)
from stepcell.runtime.data.for_model import read_data_or_stdin
from stepcell.runtime.format.tensor_specs import Feature

SPEED = (Feature("speed", (1,)),)
READ = {"kind": "events", "symbol": "what", "features": {"speed": "speed"}, "end": "<end>"}


def manifest_of(data, symbols=("a", "b", "<end>"), unknown=None, features=()):
    return Manifest("log", Vocabulary(symbols, unknown), (), (), features=features, training={"data": data})


def test_a_file_is_read_as_the_training_data_were(tmp_path):
    table = tmp_path / "log.csv"
    table.write_text("what,case\na,1\nb,2\nb,1\n")
    recorded = EventsReader("what", "case", end="<end>").to_json()
    manifest = manifest_of({"reading": recorded, "end": "<end>", "source": "old.csv"})
    sequences, recording = reader_for_model(manifest).read(table)
    assert [each.ids.tolist() for each in sequences] == [[2, 0, 1, 2], [2, 1, 2]]
    assert recording.remarks == ()
    seen = manifest_of({"reading": recorded, "end": "<end>", "sha256": recording.sha256})
    assert reader_for_model(seen).read(table)[1].remarks == (
        "the model was trained on it: these are no figures for new data",
    )
    piped, remarks = read_data_or_stdin(None, io.BytesIO(table.read_bytes()), manifest, None)
    assert [each.ids.tolist() for each in piped] == [each.ids.tolist() for each in sequences]
    assert remarks == ["stdin: 2 sequences, 3 symbols, read as csv, separated by ','"]
    with pytest.raises(CorpusError, match=r"^stdin has no column 'what' \(--symbol\)"):
        read_data_or_stdin(None, io.BytesIO(b"who,case\na,1\n"), manifest, None)
    with pytest.raises(OptionError, match="There is no stdin"):
        read_data_or_stdin(None, None, manifest, None)


def test_only_what_was_not_learned_from_is_read_where_that_is_asked_for(tmp_path):
    table = tmp_path / "log.csv"
    table.write_text("what,case\n" + "".join(f"a,{n}\nb,{n}\n" for n in range(10)) + "a,x\n")
    reader = EventsReader("what", "case", end="<end>")
    split = {"share": 0.3, "by": None}
    data = {"reading": reader.to_json(), "end": "<end>", "held_out": split, "sha256": reader.read(table).sha256}
    held_out = HeldOut(0.3).split(reader.read(table))[1]
    sequences, recording = reader_for_model(manifest_of(data)).read(table, new_only=True)
    assert len(sequences) == len(held_out)
    assert recording.ids.tolist() == held_out.ids.tolist()
    assert "the model has learned from this file: only the rest is read" in recording.remarks
    by_time = {**data, "held_out": {"share": 0.5, "by": "time"}, "reading": EventsReader("what", end="<end>").to_json()}
    (cut,), recording = reader_for_model(manifest_of(by_time)).read(table, new_only=True)
    assert len(cut) == len(recording.ids) + 1  # it begins in the middle, and ends
    assert cut.ids[-1] == 2 != cut.ids[0]
    unknown = {**data, "held_out": None}  # the parts came apart
    assert len(reader_for_model(manifest_of(unknown)).read(table, new_only=True)[0]) == 11


def test_the_value_of_a_feature_with_the_end_symbol_is_that_of_the_training(tmp_path):
    table = tmp_path / "log.csv"
    table.write_text("what,speed\na,1\nb,2\n")
    manifest = manifest_of({"reading": READ, "end": "<end>", "boundary": {"speed": [7.5]}}, features=SPEED)
    ((inputs,), _) = reader_for_model(manifest).read(table)
    assert inputs.features["speed"].tolist() == [[7.5], [1], [2], [7.5]]
    ((inputs,), _) = reader_for_model(manifest, end="").read(table)
    assert inputs.features["speed"].tolist() == [[1], [2]]


@given(st.text("abxy", min_size=1))
def test_unknown_symbols_are_counted_if_the_model_has_a_symbol_for_them_and_else_named(tmp_path_factory, symbols):
    path = tmp_path_factory.getbasetemp() / "symbols.txt"
    path.write_text("".join(f"{symbol}\n" for symbol in symbols))
    unknown = [symbol for symbol in symbols if symbol in "xy"]
    (inputs,), recording = reader_for_model(manifest_of({}, ("a", "b", "?"), "?")).read(path)
    assert inputs.ids.tolist() == [min("ab?".find(symbol) % 3, 2) for symbol in symbols]
    counted = f"{len(unknown)} of its {len(symbols)} symbols are unknown to the model"
    assert recording.remarks == ((counted,) if unknown else ())
    if unknown:
        names = ", ".join(map(repr, dict.fromkeys(unknown)))
        with pytest.raises(
            CorpusError, match=f"log does not know .* {names}. It knows .* read as a symbol on each line"
        ):
            reader_for_model(manifest_of({}, ("a", "b"))).read(path)


@pytest.mark.parametrize("recorded", [{"kind": "sound"}, {"kind": "text", "unit": "page"}, "x"])
def test_an_unknown_description_of_the_training_data_is_refused_with_advice(memory, recorded):
    manifest = replace(memory.manifest, training={"data": {"reading": recorded}})
    with pytest.raises(CorpusError, match="this stepcell does not understand .* --format csv, .* text, symbols"):
        reader_for_model(manifest)
    assert reader_for_model(manifest, {"format": "symbols"}).reader == SymbolsReader()


def test_values_that_a_newer_stepcell_recorded_are_ignored(memory):
    newer = {**TextReader("word").to_json(), "more": 1}
    assert reader_for_model(replace(memory.manifest, training={"data": {"reading": newer}})).reader == TextReader(
        "word"
    )


def test_models_of_earlier_versions_read_their_data_as_before():
    events, words = EventsReader("what", order="time", gaps="1min").to_json(), TextReader("word").to_json()
    for name in ("join", "time_unit", "time_zone"):
        del events[name]
    del words["word_rules"]
    reader = reader_for_model(manifest_of({"reading": events})).reader
    assert reader == EventsReader("what", order="time", gaps="1min", time_unit="unstated")
    assert reader_for_model(manifest_of({"reading": words})).reader == TextReader("word", word_rules=1)


def test_a_unit_replaces_the_format_of_times_and_the_other_way_round():
    for recorded, other in (("time_unit", "time_format"), ("time_format", "time_unit")):
        values = {"time_unit": "ms", "time_format": "%Y"}
        reading = EventsReader("what", order="time", **{recorded: values[recorded]}).to_json()
        options = {other: values[other]}
        found = reader_for_model(manifest_of({"reading": reading}), options).reader
        assert found == EventsReader("what", order="time", **options)


def test_joined_columns_are_read_again_by_every_command(tmp_path):
    reader = EventsReader(("entity", "state"), "day", "time", join=" | ", time_zone="Europe/Berlin")
    recorded = json.loads(json.dumps({"reading": reader.to_json()}))
    assert reader_for_model(manifest_of(recorded)).reader == reader
    assert reader_for_model(manifest_of(recorded), {"symbol": "state"}).reader == replace(reader, symbol="state")


def test_every_command_calls_the_formats_alike(memory):
    assert get_args(DataFormat) == DATA_FORMATS
    assert get_args(TableFormat) == FORMATS == DATA_FORMATS[: len(FORMATS)]
    for format in DATA_FORMATS:
        options = {"format": format} | ({"symbol": "what"} if format in FORMATS[:4] else {})
        reader = reader_for_model(memory.manifest, options).reader
        assert getattr(reader, "format", format) == format


@pytest.mark.parametrize(
    ("recorded", "options", "expected"),
    [
        (EventsReader("what", delimiter=";"), {"format": "csv"}, EventsReader("what", format="csv")),
        (EventsReader("what", "case", gaps=None, end="."), {"format": "lines"}, EventsReader(format="lines")),
        (EventsReader(format="lines"), {"format": "csv", "symbol": "what"}, EventsReader("what", format="csv")),
        (EventsReader("what"), {"encoding": "latin-1"}, EventsReader("what", encoding="latin-1")),
        (EventsReader("what"), {"format": "text", "unit": "word"}, TextReader("word")),
        (TextReader("word"), {"encoding": "latin-1"}, TextReader("word", "latin-1")),
        (None, {"unit": "word"}, TextReader("word")),
        (None, {"symbol": "what"}, EventsReader("what")),
        (None, {}, SymbolsReader()),
    ],
)
def test_options_override_the_values_of_the_training(recorded, options, expected):
    data = {} if recorded is None else {"reading": recorded.to_json()}
    assert reader_for_model(manifest_of(data), options).reader == expected


@pytest.mark.parametrize(
    ("features", "data", "options", "problem"),
    [
        ((), {}, {"format": "xlsx"}, "The format is 'xlsx', not one of csv, .*, symbols"),
        ((), {}, {"format": "text", "symbol": "x"}, "read as text; --symbol does not apply"),
        ((), {"reading": TextReader().to_json()}, {"format": "csv"}, "does not name the symbol column of a table"),
        (SPEED, {}, {}, r"reads speed \[1\] at each step: no column is named for speed.*--feature NAME=COLUMN"),
        (SPEED, {"reading": READ}, {"format": "lines"}, "no column is named for speed"),
        (SPEED, {"reading": READ, "end": "<end>"}, {}, "the model file has no value of speed for '<end>'.*--end ''"),
        (SPEED, {"reading": READ, "end": "<end>", "boundary": {"speed": "fast"}}, {}, "has no value of speed"),
        ((Feature("speed", (2,)),), {"reading": READ}, {}, "speed is no single number"),
        ((), {"reading": READ}, {}, "reads no features at each step: there is no speed"),
    ],
)
def test_options_and_features_that_do_not_fit_are_refused(features, data, options, problem):
    with pytest.raises(CorpusError, match=problem):
        reader_for_model(manifest_of(data, features=features), options)
