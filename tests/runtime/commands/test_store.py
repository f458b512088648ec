"""stepcell store: what is in a store, copies of it, and streams removed from it, without a model."""

from __future__ import annotations

import json
import sqlite3

import pytest
from support.command_line import stepcell
from support.models import DATA
from support.predicting import predict

from stepcell.runtime import load
from stepcell.runtime.serve.adapters.base import Cursor
from stepcell.runtime.serve.service.store import Group, ServiceStore

MODEL = load(DATA / "memory.tflite", backend="numpy")


def stream_after(symbols):
    stream = MODEL.stream()
    stream.absorb(symbols)
    return stream.snapshot()


@pytest.fixture
def path(tmp_path):
    """The store of a service with the streams "press" and "saw"."""
    with ServiceStore(tmp_path / "state.db", MODEL.file) as store:
        press = {"serve": {"next_seq": 3, "answer": '{"seq": 2}', "open": True, "time": 5}}
        streams = {"press": (stream_after("301"), press), "saw": (stream_after("4"), {"serve": {}})}
        store.commit(
            Group(
                1,
                streams,
                {"file:/in": (None, {"offset": 7})},
                ["one", "two"],
                {"out": Cursor(0, None), "gone": Cursor(0, 9)},
            )
        )
    return tmp_path / "state.db"


def test_a_store_is_shown_with_its_streams_inputs_and_answers_that_wait(path):
    result = stepcell("store", "show", path)
    assert result.exit_code == 0
    head, saw, press, *note = result.stdout.splitlines()
    assert head.split() == ["stream", "symbols", "next", "seq", "last", "used"]
    assert press.split()[:3] == ["press", "3", "3"]
    assert saw.split()[:2] == ["saw", "1"]
    assert note[0].startswith("2 streams; ")
    assert note[0].endswith(f"; schema 3; model {MODEL.manifest.fingerprint[:12]}...; 2 answers not delivered")
    assert note[1] == 'file:/in goes on at {"offset": 7}'


def test_a_store_is_shown_as_json(path):
    found = json.loads(stepcell("store", "show", path, "--json").stdout)
    assert {name: found[name] for name in ("schema", "model", "in_use", "undelivered")} == {
        "schema": 3, "model": MODEL.manifest.fingerprint, "in_use": False, "undelivered": 2,
    }  # fmt: skip
    assert found["sources"] == {"file:/in": {"offset": 7}}
    assert found["outputs"]["gone"] == {"delivered": 0, "position": 9}
    saw, press = found["streams"]  # the one that was used last first
    assert (press["stream"], press["seen"], press["next_seq"], press["open"]) == ("press", 3, 3, True)
    assert (saw["stream"], saw["next_seq"], saw["open"]) == ("saw", None, False)


def test_a_stream_is_shown_with_its_last_answer_and_its_state(path):
    found = json.loads(stepcell("store", "show", path, "--stream", "press", "--json").stdout)
    assert (found["answer"], found["next_seq"]) == ('{"seq": 2}', 3)
    assert found["state"]["h0"] == stream_after("301").state["h0"][0].tolist()
    lines = stepcell("store", "show", path, "--stream", "press").stdout.splitlines()
    assert lines[:2] == ["stream: press", "seen: 3"]
    assert lines[-1].startswith("c0 (20,): ")


def test_a_damaged_stream_is_shown_and_ends_with_exit_code_1(path):
    with sqlite3.connect(path) as database:
        database.execute("UPDATE streams SET state = x'00' WHERE key = CAST('saw' AS BLOB)")
    result = stepcell("store", "show", path)
    assert result.exit_code == 1
    assert "press" in result.stdout
    assert "damaged" in result.stdout
    assert "the row of 'saw'" in result.stderr
    assert "error" in json.loads(stepcell("store", "show", path, "--stream", "saw", "--json").stdout)


def test_predict_goes_on_with_an_exported_stream(path, tmp_path):
    out = tmp_path / "press.state"
    result = stepcell("store", "export", path, out, "--stream", "press")
    assert (result.exit_code, result.stdout) == (0, f"written to {out}: 3 symbols seen\n")
    assert predict("--state", out, input="2\n").stdout == "3\n"  # of 3 0 1 2


def test_a_stream_is_forgotten_and_another_is_not_there(path):
    result = stepcell("store", "forget", path, "--stream", "press")
    assert (result.exit_code, result.stdout) == (0, f"{path}: 'press' is forgotten, 1 stream left\n")
    result = stepcell("store", "forget", path, "--stream", "press")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "has no stream 'press'. It has 'saw'." in result.stderr


def test_a_store_in_use_is_shown_and_copied_and_not_changed(path, tmp_path):
    with ServiceStore(path, MODEL.file):
        assert "in use by another process" in stepcell("store", "show", path).stdout
        assert stepcell("store", "backup", path, tmp_path / "copy.db").exit_code == 0
        for command in (("forget", path, "--stream", "saw"), ("vacuum", path)):
            result = stepcell("store", *command)
            assert (result.exit_code, result.stdout) == (1, "")
            assert "is in use. Stop the process that has it open" in result.stderr
    assert json.loads(stepcell("store", "show", tmp_path / "copy.db", "--json").stdout)["undelivered"] == 2


def test_a_store_is_made_small(path):
    result = stepcell("store", "vacuum", path)
    assert result.exit_code == 0
    assert "bytes before" in result.stdout


@pytest.mark.parametrize("command", [("show",), ("export", "out", "--stream", "a"), ("forget", "--stream", "a"),
                                     ("backup", "to"), ("vacuum",)])  # fmt: skip
def test_every_command_refuses_what_is_no_store_in_one_line(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letter").write_text("Dear store,")
    for file, message in (("letter", "letter is no store of streams"), ("none.db", "There is no store none.db.")):
        name, *more = command
        result = stepcell("store", name, file, *more)
        assert (result.exit_code, result.stdout) == (1, "")
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert sorted(file.name for file in tmp_path.iterdir() if not file.name.startswith(".")) == ["letter"]


def test_a_key_that_is_no_plain_text_is_shown_as_json(tmp_path):
    with ServiceStore(tmp_path / "state.db", MODEL.file) as store:
        keys = ("", "a\tb", "\x1b[2J")
        store.commit(Group(1, {key: (stream_after("3"), {}) for key in keys}))
    shown = [line.split("  ")[0] for line in stepcell("store", "show", tmp_path / "state.db").stdout.splitlines()[1:4]]
    assert sorted(shown) == ['""', r'"\u001b[2J"', r'"a\tb"']
