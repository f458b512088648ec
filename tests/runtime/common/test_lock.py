"""A file or folder belongs to one process at a time, and a lock does not outlive its owner."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stepcell.runtime.common.errors import OutputError
from stepcell.runtime.common.lock import FolderLock, lock

HOLD = """
import sys, time
from pathlib import Path
from stepcell.runtime.common.lock import FolderLock
held = FolderLock(Path(sys.argv[1]), "training")
print("held", flush=True)
time.sleep(60)
"""


def test_a_folder_has_one_owner_and_nothing_stays_in_it(tmp_path):
    with FolderLock(tmp_path, "training"), pytest.raises(OutputError, match="is in use: another training"):
        FolderLock(tmp_path, "training")
    assert list(tmp_path.iterdir()) == []
    first = FolderLock(tmp_path, "training")
    del first
    FolderLock(tmp_path, "training").release()


def test_a_process_that_is_killed_loses_its_lock(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match="is in use"):
            FolderLock(tmp_path, "training")
        process.kill()
    FolderLock(tmp_path, "training").release()
    assert list(tmp_path.iterdir()) == []


def test_paths_that_lead_to_one_file_share_its_lock(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    held = lock(tmp_path / "file", "It is taken.")
    with pytest.raises(OutputError, match=r"^It is taken\.$"):
        lock(tmp_path / "link", "It is taken.")
    held.release()
    lock(tmp_path / "link", "It is taken.").release()


def test_where_nothing_can_be_written_there_is_no_lock(tmp_path):
    with pytest.raises(OutputError, match="Cannot write .*: No such file or directory"):
        lock(tmp_path / "missing" / "file", "It is taken.")
