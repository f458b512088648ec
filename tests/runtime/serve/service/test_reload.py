"""A new model file is noticed: by itself once it is whole, and on SIGHUP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from time import monotonic, sleep

import pytest
from support.models import DATA
from support.serving import ListOutput, ListSource, new_service, serve_records

from stepcell.runtime import load
from stepcell.runtime.serve.adapters.metrics import Metrics
from stepcell.runtime.serve.service.engine import Engine
from stepcell.runtime.serve.service.reload import Reloader
from stepcell.runtime.serve.service.start import read_threshold_of
from stepcell.runtime.serve.service.store import ServiceStore
from stepcell.runtime.serve.service.view import status_of
from stepcell.runtime.tasks.anomaly import Threshold


@pytest.fixture
def path(tmp_path):
    return shutil.copy(DATA / "lstm.tflite", tmp_path / "model.tflite")


def reloader_of(service, path):
    def new_engine(model):
        threshold = read_threshold_of(model, service.options.threshold)
        return Engine(model, service.store, service.options, threshold, service.tell)

    return Reloader(service, path, lambda: load(path, backend="numpy"), new_engine)


def do_call(service):
    """Do the next call that waits for the service; return False if none comes."""
    entry = service.inbox.take(5)
    function, future = entry[1]
    future.set_result(function(service))


@pytest.fixture
def service(tmp_path, path):
    model = load(path, backend="numpy")
    serve_records(tmp_path / "state.db", ["3", "1", "2"], model)
    with ServiceStore(tmp_path / "state.db", model.file) as store:
        yield new_service(model, store, [ListSource([])], [ListOutput()], shadow=0)


def test_a_file_that_changes_is_loaded_once_it_no_longer_does(service, path):
    reloader = reloader_of(service, path)
    reloader.look()
    new = (DATA / "gru.tflite").read_bytes()
    for end in (1000, 2000, len(new)):  # it is being written
        path.write_bytes(new[:end])
        reloader.look()
        assert service.inbox.take(0) is None
    reloader.look()
    do_call(service)
    assert service.handover.engine.model.manifest.fingerprint == load(DATA / "gru.tflite").manifest.fingerprint
    while service.handover is not None:
        service.work()
    assert service.status.reloads == {"taken over": 1}
    status, metrics = status_of(service), Metrics()
    assert (status["handover"]["stage"], status["handover"]["exact"]) == ("taken over", 1)
    metrics.status = status
    assert b'stepcell_reloads_total{outcome="taken over"} 1.0' in metrics.text()
    assert service.engine.model.manifest.fingerprint == service.store.owner


def test_a_file_that_is_touched_and_not_changed_changes_nothing(service, path):
    reloader = reloader_of(service, path)
    os.utime(path, (1, 1))
    reloader.look()
    reloader.look()
    do_call(service)
    assert service.handover is None
    assert service.told == []


def test_a_file_that_goes_away_is_waited_for(service, path):
    reloader = reloader_of(service, path)
    path.unlink()
    for _ in range(3):
        reloader.look()
    assert service.inbox.take(0) is None


def test_a_model_that_the_threshold_is_not_of_is_refused(tmp_path, path):
    model = load(path, backend="numpy")
    threshold = tmp_path / "threshold.json"
    Threshold(model.manifest.fingerprint, 5.0, None, 0.01, 100, 1).save(threshold)
    with ServiceStore(tmp_path / "state.db", model.file) as store:
        service = new_service(model, store, [ListSource([])], [ListOutput()], threshold=threshold)
        reloader = reloader_of(service, path)
        shutil.copy(DATA / "gru.tflite", path)
        reloader.look()
        reloader.look()
        do_call(service)
    assert service.status.handover["stage"] == "refused"
    assert "was calibrated with a model of fingerprint" in service.told[-1]


def test_a_file_that_changes_again_gives_up_the_handover(service, path):
    reloader = reloader_of(service, path)
    for name in ("gru", "rnn", "lstm"):
        shutil.copy(DATA / f"{name}.tflite", path)
        reloader.look()
        reloader.look()
        do_call(service)
    assert service.handover is None
    assert service.status.reloads == {"refused": 2}
    assert service.engine.model.manifest.fingerprint == service.store.owner


def test_a_new_file_takes_over_on_sighup(tmp_path, path):
    command = [sys.executable, "-m", "stepcell.cli", "serve", str(path), "--store", str(tmp_path / "state.db")]
    with open(tmp_path / "err", "wb") as err:
        process = subprocess.Popen(
            [*command, "--shadow", "2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err
        )  # fmt: skip

    def answer_to(seq):
        process.stdin.write(json.dumps({"stream": "a", "seq": seq, "symbol": str(seq % 7)}).encode() + b"\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    try:
        old = answer_to(0)["model"]
        shutil.copy(DATA / "gru.tflite", path)
        process.send_signal(signal.SIGHUP)
        until = monotonic() + 20
        while "is caught up" not in (tmp_path / "err").read_text() and monotonic() < until:
            sleep(0.01)
        assert [answer_to(1)["model"], answer_to(2)["model"]] == [old, old]
        event = json.loads(process.stdout.readline())
        assert (event["event"], event["before"], event["compared"]) == ("model", old, 2)
        stream = load(DATA / "gru.tflite").stream()
        right = [stream.step(symbol) for symbol in "0123"][-1]
        assert answer_to(3)["probability"] == pytest.approx(right.probability, abs=1e-6)
    finally:
        process.stdin.close()
        process.wait(20)
    assert process.returncode == 0
