"""A store keeps what was put there, for one process, and tells what is no store or no longer what was put."""

from __future__ import annotations

import os
import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.models import DATA

from stepcell.runtime import OtherModelError, Snapshot, StateMismatchError, StepcellError, load
from stepcell.runtime.common.errors import DamagedStateError, NewerStateError, OutputError
from stepcell.runtime.streams.sqlite_store import APPLICATION_ID, VERSION, SqliteStore

MODEL = load(DATA / "memory.tflite", backend="numpy")


def snapshot_after(symbols):
    stream = MODEL.stream()
    stream.absorb(symbols)
    snapshot = stream.snapshot()
    return Snapshot(snapshot.state, snapshot.symbols_seen)


@pytest.fixture
def path(tmp_path):
    """A store of the keys "a" and "b"."""
    with SqliteStore(tmp_path / "fleet.db", MODEL.file) as store:
        store.put({"a": snapshot_after("301"), "b": snapshot_after("4")})
    return tmp_path / "fleet.db"


def execute(path, *statements):
    database = sqlite3.connect(path)
    with database:
        for statement, *values in statements:
            database.execute(statement, values)
    database.close()


def assert_same(found, expected):
    assert found.symbols_seen == expected.symbols_seen
    assert all(np.array_equal(found.state[name], array) for name, array in expected.state.items())


@given(st.dictionaries(st.text(), st.integers(0, 2**63 - 1), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
def test_any_key_comes_back_with_its_state_and_count(tmp_path, seen):
    members = {key: Snapshot(snapshot_after("30").state, count) for key, count in {**seen, "\ud800": 1}.items()}
    with SqliteStore(tmp_path / "fleet.db", MODEL.file) as store:
        store.put(members)
        assert set(store.keys()) >= set(members)
        for key, member in members.items():
            assert_same(store.get(key), member)
            store.forget(key)
            assert store.get(key) is None


def test_a_store_belongs_to_one_owner_at_a_time(path, tmp_path):
    (tmp_path / "link.db").symlink_to(path)
    with SqliteStore(path, MODEL.file):
        for each in (path, tmp_path / "link.db"):
            with pytest.raises(OutputError, match="is in use: it belongs to one process at a time"):
                SqliteStore(each, MODEL.file)
    with SqliteStore(path, MODEL.file) as store:
        assert_same(store.get("a"), snapshot_after("301"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_store_is_not_used_behind_a_fork(path):
    with SqliteStore(path, MODEL.file) as store:
        child = os.fork()
        if not child:
            try:
                store.get("a")
            except OutputError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert_same(store.get("a"), snapshot_after("301"))


@pytest.mark.parametrize(
    "change",
    [
        ("UPDATE streams SET symbols_seen = 9 WHERE key = CAST('a' AS BLOB)",),
        ("UPDATE streams SET symbols_seen = 'many'",),
        ("UPDATE streams SET symbols_seen = -1",),
        ("UPDATE streams SET state = 'text'",),
        ("UPDATE streams SET state = x''",),
        ("UPDATE streams SET state = (SELECT state FROM streams WHERE key = CAST('b' AS BLOB))",),
        ("UPDATE streams SET state = substr(state, 1, length(state) - 1)",),
        ("UPDATE streams SET state = CAST(substr(state, 1, 200) || x'00' || substr(state, 202) AS BLOB)",),
    ],
)
def test_a_row_that_is_not_what_was_put_is_refused(path, change):
    execute(path, change)
    with SqliteStore(path, MODEL.file) as store, pytest.raises(DamagedStateError, match="fleet.db is damaged: "):
        store.get("a")


def test_a_key_that_is_no_text_is_refused(path):
    execute(path, ("INSERT INTO streams VALUES (x'ff', x'00', 0, 0)",))
    with SqliteStore(path, MODEL.file) as store, pytest.raises(DamagedStateError, match="a key is no text"):
        store.keys()


def test_no_damaged_byte_of_a_store_gives_another_state(path, tmp_path):
    content, expected = path.read_bytes(), snapshot_after("301")
    random = np.random.default_rng(1)
    for number in range(60):
        damaged = bytearray(content)
        start = int(random.integers(len(content)))
        damaged[start : start + 8] = random.bytes(len(damaged[start : start + 8]))
        copy = tmp_path / f"{number}.db"
        copy.write_bytes(damaged)
        try:
            with SqliteStore(copy, MODEL.file) as store:
                found = store.get("a")
        except StepcellError:
            continue
        if found is not None:  # a damaged key is another key
            assert_same(found, expected)


def test_a_state_that_is_not_finite_is_not_put(path):
    wrong = Snapshot({name: array * np.nan for name, array in snapshot_after("3").state.items()})
    with SqliteStore(path, MODEL.file) as store:
        with pytest.raises(StateMismatchError, match="not finite"):
            store.put({"c": snapshot_after("3"), "a": wrong})
        assert store.get("c") is None
        assert_same(store.get("a"), snapshot_after("301"))


def test_a_store_says_what_it_is(path):
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
    database.close()


def test_a_store_of_a_later_schema_is_refused_and_left_as_it_is(path):
    execute(path, (f"PRAGMA user_version = {VERSION + 1}",))
    with pytest.raises(NewerStateError, match="has schema 4; this stepcell reads schema 3 and older"):
        SqliteStore(path, MODEL.file)
    execute(path, (f"PRAGMA user_version = {VERSION}",))
    with SqliteStore(path, MODEL.file) as store:
        assert sorted(store.keys()) == ["a", "b"]


@pytest.mark.parametrize(
    "statements",
    [
        [("CREATE TABLE bookmarks (url)",)],
        [("CREATE TABLE model (fingerprint TEXT)",)],
        [("CREATE TABLE streams (key)",), ("PRAGMA application_id = 7",)],
        [("PRAGMA application_id = 7",)],
    ],
)
def test_a_file_of_another_program_is_refused_and_left_as_it_is(tmp_path, statements):
    path = tmp_path / "other.db"
    execute(path, *statements)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="is an SQLite file of another program"):
        SqliteStore(path, MODEL.file)
    assert path.read_bytes() == before


def earlier(path, rows, fingerprint=MODEL.manifest.fingerprint):
    """Write a store of the first schema."""
    execute(
        path,
        ("CREATE TABLE model (fingerprint TEXT PRIMARY KEY)",),
        ("CREATE TABLE members (key TEXT PRIMARY KEY, symbols_seen INTEGER, state BLOB)",),
        ("INSERT INTO model VALUES (?)", fingerprint),
        *(("INSERT INTO members VALUES (?, ?, ?)", *row) for row in rows),
    )


def numbers(snapshot):
    return b"".join(snapshot.state[tensor.name].astype("<f4").tobytes() for tensor in MODEL.manifest.state)


def test_a_store_of_the_first_schema_is_taken_over(tmp_path):
    path, expected = tmp_path / "old.db", snapshot_after("301")
    earlier(path, [("a", 3, numbers(expected)), ("ö", 3, numbers(expected))])
    for _ in range(2):
        with SqliteStore(path, MODEL.file) as store:
            assert sorted(store.keys()) == ["a", "ö"]
            assert_same(store.get("a"), expected)


@pytest.mark.parametrize(
    "row", [("b", None, None), ("b", 1, b"short"), ("b", -1, numbers(snapshot_after("3"))), (None, 1, b""),
            ("b", "x", numbers(snapshot_after("3"))), ("b", 1, b"\xff" * len(numbers(snapshot_after("3"))))]
)  # fmt: skip
def test_a_damaged_store_of_the_first_schema_is_refused_and_left_as_it_is(tmp_path, row):
    path = tmp_path / "old.db"
    earlier(path, [("a", 3, numbers(snapshot_after("301"))), row])
    for _ in range(2):
        with pytest.raises(DamagedStateError, match="no state of this model"):
            SqliteStore(path, MODEL.file)
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM members").fetchone() == (2,)
    database.close()


def test_a_store_of_the_first_schema_of_another_model_is_refused(tmp_path):
    earlier(tmp_path / "old.db", [], "ab" * 32)
    with pytest.raises(OtherModelError, match=r"holds streams of the model abababababab\.\.\."):
        SqliteStore(tmp_path / "old.db", MODEL.file)


def test_a_store_whose_pages_are_damaged_is_refused_so_that_no_stream_is_taken_for_a_new_one(path):
    content = path.read_bytes()
    places = [place for place in range(len(content)) if content[place : place + 9] == b"stepsave\x01"]
    assert places
    key = content.rindex(b"a", 0, places[0])  # the byte of the key in its row
    path.write_bytes(content[:key] + b"b" + content[key + 1 :])
    with pytest.raises(DamagedStateError, match="is damaged"):
        SqliteStore(path, MODEL.file)
    path.write_bytes(content[:1])
    with pytest.raises(DamagedStateError, match="is cut off"):
        SqliteStore(path, MODEL.file)
