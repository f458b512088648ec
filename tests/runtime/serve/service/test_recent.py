"""The recent inputs of streams: what was fed since the start of a sequence, at most so much of it."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.models import DATA, changed_memory
from support.serving import serve_records

from stepcell.runtime import load
from stepcell.runtime.serve.service.recent import Recent, Records, interface_of, memory_of, recent_of
from stepcell.runtime.serve.service.store import ServiceStore

MODEL = load(DATA / "memory.tflite", backend="numpy")


def inputs_of(path, key, model=MODEL, keep=8):
    """Return how many steps came before the recent inputs of a stream, the inputs, and the steps of the stream."""
    recent = Recent(model.manifest, keep)
    with ServiceStore(path, model.file) as store:
        snapshot, note = store.find(key)
        tail = recent.tail_of(note, snapshot.symbols_seen)
        begin, content = recent.read(store, key.encode(), tail)
    return begin, recent.records.read(content), snapshot


def rows_of(path):
    with sqlite3.connect(path) as database:
        return database.execute("SELECT key, first, length(content) FROM recent WHERE key != x'ff'").fetchall()


RECORD = st.fixed_dictionaries(
    {"stream": st.sampled_from("ab")},
    optional={"symbol": st.sampled_from("01234?"), "start": st.booleans(), "end": st.booleans()},
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(RECORD, max_size=60), max_size=4), st.integers(1, 40))
def test_the_inputs_are_the_last_ones_since_the_start_however_often_the_service_was_started(tmp_path, runs, most):
    path = tmp_path / "state.db"
    path.unlink(missing_ok=True)
    fed = {}
    for run in runs:
        serve_records(path, run, MODEL, keep=8, commit_records=most)
        for record in run:
            symbol, sequence = record.get("symbol", ""), fed.setdefault(record["stream"], [])
            if record.get("start") or (record.get("end") and symbol in ("", "?")):
                sequence.clear()
            if symbol != "?":  # which is skipped; its sequence starts or ends all the same
                sequence += symbol
            if record.get("end"):
                sequence.clear()
    for key, sequence in fed.items():
        with ServiceStore(path, MODEL.file) as store:
            if store.find(key) is None:
                assert not sequence
                continue
        begin, (symbols, features), snapshot = inputs_of(path, key)
        assert snapshot.symbols_seen == len(sequence)
        assert (symbols, features) == (sequence[begin:], None)
        assert len(symbols) >= min(8, len(sequence))


def test_old_rows_are_pruned(tmp_path):
    path = tmp_path / "state.db"
    serve_records(path, ["3", "0", "1", "2"] * 500, MODEL, keep=100)
    (begin, (symbols, _), _), rows = inputs_of(path, ""), rows_of(path)
    assert 100 <= len(symbols) <= 100 + 2 * 64
    assert begin == 2000 - len(symbols)
    assert len(rows) <= 4


def test_a_reset_removes_the_rows_of_the_sequence_before(tmp_path):
    path = tmp_path / "state.db"
    serve_records(path, ["3"] * 200, MODEL, keep=150)
    assert rows_of(path)
    serve_records(path, ['{"start": true, "symbol": "0"}'], MODEL, keep=150)
    assert rows_of(path) == []
    assert inputs_of(path, "")[:2] == (0, (["0"], None))


def test_nothing_is_kept_if_nothing_is_to_be_kept(tmp_path):
    path = tmp_path / "state.db"
    serve_records(path, ["3"] * 100, MODEL, keep=50)
    serve_records(path, ["3"] * 100, MODEL, keep=0)
    assert rows_of(path) == []
    assert inputs_of(path, "")[:2] == (200, ([], None))


def test_a_damaged_row_and_those_before_it_are_left_out(tmp_path):
    path = tmp_path / "state.db"
    serve_records(path, ["3", "0", "1", "2"] * 60, MODEL, keep=1000)
    second = rows_of(path)[1][1]
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE recent SET content = CAST(x'ff' || substr(content, 2) AS BLOB) WHERE first = ?", (second,)
        )
    assert inputs_of(path, "")[0] > second


@pytest.mark.parametrize("name", ["wide", "vectors", "sensor", "text"])
def test_inputs_of_all_kinds_are_read_as_they_were_fed(name):
    model, random = load(DATA / f"{name}.onnx"), np.random.default_rng(1)
    records, manifest = Records(model.manifest), model.manifest
    symbols = [str(random.choice(model.vocabulary.symbols)) for _ in range(5)] if len(model.vocabulary) else None
    features = {
        f.name: random.standard_normal((5, *f.shape)).astype(np.float32) if f.ids is None
        else random.integers(0, f.ids, 5, dtype=np.int32)
        for f in manifest.features
    }  # fmt: skip
    content = b"".join(
        records.of(None if symbols is None else symbols[i], {n: a[i].tolist() for n, a in features.items()} or None)
        for i in range(5)
    )
    assert len(content) == 5 * records.size
    found, numbers = records.read(content)
    assert found == symbols
    for feature, array in features.items():
        np.testing.assert_array_equal(numbers[feature], array)


def test_an_unknown_symbol_is_kept_as_what_was_fed_for_it():
    model = load(DATA / "text.onnx")
    records = Records(model.manifest)
    assert records.read(records.of("never seen", None))[0] == [model.vocabulary.unknown]


def test_as_many_inputs_are_kept_as_the_model_remembers(tmp_path):
    assert recent_of(load(changed_memory(tmp_path / "m.tflite", memory=37)), None).keep == 37
    assert memory_of(MODEL) == MODEL.manifest.memory == 61
    silent = load(DATA / "pieces.tflite")  # does not say it
    assert 300 < memory_of(silent) == recent_of(silent, None).keep < 500
    assert recent_of(MODEL, 12).keep == 12
    assert recent_of(MODEL, 0) is None


def test_models_of_other_symbols_features_or_outputs_cannot_take_over_from_each_other():
    names = ["memory", "lstm", "gru", "labelled", "sigmoid", "wide", "vectors", "sensor", "personal", "text"]
    found = {name: interface_of(load(DATA / f"{name}.onnx").manifest) for name in names}
    assert found["lstm"] == found["gru"]  # of other states
    assert len({tuple(each.items()) for each in found.values()}) == len(names) - 1
