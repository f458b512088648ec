"""A store is looked at, copied and cleaned without its model, also while another process writes it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from support.models import DATA

from stepcell.runtime import Snapshot, load
from stepcell.runtime.common.errors import (
    DamagedStateError,
    ForeignStateError,
    NewerStateError,
    OutputError,
    SavedStateError,
    StateNotFoundError,
)
from stepcell.runtime.common.lock import is_locked, lock
from stepcell.runtime.streams.sqlite_store import VERSION, SqliteStore
from stepcell.runtime.streams.store_backup import back_up
from stepcell.runtime.streams.store_file import StoreFile

MODEL = load(DATA / "memory.tflite", backend="numpy")


def snapshot_after(symbols):
    stream = MODEL.stream()
    stream.absorb(symbols)
    return stream.snapshot()


@pytest.fixture
def path(tmp_path):
    """A store of the keys "a" and "b", of which "b" was put last."""
    with SqliteStore(tmp_path / "fleet.db", MODEL.file) as store:
        store.put({"a": snapshot_after("301")})
        store.put({"b": snapshot_after("4")})
    return tmp_path / "fleet.db"


def execute(path, *statements):
    database = sqlite3.connect(path)
    with database:
        for statement, *values in statements:
            database.execute(statement, values)
    database.close()


def test_a_store_tells_its_streams_the_last_used_first(path):
    with StoreFile(path) as found:
        assert (found.version, found.fingerprint, found.in_use) == (VERSION, MODEL.manifest.fingerprint, False)
        assert [(one.key, one.saved.streams[one.key].symbols_seen) for one in found.streams()] == [("b", 1), ("a", 3)]
        assert [one.key for one in found.streams(1)] == ["b"]
        assert (found.count(), found.undelivered(), found.positions(), found.outputs()) == (2, 0, {}, {})


def test_a_stream_is_exported_as_one_that_python_and_predict_go_on_from(path, tmp_path):
    with StoreFile(path) as found:
        found.find("a").alone().to_file(tmp_path / "a.state")
    stream = MODEL.stream()
    stream.restore(tmp_path / "a.state")
    other = MODEL.stream()
    other.absorb("301")
    assert stream.step("2").probabilities.tobytes() == other.step("2").probabilities.tobytes()
    assert stream.symbols_seen == 4


def test_a_stream_that_is_not_there_is_named_with_those_that_are(path):
    with StoreFile(path, to_write=True) as found:
        for call in (found.find, found.forget):
            with pytest.raises(StateNotFoundError, match="has no stream 'c'. It has 'b', 'a'."):
                call("c")


def test_a_forgotten_stream_is_gone_with_its_past(path):
    execute(path, ("INSERT INTO recent VALUES (CAST('a' AS BLOB), 1, x'00'), (CAST('b' AS BLOB), 1, x'00')",))
    with StoreFile(path, to_write=True) as found:
        found.forget("a")
        assert [one.key for one in found.streams()] == ["b"]
    with SqliteStore(path, MODEL.file) as store:
        assert store.get("a") is None
        assert store.get("b").symbols_seen == 1
        assert store.database.execute("SELECT count(*) FROM recent").fetchone() == (1,)


def test_the_room_of_forgotten_streams_goes_back_to_the_disk(tmp_path):
    with SqliteStore(tmp_path / "many.db", MODEL.file) as store:
        state = snapshot_after("3")
        store.put({str(number): state for number in range(2000)})
        store.database.execute("DELETE FROM streams WHERE key <> CAST('0' AS BLOB)")
    with StoreFile(tmp_path / "many.db", to_write=True) as found:
        before = found.bytes
        found.vacuum()
        assert found.bytes < before / 4
        assert [one.key for one in found.streams()] == ["0"]


def test_a_store_that_is_in_use_is_read_and_not_written(path, tmp_path):
    with SqliteStore(path, MODEL.file) as store:
        store.put({"c": snapshot_after("30")})
        with StoreFile(path) as found:
            assert found.in_use
            assert {one.key for one in found.streams()} == {"a", "b", "c"}
            back_up(found, tmp_path / "copy.db")
        with pytest.raises(OutputError, match="is in use. Stop the process that has it open"):
            StoreFile(path, to_write=True)
        store.put({"d": snapshot_after("30")})
    with SqliteStore(tmp_path / "copy.db", MODEL.file) as copy:
        assert set(copy.keys()) == {"a", "b", "c"}
        assert copy.get("c").symbols_seen == 2


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda path: path.unlink(), StateNotFoundError, "There is no store"),
        (lambda path: path.write_bytes(b"no database" * 100), ForeignStateError, "is no store of streams"),
        (lambda path: execute(path, ("PRAGMA application_id = 7",)), ForeignStateError, "of another program"),
        (lambda path: execute(path, (f"PRAGMA user_version = {VERSION + 1}",)), NewerStateError,
         f"has schema {VERSION + 1}; this stepcell reads schema {VERSION} and older"),
        (lambda path: path.write_bytes(path.read_bytes()[:8192] + b"\xff" * (path.stat().st_size - 8192)),
         DamagedStateError, "is damaged: "),
        (lambda path: path.write_bytes(b""), ForeignStateError, "of another program"),
    ],
)  # fmt: skip
def test_what_is_no_store_of_this_version_is_refused(path, damage, error, message):
    damage(path)
    for to_write in (False, True):
        with pytest.raises(error, match=message):
            StoreFile(path, to_write=to_write)
    assert not is_locked(path)


def test_a_store_of_the_first_schema_is_refused_with_what_to_do(tmp_path):
    execute(tmp_path / "first.db", ("CREATE TABLE model (fingerprint TEXT)",), ("CREATE TABLE members (key TEXT)",))
    with pytest.raises(SavedStateError, match="is a store of schema 1, .* Open it once with that"):
        StoreFile(tmp_path / "first.db")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE streams SET symbols_seen = 9 WHERE key = CAST('a' AS BLOB)",
        "UPDATE streams SET state = x'00' WHERE key = CAST('a' AS BLOB)",
        "UPDATE streams SET state = 'text' WHERE key = CAST('a' AS BLOB)",
        "UPDATE streams SET state = (SELECT state FROM streams WHERE key = CAST('b' AS BLOB))",
        "UPDATE streams SET key = 'a' WHERE key = CAST('a' AS BLOB)",
    ],
)
def test_a_damaged_row_is_shown_as_one_and_not_exported(path, change):
    execute(path, (change,))
    with StoreFile(path) as found:
        one, other = sorted(found.streams(), key=lambda stream: stream.key)
        assert (one.saved, one.key, other.saved is None) == (None, "a", False)
        assert "is damaged" in one.problem
        with pytest.raises(DamagedStateError, match="Go on from a backup of the store, or forget this stream"):
            one.alone()


def test_a_closed_store_is_read_without_files_beside_it(path):
    before = sorted(path.parent.iterdir())
    path.chmod(0o400)
    with StoreFile(path) as found:
        assert found.count() == 2
        assert sorted(path.parent.iterdir()) == before
    assert sorted(path.parent.iterdir()) == before


def test_a_store_that_was_killed_is_read_with_what_is_in_its_log(path, tmp_path):
    code = (
        "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "d.execute(\"DELETE FROM streams WHERE key = CAST('a' AS BLOB)\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    with StoreFile(path) as found:
        assert [one.key for one in found.streams()] == ["b"]
        back_up(found, tmp_path / "copy.db")
    with StoreFile(tmp_path / "copy.db") as copy:
        assert copy.count() == 1


def test_a_lock_is_seen_without_being_taken(tmp_path):
    assert not is_locked(tmp_path / "file")
    held = lock(tmp_path / "file", "taken")
    assert is_locked(tmp_path / "file")
    held.release()
    assert not is_locked(tmp_path / "file")
    lock(tmp_path / "file", "taken").release()


def test_any_state_comes_out_as_it_was_put(path, tmp_path):
    state = {name: np.full_like(array, 0.5) for name, array in snapshot_after("3").state.items()}
    with SqliteStore(path, MODEL.file) as store:
        store.put({"ä\n": Snapshot(state, 7)})
    with StoreFile(path) as found:
        found.find("ä\n").alone().to_file(tmp_path / "out")
    stream = MODEL.stream()
    stream.restore(tmp_path / "out")
    assert all((stream.state[name] == 0.5).all() for name in state)
