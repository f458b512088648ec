"""A search finds the smallest network that solves a problem, and loses no finished trial."""

from __future__ import annotations

import csv
import importlib
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import fields, replace

import pytest
from support.keras_models import MEMORY
from support.problems import with_recipe
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import read_source
from stepcell.runtime.common.errors import MissingPackageError, OutputError, ProblemError, ResumeError
from stepcell.runtime.data import FeatureStats
from stepcell.train import DivergedError, Network, Options, Run, Text
from stepcell.train.network.size import count_parameters
from stepcell.train.network.values import ValueScaling
from stepcell.train.search.folder import SearchFolder
from stepcell.train.search.report import draw_search, search_table
from stepcell.train.search.sampler import TrialStorage, from_optuna, propose, to_optuna
from stepcell.train.search.search import search
from stepcell.train.search.space import SEARCHED, Space
from stepcell.train.search.trial import SearchResult, Trial, best_trial

QUICK = Options(seed=3, max_updates=100)
ENOUGH = replace(QUICK, max_updates=200)  # to solve it
SMALL, FIXED = Network("rnn", 12), {"cell", "layers"}  # what is compiled fastest
TEXT = Text.of("the quick brown fox jumps over the lazy dog and then the dog jumps over the fox. " * 4)


def trial(number=1, cell="gru", units=3, layers=1, rate=0.01, parameters=99, stopped="updates", nats=0.5):
    return Trial(number, cell, units, layers, rate, parameters, stopped, 10, 0.5, 0.75, nats)


def space(fixed=(), network=SMALL, options=QUICK):
    return Space.around(MEMORY, network, options, fixed)


def simulate(space, trials, seed, solves):
    """Make trials without training: `solves` tells which candidates would solve the problem."""
    done = []
    while len(done) < trials and (candidate := propose(space, done, seed)) is not None:
        network, size = candidate.network, space.count(candidate.network)
        stopped = "solved" if solves(network) else "updates"
        shape = (network.cell, network.units, network.layers, candidate.learning_rate)
        chosen = network.dropout, network.embedding
        done.append(Trial(len(done) + 1, *shape, size, stopped, 9, 0.1, 0.5, 1.0 / network.units, *chosen))
    return done


@pytest.mark.parametrize("embedding", [0, 3])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_parameters_are_counted_as_keras_counts_them(cell, layers, embedding):
    network = Network(cell, 7, layers, embedding)
    model = network.build(6, 5, seed=0)
    assert count_parameters(network, 6, 5) == sum(math.prod(v.shape) for v in model.trainable_variables)
    features = [FeatureStats("a", 0.0, 1.0), FeatureStats("b", 0.0, 1.0)]
    values = ValueScaling(("a",), (0.0,), (1.0,), (0,))
    model = network.build(0, 1, seed=0, scales=features, values=values)
    assert count_parameters(network, 0, 1, 2) == sum(math.prod(v.shape) for v in model.trainable_variables)


def test_trials_of_values_have_a_loss_and_no_accuracy():
    trials = [Trial(n, "lstm", 8, 1, 0.01, 400 + n, "updates", 60, 1.0, math.nan, 0.5 * n) for n in (1, 2)]
    header, rows, verdict = search_table(SearchResult(tuple(trials), best_trial(trials)))
    assert header[-1] == "loss"
    assert [row[-1] for row in rows] == ["0.5000", "1.0000"]
    assert verdict.startswith("* The lowest loss on held-out rows: lstm of 8 units")
    assert draw_search(trials).startswith(b"\x89PNG")


def test_a_search_begins_with_what_would_be_trained_without_it():
    assert propose(space(), [], seed=0) == space().start
    assert space().start.network == SMALL
    assert space().start.learning_rate == MEMORY.recipe.learning_rate["rnn"]


def test_after_a_solved_trial_only_smaller_networks_are_proposed():
    done = simulate(space(), 30, seed=1, solves=lambda network: network.units >= 4)
    smallest = math.inf
    for one in done:
        assert one.parameters < smallest
        smallest = min(smallest, one.parameters) if one.solved else smallest
    assert best_trial(done).units == 4


def test_a_search_ends_when_no_smaller_network_is_left():
    done = simulate(space({"cell", "layers"}), 99, seed=1, solves=lambda network: True)
    assert len(done) < 10
    assert done[-1].units == 1


def test_networks_are_not_tried_twice_while_there_are_others():
    done = simulate(space(), 20, seed=2, solves=lambda network: False)
    assert len({(one.cell, one.units, one.layers) for one in done}) == 20


def test_a_seed_gives_the_same_trials_and_another_seed_others():
    one, same, other = (simulate(space(), 12, s, lambda network: network.units > 5) for s in (4, 4, 5))
    assert one == same != other


def test_what_is_given_is_not_searched():
    fixed = space({"cell", "units", "learning_rate"}, Network("rnn", 9), replace(QUICK, learning_rate=0.02))
    tried = simulate(fixed, 5, seed=0, solves=lambda network: False)
    assert {(one.cell, one.units, one.learning_rate) for one in tried} == {("rnn", 9, 0.02)}
    assert {one.layers for one in tried} == {1, 2}


def test_dropout_and_embedding_are_searched_on_recorded_data_within_the_limit():
    text = Text.of("abcab" * 100)
    limited = Space.around(text, Network("lstm", 16), QUICK, {"layers"}, max_parameters=900)
    tried = simulate(limited, 25, seed=1, solves=lambda network: False)
    assert len({one.dropout for one in tried}) > 2
    assert len({one.embedding for one in tried}) > 2
    assert max(one.parameters for one in tried[1:]) <= 900
    assert from_optuna(to_optuna(tried[3], limited)) == tried[3]
    fixed = Space.around(text, Network("lstm", 16, dropout=0.3), QUICK, {"dropout", "embedding"})
    (first, second) = simulate(fixed, 2, seed=1, solves=lambda network: False)
    assert (first.dropout, second.dropout, second.embedding) == (0.3, 0.3, 0)
    assert from_optuna(to_optuna(second, fixed)) == second
    header, rows, _ = search_table(SearchResult(tuple(tried), tried[3]))
    assert header[5:7] == ["dropout", "embedding"]
    assert rows[3][5:7] == [f"{tried[3].dropout:g}", str(tried[3].embedding)]


def test_a_search_in_which_everything_is_given_is_refused():
    with pytest.raises(ProblemError, match="Nothing is left to search"):
        space(SEARCHED)


def test_the_best_trial_is_the_smallest_solved_or_else_that_with_the_lowest_nats():
    large, small = trial(1, parameters=200, stopped="solved", nats=0.01), trial(2, parameters=100, stopped="solved")
    low, diverged = trial(3, parameters=50, nats=0.001), trial(4, stopped="diverged", nats=math.inf)
    assert best_trial([large, small, low, diverged]) is small
    assert best_trial([diverged, trial(5), low]) is low
    assert best_trial([diverged]) is None


def test_trials_come_back_from_their_storage_as_they_were(tmp_path):
    path = tmp_path / "search.db"
    trials = [
        trial(1, cell="rnn", units=9, rate=0.01 + 0.02),
        replace(trial(2, units=5, stopped="diverged", nats=math.inf), carried_accuracy=math.nan),
    ]
    storage = TrialStorage(path, space())
    for one in trials:
        storage.add(one)
    assert repr(TrialStorage(path, space()).trials) == repr(trials)  # nan is not equal to itself
    content = path.read_bytes()
    for change in ("trials SET state = 'x'", "trial_user_attributes SET value_json = '-1' WHERE key = 'parameters'"):
        database = sqlite3.connect(path)
        with database:
            database.execute(f"UPDATE {change}")
        database.close()
        with pytest.raises(ResumeError, match=r"search.db is damaged"):
            TrialStorage(path, space())
        path.write_bytes(content)
    path.write_bytes(content[:1000])
    with pytest.raises(ResumeError, match=r"search.db is damaged .* Start again without --resume"):
        TrialStorage(path, space())


def test_trials_that_were_stored_lead_to_the_same_proposals_as_those_that_were_not(tmp_path):
    done = simulate(space(), 9, seed=4, solves=lambda network: network.units > 5)
    storage = TrialStorage(tmp_path / "search.db", space())
    for one in done:
        assert propose(space(), TrialStorage(tmp_path / "search.db", space()).trials, 4) == propose(
            space(), done[: one.trial - 1], 4
        )
        storage.add(one)


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_reported(tmp_path):
    storage = TrialStorage(tmp_path / "search.db", space())
    (tmp_path / "search.db").unlink()
    (tmp_path / "search.db").mkdir()
    with pytest.raises(OutputError, match="Cannot write to"):
        storage.add(trial())


def stored(folder):
    return TrialStorage(folder / "search.db", space(FIXED)).trials


def without_seconds(trials):
    return [replace(one, cpu_seconds=0.0) for one in trials]


@pytest.fixture(scope="module")
def one_trial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    return folder, search(MEMORY, SMALL, ENOUGH, folder, 1, fixed=FIXED)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    return folder, search(MEMORY, SMALL, QUICK, folder, 3, fixed=FIXED)


def test_the_winner_is_a_complete_run_that_can_be_exported(one_trial):
    folder, result = one_trial
    assert result.best.solved
    assert result.best == best_trial(result.trials)
    source = read_source(folder)
    assert sum(math.prod(v.shape) for v in source.model.trainable_variables) == result.best.parameters
    run = json.loads((folder / "run.json").read_text())
    assert (run["stopped"], run["network"]["units"]) == ("solved", result.best.units)
    assert run["options"]["learning_rate"] == result.best.learning_rate
    assert {"search.csv", "search.json", "search.png", "metrics.json", "history.csv"} <= {
        p.name for p in folder.iterdir()
    }
    assert stored(folder) == list(result.trials)
    rows = list(csv.DictReader((folder / "search.csv").read_text().splitlines()))
    assert [row["units"] for row in rows] == [str(one.units) for one in result.trials]
    assert list(rows[0]) == [*(field.name for field in fields(Trial)), "solved"]
    assert not list(folder.glob("checkpoint*"))


class CrashError(Exception):
    """The process is gone."""


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_with_the_trial_it_was_in(searched, tmp_path):
    resumed_trials = []

    @contextmanager
    def watch(number, candidate, resumed):
        def observe(row):
            if (number, row.update) == (2, 75) and not resumed:
                raise CrashError

        if resumed:
            resumed_trials.append(number)
        yield observe

    with pytest.raises(CrashError):
        search(MEMORY, SMALL, QUICK, tmp_path, 3, fixed=FIXED, watch=watch, checkpoint_seconds=0.0)
    assert len(stored(tmp_path)) == 1
    resumed = search(MEMORY, SMALL, QUICK, tmp_path, 3, fixed=FIXED, resume=True, watch=watch)
    assert resumed_trials == [2]
    assert without_seconds(resumed.trials) == without_seconds(searched[1].trials)
    assert not list(tmp_path.glob("checkpoint*"))


@pytest.mark.slow
def test_a_search_killed_before_a_trial_is_recorded_gives_the_same_trial_again(searched, tmp_path, monkeypatch):
    def crash(self, fitted):
        raise CrashError

    with monkeypatch.context() as broken:
        broken.setattr(Run, "finish", crash)
        with pytest.raises(CrashError):
            search(MEMORY, SMALL, QUICK, tmp_path, 1, fixed=FIXED)
    rows = []

    @contextmanager
    def watch(number, candidate, resumed):
        yield rows.append

    again = search(MEMORY, SMALL, QUICK, tmp_path, 1, fixed=FIXED, resume=True, watch=watch)
    assert rows == []  # it had been trained to its end
    assert replace(again.best, cpu_seconds=0) == replace(searched[1].trials[0], cpu_seconds=0)


@pytest.mark.slow
def test_ctrl_c_ends_a_search_and_keeps_its_finished_trials(tmp_path):
    @contextmanager
    def watch(number, candidate, resumed):
        def observe(row):
            if number == 2:
                raise KeyboardInterrupt

        yield observe

    result = search(MEMORY, SMALL, QUICK, tmp_path, 4, fixed=FIXED, watch=watch)
    assert result.interrupted
    assert len(result.trials) == 1
    assert (tmp_path / "model.keras").exists()


def test_another_command_cannot_go_on_with_a_search_but_more_trials_can_be_asked_for(one_trial, tmp_path):
    folder, result = one_trial
    with pytest.raises(ResumeError, match="There is no search"):
        search(MEMORY, SMALL, QUICK, tmp_path, 4, fixed=FIXED, resume=True)
    with pytest.raises(ResumeError, match="started differently.*\n.*- options: .*'seed': 3.*now .*'seed': 4"):
        search(MEMORY, SMALL, replace(ENOUGH, seed=4), folder, 4, fixed=FIXED, resume=True)
    assert search(MEMORY, SMALL, ENOUGH, folder, 1, fixed=FIXED, resume=True).trials == result.trials


@pytest.mark.slow
def test_a_trial_that_diverges_does_not_end_the_search(tmp_path):
    rnn, fixed = Network("rnn", 4), {"cell", "layers", "learning_rate"}
    with pytest.raises(DivergedError, match="None of 2 trials learned anything"):
        search(MEMORY, rnn, replace(QUICK, learning_rate=1e38, max_updates=50), tmp_path, 2, fixed=fixed)
    assert [one.stopped for one in stored(tmp_path)] == ["diverged"] * 2


@pytest.mark.slow
def test_where_nothing_is_solved_the_best_by_nats_is_kept_and_said_so(tmp_path):
    result = search(with_recipe(TEXT, xla=False), SMALL, replace(QUICK, max_updates=5), tmp_path, 2, fixed=FIXED)
    assert not result.best.solved
    assert result.best.nats == min(one.nats for one in result.trials)
    header, rows, verdict = search_table(result)
    assert verdict.startswith("* None solved it. The lowest nats on held-out streams: ")
    assert [row[0].endswith("*") for row in rows] == [one is result.best for one in result.trials]
    assert json.loads((tmp_path / "run.json").read_text())["network"]["units"] == result.best.units
    assert len(header) == len(rows[0])


def test_a_folder_with_other_things_in_it_is_not_searched_in(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="holds no run"):
        search(MEMORY, SMALL, QUICK, tmp_path, 1, fixed=FIXED)


def test_an_earlier_search_moves_aside_with_all_its_files(tmp_path):
    folder = tmp_path / "run"
    place = SearchFolder(folder, MEMORY, QUICK, space(), resume=False)
    place.add(trial())
    place.finish()
    with pytest.raises(OutputError, match="is in use: another training writes there"):
        Run(folder, MEMORY, SMALL, QUICK)
    with pytest.raises(OutputError, match="is in use: another training writes there"):
        SearchFolder(folder, MEMORY, QUICK, space(), resume=True)
    place.close()
    before = {path.name for path in folder.iterdir()}
    run = Run(folder, MEMORY, SMALL, QUICK)
    run.begin()
    run.close()
    assert {path.name for path in folder.iterdir()} == {"run.json"}
    assert {path.name for path in (tmp_path / "run.previous").iterdir()} == before


def test_a_picture_can_be_drawn_of_diverged_trials_alone():
    assert draw_search([trial(stopped="diverged", nats=math.inf)]).startswith(b"\x89PNG")


def test_json_has_null_where_there_is_no_number():
    diverged = replace(trial(stopped="diverged", nats=math.inf), carried_accuracy=math.nan)
    found = json.loads(json.dumps(SearchResult((diverged,), None).to_json(), allow_nan=False))
    assert (found["best"], found["trials"][0]["nats"], found["trials"][0]["solved"]) == (None, None, False)


@pytest.mark.slow
def test_a_search_from_the_command_line_is_killed_and_resumed_to_the_same_trials(tmp_path):
    arguments = ["train", "memory", "--units", "8", "--cell", "rnn", "--search", "3", "--max-updates", "100"]
    arguments += ["--out", str(tmp_path / "run"), "--json", "--tensorboard", str(tmp_path / "board")]
    command = [sys.executable, "-m", "stepcell.cli", *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        file, deadline = tmp_path / "run" / "search.csv", time.monotonic() + 60
        while time.monotonic() < deadline and not (file.exists() and len(file.read_text().splitlines()) > 1):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert len(file.read_text().splitlines()) > 1
    result = CliRunner().invoke(app, [*arguments, "--resume"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert {(one["cell"], one["units"]) for one in found["trials"]} == {("rnn", 8)}
    whole = CliRunner().invoke(app, [*arguments[:-4], str(tmp_path / "whole"), "--json"])
    undisturbed = json.loads(whole.stdout)
    for each in (*found["trials"], *undisturbed["trials"]):
        del each["cpu_seconds"]
    assert found["trials"] == undisturbed["trials"]
    assert found["best"] == undisturbed["best"]
    assert {path.name for path in (tmp_path / "board").iterdir()} == {f"trial-0{n}" for n in range(1, 4)}


def test_without_optuna_a_search_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "stepcell.train.search.sampler")
    with pytest.raises(
        MissingPackageError, match=r"needs the package optuna. Install it: pip install 'stepcell\[search\]'"
    ):
        importlib.import_module("stepcell.train.search.sampler")
