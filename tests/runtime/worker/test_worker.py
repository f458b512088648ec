"""A worker process answers requests one after the other, and a crash fails one of them."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.models import DATA, RUNTIMES

from stepcell.runtime import BACKEND_NAMES, BackendError, load
from stepcell.runtime.common.run_worker import WorkerProcess, run_worker
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.worker.messages import RunSpec, trace_in_worker

# The worker with commands that no interpreter needs.
PROGRAM = """
import os, signal, sys, time
from stepcell.runtime.common.errors import OptionError
from stepcell.runtime.worker.__main__ import COMMANDS, main

def fail(error):
    raise {"ours": OptionError("It makes no sense."), "other": ValueError("out of range")}[error]

COMMANDS["pid"] = lambda: (os.getpid(), [])
COMMANDS["echo"] = lambda *blobs, **arguments: (arguments, blobs[::-1])
COMMANDS["print"] = lambda: (os.write(1, b"INFO: 3 delegates\\n"), [])
COMMANDS["fail"] = fail
COMMANDS["crash"] = lambda signal: os.kill(os.getpid(), signal)
COMMANDS["sleep"] = lambda: time.sleep(60)
COMMANDS["exit"] = lambda message: (sys.stderr.write("INFO: quiet\\n" + message), os._exit(7))
main()
"""

CRASHED = "crashed (signal 11)" if os.name == "posix" else "ended with exit code 11"


@pytest.fixture(scope="module")
def shared_worker():
    with WorkerProcess([sys.executable, "-c", PROGRAM]) as worker:
        yield worker


def test_one_process_answers_all_requests(shared_worker):
    assert shared_worker.request("pid").value == shared_worker.request("pid").value != os.getpid()


def test_values_and_bytes_go_there_and_back(shared_worker):
    blobs = (b"", b"\n\0", bytes(1 << 20))
    found = shared_worker.request("echo", *blobs, path="ä\n", count=3)
    assert (found.value, found.blobs, found.failure) == ({"path": "ä\n", "count": 3}, blobs[::-1], None)


@pytest.mark.parametrize(
    ("error", "failure"),
    [("ours", "It makes no sense."), ("other", "ValueError: out of range"), ("no", "KeyError: 'no'")],
)
def test_an_exception_is_the_failure_of_one_request(shared_worker, error, failure):
    before = shared_worker.request("pid").value
    assert shared_worker.request("fail", error=error).failure == failure
    assert shared_worker.request("pid").value == before


def test_output_of_an_interpreter_is_not_mistaken_for_an_answer(shared_worker):
    assert shared_worker.request("print").value == 18


@pytest.mark.parametrize(
    ("command", "arguments", "failure"),
    [
        ("crash", {"signal": signal.SIGSEGV}, CRASHED),
        ("exit", {"message": "no memory\n"}, "no memory"),
        ("exit", {"message": ""}, "ended with exit code 7"),
    ],
)
def test_after_the_end_of_a_process_the_next_request_starts_another(shared_worker, command, arguments, failure):
    before = shared_worker.request("pid").value
    assert shared_worker.request(command, **arguments).failure == failure
    assert shared_worker.request("pid").value != before


def test_a_request_that_takes_too_long_is_ended(shared_worker):
    assert shared_worker.request("sleep", timeout=0.1).failure == "gave no answer within 0.1 seconds"
    assert shared_worker.request("pid").failure is None


@pytest.mark.parametrize("line", ["welcome to this machine", "[]", "{}", '{"sizes": [null]}', '{"sizes": 3}'])
def test_something_else_on_the_standard_output_of_a_worker_is_shown(line):
    """Many a sitecustomize.py greets."""
    program = f"import sys; print({line!r}, flush=True); sys.stdin.read()"
    with WorkerProcess([sys.executable, "-c", program]) as worker:
        for _ in range(2):
            found = worker.request("pid", timeout=20)
            assert found.failure == f"gave an answer that is no message ({(line + chr(10)).encode()!r})"


def test_a_program_that_does_not_start_says_why():
    failing = WorkerProcess([sys.executable, "-c", "import no_such_module"])
    assert failing.request("probe", bytes(1 << 20)).failure == "ModuleNotFoundError: No module named 'no_such_module'"


def test_a_worker_ends_with_the_process_that_started_it(tmp_path):
    worker = f"import pathlib\n{PROGRAM}\npathlib.Path({str(tmp_path / 'ended')!r}).touch()"
    program = (
        "import sys; from stepcell.runtime.common.run_worker import WorkerProcess\n"
        f"worker = WorkerProcess([sys.executable, '-c', {worker!r}])\n"
        "print(worker.request('pid').value, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline()
        parent.kill()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not (tmp_path / "ended").exists():
        time.sleep(0.01)
    assert (tmp_path / "ended").exists()


@pytest.fixture(scope="module")
def worker():
    with WorkerProcess() as found:
        yield found


@pytest.mark.parametrize(("backend", "name"), RUNTIMES)
def test_a_worker_replays_measures_and_steps_files(worker, backend, name):
    path = str(DATA / name)
    assert worker.request("replay", model=path, backend=backend).value < 1e-5
    measured = worker.request("measure", model=path, backend=backend).value
    assert measured.keys() == {"golden_error", "us_per_step", "resident_mb", "load_ms"}
    if backend != "native":  # which runs no graph without a manifest
        assert worker.request("open", model=path, backend=backend).failure is None
    model = load(path, backend=backend)
    ids = np.array([3, 0, 1, 2], np.int32)
    found = trace_in_worker(worker, DATA / name, backend, {"carried": RunSpec(Inputs(ids), model.initial_state())})
    np.testing.assert_allclose(found["carried"].probabilities, model.stream().run_ids(ids), atol=1e-6)


@pytest.mark.tflite_runtime
@pytest.mark.tflite_micro
def test_a_worker_without_tensorflow_finds_every_installed_interpreter(worker):
    assert worker.request("probe").value == dict.fromkeys(BACKEND_NAMES)


def test_a_file_that_is_not_there_is_a_failure_with_the_message_of_the_runtime(tmp_path):
    assert "missing.tflite" in run_worker("replay", model=str(tmp_path / "missing.tflite"), backend="numpy").failure
    with WorkerProcess() as worker, pytest.raises(BackendError, match="missing.tflite"):
        trace_in_worker(worker, tmp_path / "missing.tflite", "numpy", {})


# A parent that starts a worker, asks it for something that takes long, and says which process it is.
PARENT = """
import sys
from threading import Thread
from stepcell.runtime.common.run_worker import WorkerProcess
worker = WorkerProcess([sys.executable, "-c", sys.argv[1]])
print(worker.request("pid").value, flush=True)
worker.request("sleep")
"""


@pytest.mark.skipif(not hasattr(os, "getppid") or os.name != "posix", reason="processes have no parents here")
def test_a_worker_ends_in_the_middle_of_a_request_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT, PROGRAM], stdout=subprocess.PIPE) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while is_running(worker):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout
    return not status.startswith("Z") and bool(status)
