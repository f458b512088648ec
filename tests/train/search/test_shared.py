"""A search of several processes over PostgreSQL: killed workers, a server that goes away, one best network."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support import search_worker
from support.keras_models import MEMORY
from support.postgresql import Database

from stepcell.runtime.common.errors import ProblemError
from stepcell.train import Network, Options
from stepcell.train.search.shared import Team, search_together

PASSWORD = "ge@h/e:im%"


def worker(*arguments):
    """Start a worker; its output is read as text."""
    command = [sys.executable, search_worker.__file__, *map(str, arguments)]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, text=True, **streams)


def result_of(process):
    """Return the sentences that a worker said, and its result."""
    *said, last = process.communicate(timeout=300)[0].splitlines()
    assert process.returncode == 0, last
    return said, json.loads(last)


@pytest.mark.slow
def test_the_trial_of_a_killed_worker_is_done_again_and_each_worker_ends_with_the_best_network(tmp_path):
    with Database(PASSWORD) as database:
        killed = worker(database.url, tmp_path / "killed", 4, "hang", 1)
        hanging = killed.stdout.readline()
        other = worker(database.url, tmp_path / "other", 4)
        number = int(hanging.removeprefix("in trial "))
        killed.kill()
        killed.communicate()
        said, found = result_of(other)
        said_later, later = result_of(worker(database.url, tmp_path / "killed", 4))
        states = database.query("SELECT number, state FROM trials ORDER BY number")
    assert f"trial {number} is done again: " in "\n".join(said)
    assert sorted(one["trial"] for one in found["trials"]) == sorted({taken for taken, _ in found["taken"]})
    assert len(found["trials"]) == 4
    assert sorted(state for _, state in states) == ["COMPLETE"] * 4 + ["FAIL"]
    assert (later["trials"], later["best"]) == (found["trials"], found["best"])
    assert [taken for taken, _ in later["taken"]] == [found["best"]]
    assert f"trial {found['best']}: equal to the record" in said_later[-1]
    metrics = [(tmp_path / name / "metrics.json").read_bytes() for name in ("killed", "other")]
    assert metrics[0] == metrics[1]
    assert not list(tmp_path.glob("*/checkpoint*"))
    for path in tmp_path.glob("*/*"):
        assert PASSWORD.encode() not in path.read_bytes()
        assert b"ge%40h" not in path.read_bytes()


@pytest.mark.slow
def test_a_database_that_goes_away_ends_a_worker_and_the_same_command_goes_on(tmp_path):
    with Database(PASSWORD) as database:
        one = worker(database.url, tmp_path / "run", 3, "wait", 2)
        assert one.stdout.readline() == "in trial 2\n"
        database.stop()
        said, _ = one.communicate("\n", timeout=300)
        assert one.returncode == 1
        assert said.splitlines()[-1].startswith(f"error: Cannot write to the database postgresql://stepcell@127.0.0.1:"
                                                f"{database.port}/search: ")  # fmt: skip
        assert "Its finished trials are kept. Give the same command again" in said
        assert "ge@h" not in said
        database.start()
        _, found = result_of(worker(database.url, tmp_path / "run", 3))
    assert found["taken"][0] == [2, True]  # from the end of its checkpoint
    assert [trial["trial"] for trial in found["trials"]] == [1, 2, 3]
    assert {taken for taken, _ in found["taken"]} == {2, 3}


def test_a_time_limit_is_refused_because_the_best_network_is_trained_again(tmp_path):
    team = Team(f"sqlite:///{tmp_path}/search.db")
    with pytest.raises(ProblemError, match="takes no --minutes: a network that had a time limit cannot be trained"):
        search_together(MEMORY, Network(), Options(minutes=1.0), tmp_path / "run", 2, team, watch=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_network_that_comes_out_otherwise_on_this_machine_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/search.db"
    result_of(worker(url, tmp_path / "a", 1))
    with sqlite3.connect(tmp_path / "search.db") as database:
        database.execute("UPDATE trial_user_attributes SET value_json = '0.25' WHERE key = 'nats'")
    database.close()
    other = worker(url, tmp_path / "b", 1)
    said, _ = other.communicate(timeout=300)
    assert other.returncode == 1
    error = said.splitlines()
    assert "trained again from its seed, is another network than" in said
    assert f":{Path(tmp_path, 'a')} trained" in said
    assert error[-1].startswith("  - nats: 0.25 in the study, ")
    assert not (tmp_path / "b" / "model.keras").exists()
