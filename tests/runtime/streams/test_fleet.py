"""Streams by key: each of them answers as if it were alone, wherever it is kept."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.faults import FaultyBatch, FaultyStore
from support.models import DATA, RUNTIMES

from stepcell.runtime import (
    BackendError,
    OptionError,
    OtherModelError,
    SavedStateError,
    UnknownSymbolError,
    load,
)
from stepcell.runtime.common.errors import DamagedStateError, OutputError
from stepcell.runtime.interpreters.memory import as_records
from stepcell.runtime.streams.fleet import Fleet
from stepcell.runtime.streams.sqlite_store import SqliteStore
from stepcell.runtime.streams.state_table import StateTable

SYMBOLS = "01234"
CLOSE = 1e-6


@pytest.fixture(scope="module", params=RUNTIMES, ids=lambda each: "-".join(each))
def model(request):
    backend, name = request.param
    return load(DATA / name, backend=backend)


@pytest.fixture(scope="module")
def onnx():
    return load(DATA / "memory.onnx")


KEYS = [f"door {number}" for number in range(100)]


def test_members_of_a_fleet_answer_as_streams_of_their_own(model):
    fleet, alone = model.fleet(), {key: model.stream() for key in KEYS}
    random = np.random.default_rng(2)
    for count in (1, 7, 8, 9, 64, 73, 100):
        chosen = [KEYS[place] for place in random.choice(len(KEYS), count, replace=False)]
        symbols = {key: SYMBOLS[random.integers(0, 5)] for key in chosen}
        answers = fleet.step(symbols)
        assert list(answers) == chosen
        for key, symbol in symbols.items():
            expected = alone[key].step(symbol)
            assert np.abs(answers[key].probabilities - expected.probabilities).max() <= CLOSE
    assert len(fleet) == len(KEYS)


@given(st.lists(st.dictionaries(st.sampled_from(KEYS[:12]), st.sampled_from(SYMBOLS), max_size=12), max_size=12))
@settings(max_examples=30, deadline=None)
def test_members_that_go_to_the_store_and_come_back_have_lost_nothing(onnx, tmp_path_factory, turns):
    store = SqliteStore(tmp_path_factory.mktemp("store") / "fleet.db", onnx.file)
    small, all_of_them = onnx.fleet(max_members=3, store=store), onnx.fleet()
    for symbols in turns:
        found, expected = small.step(symbols), all_of_them.step(symbols)
        assert np.abs(found.probabilities - expected.probabilities).max(initial=0) <= CLOSE
        assert len(small) - len(list(store.keys())) <= 3 + len(symbols)
    assert len(small) == len(all_of_them)
    for key in KEYS[:12]:
        ours, theirs = small.snapshot(key), all_of_them.snapshot(key)
        assert (ours is None) == (theirs is None) == (key not in all_of_them)
        assert ours is None or ours.symbols_seen == theirs.symbols_seen
    store.close()


def test_a_forgotten_member_begins_anew(model, tmp_path):
    fleet = model.fleet()
    first = fleet.step({"a": "3", "b": "3"})
    fleet.step({"a": "0"})
    fleet.forget("a")
    fleet.forget("nobody")
    assert "a" not in fleet
    assert np.abs(fleet.step({"a": "3"})["a"].probabilities - first["a"].probabilities).max() <= CLOSE
    assert fleet.snapshot("a").symbols_seen == 1


def test_a_member_that_went_to_the_store_is_forgotten_there_too(onnx, tmp_path):
    store = SqliteStore(tmp_path / "fleet.db", onnx.file)
    fleet = onnx.fleet(max_members=1, store=store)
    fleet.step({"a": "3"})
    fleet.step({"b": "3"})
    assert list(store.keys()) == ["a"]
    assert "a" in fleet
    fleet.forget("a")
    assert "a" not in fleet
    assert fleet.snapshot("a") is None


@pytest.mark.parametrize("key", [1, None, ("a", 1), b"a"])
def test_keys_that_are_no_strings_are_refused_before_anybody_moves(onnx, key):
    fleet = onnx.fleet()
    fleet.step({"a": "3"})
    with pytest.raises(OptionError, match="Keys of a fleet are strings"):
        fleet.step({"a": "0", "b": "0", key: "3"})
    assert len(fleet) == 1
    assert fleet.snapshot("a").symbols_seen == 1


def test_a_member_that_the_store_cannot_forget_stays_where_it_was(onnx, tmp_path):
    store = FaultyStore(SqliteStore(tmp_path / "fleet.db", onnx.file))
    fleet = onnx.fleet(store=store)
    fleet.step({"a": "3"})
    fleet.flush()
    fleet.step({"a": "0"})
    store.refuses["forget"] = lambda key: True
    with pytest.raises(OutputError):
        fleet.forget("a")
    assert fleet.snapshot("a").symbols_seen == 2


def test_the_members_that_have_not_moved_for_longest_go_to_the_store(onnx, tmp_path):
    store = SqliteStore(tmp_path / "fleet.db", onnx.file)
    table = StateTable(onnx.initial_state(), 32, store)
    for key in [*KEYS[:32], KEYS[0], KEYS[32]]:
        assert list(store.keys()) == []
        table.begin_call()
        rows, _ = table.load([key])
        table.move(rows, {name: records[rows] for name, records in table.records.items()})
        table.make_room()
    # A sixteenth leaves with the one that is too many, so that not every call writes.
    assert sorted(store.keys()) == sorted(KEYS[1:4])
    assert set(table.loaded()) == {KEYS[0], *KEYS[4:33]}
    assert table.get(KEYS[0]).symbols_seen == 2


def test_restored_members_are_new_in_memory_and_others_make_room_for_them(onnx, tmp_path):
    saved = onnx.fleet()
    saved.step(dict.fromkeys("xyz", "3"))
    saved.save(tmp_path / "fleet.state")
    store = SqliteStore(tmp_path / "fleet.db", onnx.file)
    fleet = onnx.fleet(max_members=3, store=store)
    fleet.step(dict.fromkeys("abc", "4"))
    fleet.restore(tmp_path / "fleet.state")
    assert sorted(store.keys()) == ["a", "b", "c"]


def test_a_fleet_of_another_file_of_the_network_is_restored_only_when_that_is_said(onnx, tmp_path):
    other = load(DATA / "memory.tflite").fleet()
    other.step({"a": "3"})
    other.save(tmp_path / "fleet.state")
    fleet = onnx.fleet()
    with pytest.raises(OtherModelError):
        fleet.restore(tmp_path / "fleet.state")
    assert "a" not in fleet
    fleet.restore(tmp_path / "fleet.state", ignore_fingerprint=True)
    assert fleet.snapshot("a").symbols_seen == 1


def test_where_the_store_fails_no_new_member_has_come(onnx, tmp_path):
    store = FaultyStore(SqliteStore(tmp_path / "fleet.db", onnx.file))
    fleet = onnx.fleet(max_members=5, store=store)
    store.refuses["get"] = lambda key: key == "c"
    with pytest.raises(OutputError, match="the disk is gone"):
        fleet.step({"b": "3", "c": "3"})
    assert "b" not in fleet


def test_an_interrupt_while_the_members_move_lets_all_of_them_move_and_is_not_swallowed(onnx):
    table = StateTable(onnx.initial_state(), None, None)
    rows, _ = table.load(["a", "b"])

    class InterruptedOnce(dict):
        """States that are interrupted after the first of them."""

        interrupts = 1

        def items(self):
            for item in super().items():
                yield item
                if self.interrupts:
                    self.interrupts -= 1
                    raise KeyboardInterrupt

    following = {name: array + 1 for name, array in onnx.initial_state().items()}
    with pytest.raises(KeyboardInterrupt):
        table.move(rows, InterruptedOnce({n: as_records(np.concatenate([a, a])) for n, a in following.items()}))
    for key in "ab":
        member = table.get(key)
        assert all(np.array_equal(member.state[name], array) for name, array in following.items())
        assert member.symbols_seen == 1


def test_a_store_that_takes_nobody_is_told_before_the_next_move_and_nobody_is_lost(onnx, tmp_path):
    store = SqliteStore(tmp_path / "fleet.db", onnx.file)
    fleet = onnx.fleet(max_members=1, store=store)
    fleet.step({"a": "3"})
    store.close()
    assert fleet.step({"a": "0"})["a"].symbol == "1"  # it needs no store
    with pytest.raises(OutputError, match="Cannot use .*fleet.db as a store"):
        fleet.step({"b": "4"})  # whether there is a "b" only the store could say
    assert fleet.snapshot("a").symbols_seen == 2


def test_members_without_room_stay_until_the_store_can_take_them(onnx, tmp_path):
    store = FaultyStore(SqliteStore(tmp_path / "fleet.db", onnx.file))
    fleet = onnx.fleet(max_members=1, store=store)
    store.refuses["put"] = lambda members: True
    answers = fleet.step({"a": "3", "b": "4", "c": "3"})
    assert len(answers) == len(fleet) == 3
    for call in (lambda: fleet.step({"a": "0"}), lambda: fleet.restore(tmp_path / "saved.state")):
        fleet.save(tmp_path / "saved.state")
        with pytest.raises(OutputError, match="the disk is gone"):
            call()
        assert {fleet.snapshot(key).symbols_seen for key in "abc"} == {1}
    store.refuses.clear()
    fleet.step({"a": "0"})
    assert {"b", "c"} <= set(store.keys())
    assert [fleet.snapshot(key).symbols_seen for key in "abc"] == [2, 1, 1]


def test_a_damaged_member_of_a_store_is_refused(onnx, tmp_path):
    store = SqliteStore(tmp_path / "fleet.db", onnx.file)
    fleet = onnx.fleet(store=store)
    fleet.step({"a": "3"})
    fleet.flush()
    with sqlite3.connect(tmp_path / "fleet.db") as database:
        database.execute("UPDATE streams SET state = x'0011'")
    with pytest.raises(DamagedStateError, match="fleet.db is damaged: the row of 'a'"):
        onnx.fleet(store=store).step({"a": "0"})


def test_a_call_that_fails_moves_no_member_and_brings_no_new_one(onnx):
    batches = []

    def open_batch(size):
        batches.append(FaultyBatch(onnx.pool.open_batch(size)))
        return batches[-1]

    fleet = Fleet(open_batch, onnx.file)
    fleet.step({"a": "3"})
    before = fleet.snapshot("a")
    with pytest.raises(UnknownSymbolError, match=r"'9' .*memory\.onnx .*number 2 of 2\. The fleet has not moved"):
        fleet.step({"a": "0", "new": "9"})
    batches[0].failing = True
    with pytest.raises(BackendError, match="no memory"):
        fleet.step({"a": "0", "new": "1"})
    assert "new" not in fleet
    after = fleet.snapshot("a")
    assert after.symbols_seen == before.symbols_seen == 1
    assert all(np.array_equal(array, before.state[name]) for name, array in after.state.items())


def test_a_fleet_is_saved_and_restored_with_its_store(onnx, tmp_path):
    fleet = onnx.fleet(max_members=2, store=SqliteStore(tmp_path / "a.db", onnx.file))
    for turn in ("a3 b4", "c0", "d1 a0"):
        fleet.step(dict(turn.split(" ")[n] for n in range(len(turn.split(" ")))))
    fleet.save(tmp_path / "fleet.state")
    again = onnx.fleet()
    again.restore(tmp_path / "fleet.state")
    assert len(again) == len(fleet) == 4
    for key in "abcd":
        assert again.snapshot(key).symbols_seen == fleet.snapshot(key).symbols_seen
    symbols = dict.fromkeys("abcd", "2")
    assert np.abs(again.step(symbols).probabilities - fleet.step(symbols).probabilities).max() <= CLOSE
    (tmp_path / "fleet.state").write_bytes(b"stepsave?")
    with pytest.raises(SavedStateError):
        again.restore(tmp_path / "fleet.state")


def test_a_store_keeps_members_over_processes_and_belongs_to_one_model(onnx, tmp_path):
    path = tmp_path / "fleet.db"
    store = SqliteStore(path, onnx.file)
    fleet = onnx.fleet(max_members=100, store=store)
    fleet.step({"a": "3", "b": "4"})
    fleet.flush()
    store.close()
    store = SqliteStore(path, onnx.file)
    again = onnx.fleet(max_members=100, store=store)
    assert again.snapshot("a").symbols_seen == 1
    expected = fleet.snapshot("a").state
    assert all(np.array_equal(array, expected[name]) for name, array in again.snapshot("a").state.items())
    store.close()
    with pytest.raises(OtherModelError, match="holds streams of the model"):
        SqliteStore(path, load(DATA / "memory.tflite").file)
    (tmp_path / "text.db").write_text("no database, " * 100)
    with pytest.raises(OutputError, match="Cannot use .* as a store"):
        SqliteStore(tmp_path / "text.db", onnx.file)


def test_a_limit_without_a_store_would_forget_members_and_is_refused(onnx):
    with pytest.raises(OptionError, match="needs a store for the others"):
        onnx.fleet(max_members=10)
    assert len(onnx.fleet().step({})) == 0
