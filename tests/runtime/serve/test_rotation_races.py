"""A log that is rotated at the very moment at which its folder is looked at."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

from stepcell.runtime.serve.input_offset import FileIdentity, open_following, open_rotated


@pytest.fixture
def log(tmp_path):
    """Three files, the oldest first: log.2, log.1, log; each holds its number."""
    path = tmp_path / "log"
    for number in range(3):
        if number:
            rotate(path)
        path.write_text(f"{number}\n")
    return path


def rotate(path: Path) -> None:
    for number in (3, 2, 1):
        source = path.with_name(f"log.{number}")
        if source.exists():
            source.rename(path.with_name(f"log.{number + 1}"))
    path.rename(path.with_name("log.1"))
    path.write_text("new\n")


def once(action):
    """Return a function that calls `action` the first time it is called."""
    waiting = [action]
    return lambda: waiting.pop()() if waiting else None


def test_the_next_file_is_found_though_the_log_is_rotated_while_the_folder_is_listed(log, monkeypatch):
    before = FileIdentity.of(log.with_name("log.1"))  # of the file with 1; the next one holds 2
    disturb, listed = once(lambda: rotate(log)), Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: (disturb(), listed(path))[1])
    with open_following(log, before) as file:
        assert file.read() == b"2\n"


@pytest.mark.parametrize("name", ["log.2", "log.1"])
def test_the_file_that_is_opened_is_the_one_that_was_found(log, monkeypatch, name):
    wanted = FileIdentity.of(log.with_name(name))
    content = log.with_name(name).read_bytes()
    opened = builtins.open
    disturb = once(lambda: rotate(log))

    def open_after_a_rotation(path, *arguments, **named):
        if str(path).startswith(str(log)):
            disturb()
        return opened(path, *arguments, **named)

    monkeypatch.setattr(builtins, "open", open_after_a_rotation)
    found = open_rotated(log, wanted)
    with found[0] as file:
        assert file.read() == content


def test_the_oldest_file_is_found_though_it_gets_a_new_name_after_the_folder_was_listed(log, monkeypatch):
    wanted = FileIdentity.of(log.with_name("log.2"))
    disturb, listed = once(lambda: rotate(log)), Path.iterdir

    def list_and_rotate(path):
        names = list(listed(path))
        disturb()
        return iter(names)

    monkeypatch.setattr(Path, "iterdir", list_and_rotate)
    file, path = open_rotated(log, wanted)
    with file:
        assert (file.read(), path.name) == (b"0\n", "log.3")
