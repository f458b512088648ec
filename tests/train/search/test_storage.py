"""A search of several workers takes a database that keeps what it promises, and shows no password."""

from __future__ import annotations

import sys

import pytest
from support.command_line import stepcell

from stepcell.runtime.common.errors import MissingPackageError, OptionError, OutputError
from stepcell.train.search.storage import Storage, check_url, file_system

POSTGRESQL = "postgresql://anna:geheim@db.example.org:5433/search?sslmode=require"


def test_a_postgresql_url_is_shown_without_its_password():
    assert check_url(POSTGRESQL) == "postgresql://anna@db.example.org:5433/search"
    assert check_url("postgresql:///search?password=geheim") == "postgresql:///search"
    assert check_url("postgres://db/search") == "postgresql://db/search"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("grpc://host:13000", "know no heartbeat, so the trial of a worker that is killed would never be done"),
        ("journal.log", "no journal, file or gRPC server"),
        ("C:\\search.db", "no journal, file or gRPC server"),
        ("mysql://anna:geheim@host/search", "does not take mysql"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////no/such/folder/search.db", "which is no folder"),
        ("postgresql://anna:ge@heim@host/search", "write %40 for @"),
        ("postgresql://anna:ge/heim@host/search", "write %40 for @"),
        ("postgresql://anna:ge?heim@host/search", "write %40 for @"),
        ("postgresql://anna:ge:heim@host/search", "write %40 for @"),
        ("postgresql://anna:geheim", "no URL of PostgreSQL"),
        ("postgresql://anna:geheim@host/search?nonsense=1", "no URL of PostgreSQL"),
        ("post gres://anna:geheim@host/search", "no URL of a database"),
    ],
)
def test_other_storages_are_refused_with_the_reason(url, reason):
    with pytest.raises(OptionError) as refused:
        check_url(url)
    assert reason in str(refused.value)
    assert "heim" not in str(refused.value)


def test_a_file_on_a_network_disk_is_known_by_where_it_is_mounted(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "30 22 0:40 / /mnt/team\\040disk rw - nfs4 server:/export rw\n"
        "31 30 254:1 / /mnt/team\\040disk/local rw - ext4 /dev/vdb rw\n"
        "a line that Linux does not write\n"
    )
    folders = ("/home/anna", "/mnt/team disk/runs", "/mnt/team disk/local/runs", "/mnt/team diskette")
    assert [file_system(tmp_path.__class__(folder), mounts) for folder in folders] == ["ext4", "nfs4", "ext4", "ext4"]
    assert file_system(tmp_path, tmp_path / "nothing") == ""


def test_sqlite_on_a_network_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("stepcell.train.search.storage.file_system", lambda folder: "cifs")
    with pytest.raises(OptionError, match=r"network disk \(cifs\), whose locks do not hold between machines"):
        check_url(f"sqlite:///{tmp_path}/search.db")


def test_a_file_that_is_no_database_is_reported(tmp_path):
    (tmp_path / "search.db").write_text("no database at all, " * 100)
    with pytest.raises(OutputError, match=r"Cannot open the database sqlite:.*search.db: file is not a database"):
        Storage(f"sqlite:///{tmp_path}/search.db", 1, 1)


def test_a_server_that_does_not_answer_is_named_without_the_password():
    with pytest.raises(OutputError, match="Cannot open the database postgresql://anna@127.0.0.1:1/geheimnis") as error:
        Storage("postgresql://anna:secret7@127.0.0.1:1/geheimnis", 1, 1)
    assert "secret7" not in str(error.value)
    assert "Give the same command again once it can be reached" in str(error.value)
    assert error.value.__suppress_context__


def test_without_psycopg_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'stepcell\[search-db\]'"):
        check_url(POSTGRESQL)


def test_a_study_without_a_database_or_without_a_name_is_refused(tmp_path):
    command = ("train", "events", tmp_path / "log.csv", "--symbol", "s", "--search", 2, "--out", tmp_path / "run")
    alone = stepcell(*command, "--study", "mine")
    assert (alone.exit_code, "give --storage too" in " ".join(alone.stderr.split())) == (2, True)
    empty = stepcell(*command, "--storage", f"sqlite:///{tmp_path}/search.db", "--study", "")
    assert (empty.exit_code, "is empty" in empty.stderr) == (2, True)
