"""Copies of a store are whole, also of one that is written meanwhile, and replace nothing but earlier copies."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.models import DATA

from stepcell.runtime import load
from stepcell.runtime.common.errors import OutputError, StepcellError
from stepcell.runtime.streams.sqlite_store import SqliteStore
from stepcell.runtime.streams.store_backup import back_up
from stepcell.runtime.streams.store_file import StoreFile

MODEL = load(DATA / "memory.tflite", backend="numpy")


@pytest.fixture
def path(tmp_path):
    """A store of the keys "a" and "b"."""
    with SqliteStore(tmp_path / "fleet.db", MODEL.file) as store:
        store.put({key: MODEL.stream().snapshot() for key in "ab"})
    return tmp_path / "fleet.db"


WRITER = """
import sys
from stepcell.runtime import SqliteStore, load
model = load(sys.argv[1], backend="numpy")
stream = model.stream()
with SqliteStore(sys.argv[2], model.file) as store:
    for number in range(10**9):
        stream.step("3")
        store.put({"left": stream.snapshot(), "right": stream.snapshot()})
        if number == 3:
            print("goes", flush=True)
"""


def test_copies_made_while_a_process_writes_are_whole(tmp_path):
    """Both streams are put in one transaction, so that a copy in which their counts differ is torn."""
    arguments = [sys.executable, "-c", WRITER, str(DATA / "memory.tflite"), str(tmp_path / "live.db")]
    counts = []
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout.readline() == b"goes\n"
            for _ in range(5):
                with StoreFile(tmp_path / "live.db") as found:
                    assert found.in_use
                    back_up(found, tmp_path / "copy.db")
                with StoreFile(tmp_path / "copy.db") as copy:
                    seen = [one.saved.streams[one.key].symbols_seen for one in copy.streams()]
                assert seen[0] == seen[1]
                counts.append(seen[0])
        finally:
            writer.kill()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    assert sorted(file.name for file in tmp_path.glob("*copy*")) == ["copy.db"]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda to, path: to.write_bytes(b"a letter"), "is there already, and is no store of streams"),
        (lambda to, path: to.symlink_to(path), "is the store itself"),
        (lambda to, path: to.with_name("copy.db-wal").write_bytes(b"x") + to.write_bytes(path.read_bytes()),
         "is a store that was not closed"),
        (lambda to, path: to.mkdir(), "is there already, and is no store of streams"),
    ],
)  # fmt: skip
def test_a_copy_replaces_nothing_but_an_earlier_copy(path, tmp_path, make, problem):
    to = tmp_path / "copy.db"
    make(to, path)
    before = None if to.is_dir() else to.read_bytes()
    with StoreFile(path) as found, pytest.raises(StepcellError, match=problem):
        back_up(found, to)
    assert to.is_dir() or to.read_bytes() == before
    assert not list(tmp_path.glob(".copy*.part*"))


def test_a_copy_that_is_in_use_is_not_replaced(path, tmp_path):
    with StoreFile(path) as found:
        back_up(found, tmp_path / "copy.db")
        with (
            SqliteStore(tmp_path / "copy.db", MODEL.file),
            pytest.raises(OutputError, match="is a store that is in use: give the copy another name"),
        ):
            back_up(found, tmp_path / "copy.db")
        back_up(found, tmp_path / "copy.db")  # again, after it was opened and closed


def test_a_copy_into_a_folder_that_is_not_there_is_refused(path, tmp_path):
    with StoreFile(path) as found, pytest.raises(OutputError, match=r"Cannot use .*copy.db: unable to open"):
        back_up(found, tmp_path / "none" / "copy.db")
