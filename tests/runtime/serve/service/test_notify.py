"""systemd is told how the service is: by datagrams to a real socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from support.command_line import stepcell
from support.models import DATA

from stepcell.runtime.serve.service.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    """A socket as that of systemd, and the address of it as NOTIFY_SOCKET has it."""
    name = f"stepcell-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.settimeout(5)
        address = str(tmp_path / "notify") if request.param == "path" else f"@{name}"
        found.bind(address.replace("@", "\0", 1))
        yield found, address


def received(receiver):
    """All messages that have come, each as its lines."""
    found = []
    receiver.setblocking(False)
    while True:
        try:
            found.append(receiver.recv(4096).decode().split("\n"))
        except BlockingIOError:
            return found


def test_systemd_is_told_when_the_service_is_ready_reloads_and_stops(systemd):
    receiver, address = systemd
    notifier = Notifier({"NOTIFY_SOCKET": address})
    before = time.monotonic_ns() // 1000
    notifier.ready("3 streams")
    notifier.reloading("a new model")
    notifier.ready("3 streams")
    notifier.stopping("SIGTERM")
    ready, reloading, again, stopping = received(receiver)
    assert ready == again == ["READY=1", "STATUS=3 streams"]
    assert reloading[::2] == ["RELOADING=1", "STATUS=a new model"]
    name, _, microseconds = reloading[1].partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(microseconds) <= time.monotonic_ns() // 1000
    assert stopping == ["STOPPING=1", "STATUS=SIGTERM"]


def test_a_status_is_one_line_and_said_when_it_changes(systemd):
    receiver, address = systemd
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready("one")
    for status in ("one", "two", "two", "three\nREADY=1"):
        notifier.status(status)
    assert received(receiver)[1:] == [["STATUS=two"], ["STATUS=three READY=1"]]


def test_the_watchdog_hears_a_loop_at_half_of_its_time(systemd, monkeypatch):
    receiver, address = systemd
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())})
    assert notifier.interval == 1.5
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for seconds in (0.0, 1.4, 0.2, 1.4, 0.1):  # since the call before
        now += seconds
        notifier.beat()
    assert received(receiver) == [["WATCHDOG=1"]] * 3


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"},
                                  {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}])  # fmt: skip
def test_without_a_watchdog_for_this_process_no_beat_is_sent(systemd, more):
    receiver, address = systemd
    notifier = Notifier({"NOTIFY_SOCKET": address, **more})
    assert notifier.interval is None
    notifier.beat()
    assert received(receiver) == []


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative", "/no/such/socket"])
def test_a_service_without_systemd_goes_on(address):
    notifier = Notifier({} if address is None else {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"})
    for call in (notifier.ready, notifier.status, notifier.reloading, notifier.stopping):
        call("a status")
    notifier.beat()
    assert notifier.interval == (1.5 if address == "/no/such/socket" else None)


@contextmanager
def served(address, store, **more):
    """A process that serves, with the environment that systemd gives it."""
    command = [sys.executable, "-m", "stepcell.cli", "serve", DATA / "memory.tflite", "--store", store]
    environment = {**os.environ, "NOTIFY_SOCKET": address, **more}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, "--backend", "numpy"], env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
def test_a_service_is_ready_beats_as_long_as_its_loop_runs_and_says_that_it_stops(systemd, tmp_path):
    receiver, address = systemd
    receiver.settimeout(30)
    with served(address, tmp_path / "state.db", WATCHDOG_USEC="400000") as process:
        assert receiver.recv(4096).decode().split("\n") == ["READY=1", "STATUS=0 records"]
        assert [receiver.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        process.send_signal(signal.SIGSTOP)  # as if the loop hung
        time.sleep(0.3)
        received(receiver)
        time.sleep(0.4)
        assert received(receiver) == []
        process.send_signal(signal.SIGCONT)
        receiver.settimeout(30)
        assert receiver.recv(4096) == b"WATCHDOG=1"
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == -signal.SIGTERM
        assert received(receiver)[-1] == ["STOPPING=1", "STATUS=stopping (0 records)"]


def test_a_service_whose_store_cannot_be_used_is_never_ready(systemd, tmp_path, monkeypatch):
    receiver, address = systemd
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    (tmp_path / "state.db").write_bytes(b"no store" * 100)
    result = stepcell("serve", DATA / "memory.tflite", "--store", tmp_path / "state.db", "--backend", "numpy")
    assert result.exit_code == 1
    assert not any("READY=1" in lines for lines in received(receiver))
