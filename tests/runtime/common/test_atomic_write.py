"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat

import pytest

from stepcell.runtime import OutputError
from stepcell.runtime.common.atomic_write import (
    atomic_rename,
    atomic_write,
    check_file,
    make_folder,
    remove_partial_files,
)


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "model.tflite"
    for content in (b"first", b"second"):
        atomic_write(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(failing, tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    atomic_write(path, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OutputError, match=r"Cannot write .*model\.tflite: No space left on device\."):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_a_folder_that_is_missing_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match=r"Cannot write .*: No such file or directory"):
        atomic_write(tmp_path / "missing" / "model.tflite", b"content")


def test_the_name_of_a_file_is_durable_once_it_is_renamed(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    (tmp_path / "a").write_bytes(b"content")
    atomic_rename(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"content"
    assert synced == ([True] if os.name == "posix" else [])


def test_partial_files_of_killed_processes_are_removed_and_no_others(tmp_path):
    partial = [".run.json.17.part", ".run.json.old.4.part", ".state.9.part"]
    others = ["run.json", ".run.json.part", "a.17.part", ".run.json.17.part.txt"]
    for name in [*partial, *others]:
        (tmp_path / name).touch()
    remove_partial_files(tmp_path, "run.json")
    assert {path.name for path in tmp_path.iterdir()} == {*partial[1:], *others}
    remove_partial_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*others}


def test_a_folder_is_made_with_its_parents(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write to the folder .*file: File exists\."):
        make_folder(tmp_path / "file")


def test_a_file_that_cannot_be_written_is_noticed_before_the_work(tmp_path):
    check_file(tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="there is no folder .*none. Make it first"):
        check_file(tmp_path / "none" / "page.html")
    with pytest.raises(OutputError, match="it is a folder. Name a file in it"):
        check_file(tmp_path)
