"""A training goes on from the network of an earlier run with new data."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import read_source
from stepcell.runtime.common.errors import ResumeError
from stepcell.runtime.data import EventsReader
from stepcell.train import Events, Network, Options, Run, fit
from stepcell.train.fitting.evaluate import Evaluator
from stepcell.train.fitting.fit import build_network, prepare_data
from stepcell.train.run.base_run import BaseRun

KINDS = [["a", "x", "y", "A"], ["b", "x", "y", "B"], ["b", "x", "x", "y", "B"]]
NEW_KINDS = [["a", "x", "y", "C"], ["b", "x", "y", "B"], ["c", "x", "y", "C"]]
READER = EventsReader("activity", "case", "time", end="<end>", features={"load": "load"})
NETWORK, OPTIONS = Network("gru", 8), Options(seed=1, max_updates=30, learn_initial_state=True)
COMMAND = ["train", "events"]


def write_log(path, kinds, first):
    random = np.random.default_rng(first)
    rows = [
        f"{first + case},{case + place / 9},{symbol},{random.normal():.3f}"
        for case in range(120)
        for place, symbol in enumerate(kinds[random.integers(len(kinds))])
    ]
    path.write_text("\n".join(["case,time,activity,load", *rows]) + "\n")
    return path


pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of a run, beside its data and new data."""
    folder = tmp_path_factory.mktemp("base")
    problem = Events.from_file(write_log(folder / "log.csv", KINDS, 0), READER)
    write_log(folder / "new.csv", NEW_KINDS, 1_000)
    Run(folder / "run", problem, NETWORK, OPTIONS).finish(fit(problem, NETWORK, OPTIONS))
    return folder


def new_problem(base, *, grow):
    inherited = BaseRun.read(base / "run", "events").inherited(grow=grow)
    return Events.from_file(base / "new.csv", READER, inherited=inherited)


def refusal(base, *options):
    result = CliRunner().invoke(app, [*COMMAND, str(base / "new.csv"), "--from", str(base / "run"), *map(str, options)])
    assert isinstance(result.exception, (ResumeError, SystemExit)), result.output
    return result.output + str(result.exception)


@pytest.mark.slow
def test_grown_weights_answer_to_old_symbols_as_before_and_report_gains_and_losses(base):
    run = BaseRun.read(base / "run", "events")
    scores = {}
    for grow in (False, True):
        problem = new_problem(base, grow=grow)
        start = run.start(problem)
        data = prepare_data(problem, OPTIONS)
        network = build_network(data, NETWORK, OPTIONS)
        network.set_weights(start.weights)
        scores[grow] = Evaluator(network, xla=False).score(start.earlier)
    recorded = json.loads((base / "run" / "metrics.json").read_text())["per_sequence"]
    assert scores[False].nats == pytest.approx(recorded["nats_per_symbol"], abs=1e-6)
    assert scores[True].nats == pytest.approx(scores[False].nats, abs=1e-5)
    assert problem.vocabulary.symbols[-2:] == ("C", "c")
    fitted = fit(problem, NETWORK, OPTIONS, start=start)
    transfer = fitted.transfer
    assert transfer.new_after.nats < transfer.new_before.nats
    assert transfer.earlier_before.nats == pytest.approx(recorded["nats_per_symbol"], abs=1e-5)
    assert transfer.earlier_after.answers == recorded["answers"]
    folder = base / "grown"
    Run(folder, problem, NETWORK, OPTIONS, base=run.describe()).finish(fitted)
    assert read_source(folder).training["from"] == {"run": "run", "fingerprint": run.fingerprint}
    assert json.loads((folder / "metrics.json").read_text())["transfer"]["earlier_data"]["before"]["answers"]


def test_options_that_contradict_the_run_are_refused_together(base):
    text = refusal(base, "--out", base / "x", "--units", 9, "--cell", "lstm", "--end", "END", "--min-count", 2)
    for part in (
        "--units is 9, and the run has 8", "--cell is lstm, and the run has gru", "--end is END, and the run has <end>",
        "--min-count is for new symbols",
    ):  # fmt: skip
        assert part in text
    assert "would replace the run" in refusal(base, "--out", base / "run")
    assert "--search looks for a network" in refusal(base, "--out", base / "x", "--search", 3)
    assert not (base / "x").exists()


def test_a_folder_that_holds_no_finished_run_is_refused(base, tmp_path):
    with pytest.raises(ResumeError, match=r"There is no run in .*--from takes a folder that"):
        BaseRun.read(tmp_path, "events")
    with pytest.raises(ResumeError, match=r"has learned events, not text\. Go on with stepcell train events"):
        BaseRun.read(base / "run", "text")
    run = shutil.copytree(base / "run", tmp_path / "run")
    changed = BaseRun.read(run, "events")
    mixed = shutil.copytree(run, tmp_path / "mixed")
    (mixed / "run.json").write_text(json.dumps({**changed.plan, "vocabulary": changed.plan["vocabulary"][1:]}))
    with pytest.raises(ResumeError, match=r"it knows \d symbols, and run.json \d\). Copy"):
        BaseRun.read(mixed, "events").start(new_problem(base, grow=False))
    (run / "initial_state.npz").write_bytes(b"")
    with pytest.raises(ResumeError, match=r"model.keras cannot be read \(it has changed meanwhile\)"):
        changed.start(new_problem(base, grow=False))
    plan = {**changed.plan, "problem": {"name": "events"}}
    (run / "run.json").write_text(json.dumps(plan))
    with pytest.raises(ResumeError, match=r"does not record how data are read, so nothing"):
        BaseRun.read(run, "events")
    with pytest.raises(ResumeError, match=r"There is no run in .*run\.json \(no run.json\)"):
        BaseRun.read(run / "run.json", "events")
    (run / "model.keras").write_bytes((run / "model.keras").read_bytes()[:-9])
    with pytest.raises(ResumeError, match=r"model.keras is damaged or cut off\. Copy the run folder again"):
        BaseRun.read(run, "events")
    (run / "model.keras").unlink()
    with pytest.raises(ResumeError, match=r"it is not finished. Finish it first"):
        BaseRun.read(run, "events")
    (run / "run.json").write_text("{")
    with pytest.raises(ResumeError, match=r"is damaged"):
        BaseRun.read(run, "events")


def test_data_of_the_run_that_have_changed_are_said_and_not_compared(base, tmp_path):
    run = BaseRun.read(base / "run", "events")
    problem, log = new_problem(base, grow=False), base / "log.csv"
    content = log.read_text()
    try:
        log.write_text(content + "9999,1,a,0\n")
        assert run.start(problem).note == f"not known, because {log} has changed since that run"
        log.unlink()
        start = run.start(problem)
        assert start.note.startswith("not known, because its data cannot be read: Cannot read")
        assert start.earlier is None
    finally:
        log.write_text(content)


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights_and_counts_as_the_same_run(base, tmp_path):
    run, problem = BaseRun.read(base / "run", "events"), new_problem(base, grow=True)
    start, checkpoint = run.start(problem), tmp_path / "checkpoint.npz"
    whole = fit(problem, NETWORK, OPTIONS, start=start)

    def crash(row):
        if row.update >= 20:
            raise SystemExit

    with pytest.raises(SystemExit):
        fit(problem, NETWORK, OPTIONS, crash, checkpoint=checkpoint, checkpoint_seconds=0.0, start=start)
    resumed = fit(problem, NETWORK, OPTIONS, checkpoint=checkpoint, resume=True, start=start)
    assert all(np.array_equal(a, b) for a, b in zip(whole.network.weights(), resumed.network.weights(), strict=True))
    assert whole.transfer.to_json() == resumed.transfer.to_json()
    out = tmp_path / "out"
    begun = Run(out, problem, NETWORK, OPTIONS, base=run.describe())
    begun.begin()
    begun.close()
    Run(out, problem, NETWORK, OPTIONS, resume=True, base=run.describe()).close()
    with pytest.raises(ResumeError, match=r"from: .*fingerprint"):
        Run(out, problem, NETWORK, OPTIONS, resume=True)
