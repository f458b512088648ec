"""Texts that cannot be learned from are refused, with what is wrong and what to do."""

from __future__ import annotations

import errno
import os

import pytest

from stepcell.runtime.common.errors import CorpusError
from stepcell.train import Text

WORDS = "the quick brown fox jumps over the lazy dog and then the dog jumps over the fox. " * 40


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"abc", "has 3 symbols; at least 64"),
        (b"\xff\xfe" * 50, "not UTF-8: byte 0 is 0xff"),
        ("hello world\n".encode("utf-16") * 9, "not UTF-8: byte 0 is 0xff"),
        (b"a" * 500, "repeats one symbol, 'a'; there is nothing to predict"),
    ],
)
def test_a_text_that_cannot_be_learned_from_is_refused(content, problem, tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=problem):
        Text.from_file(path)


def test_a_missing_text_is_said_to_be_missing_and_an_empty_folder_to_be_empty(tmp_path):
    with pytest.raises(CorpusError, match="Cannot read .*No such file"):
        Text.from_file(tmp_path / "none.txt")
    with pytest.raises(CorpusError, match="There are no files in the folder"):
        Text.from_file(tmp_path)


def test_a_text_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text(WORDS)

    def refuse(file, *_, **__):  # what the system does, except for the superuser, who may read everything
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(CorpusError, match="Permission denied"):
        Text.from_file(path)
