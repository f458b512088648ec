"""The unit of systemd is hardened, and the guide that installs it leads to a service that starts and goes on."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.imports import ROOT
from support.models import DATA
from support.mosquitto import free_port
from support.pages import DOCS, blocks_of
from support.wheel import build_wheel

from stepcell.runtime.serve.service.configuration import read_options

UNIT, CONFIGURATION = ROOT / "examples/systemd/stepcell.service", ROOT / "examples/systemd/serve.toml"
EXPOSURE = 1.5  # of 10, by systemd-analyze security; 1.2 on 30 November 2026


def settings_of(unit):
    """The settings of a unit: name -> values, in order."""
    found = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_says_when_it_is_ready_is_watched_and_writes_one_folder():
    found = settings_of(UNIT)
    assert found["Type"] == ["notify"]
    assert int(found["WatchdogSec"][0]) >= 30
    assert (found["DynamicUser"], found["StateDirectory"], found["ProtectSystem"]) == (
        ["yes"],
        ["stepcell"],
        ["strict"],
    )
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateDevices", "MemoryDenyWriteExecute", "RestrictNamespaces"):
        assert found[name] == ["yes"], name
    assert found["CapabilityBoundingSet"] == [""]
    assert "MemoryMax" in found
    assert found["ExecStart"] == ["/opt/stepcell/bin/stepcell serve --config /etc/stepcell/serve.toml"]
    assert (found["Restart"], found["RestartPreventExitStatus"]) == (["on-failure"], ["2"])  # 2: wrong options


def test_systemd_knows_all_that_the_unit_says(tmp_path):
    """Where there is systemd; it need not run."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:  # what can be said without it is said above
        return
    unit = tmp_path / "stepcell.service"
    unit.write_text(UNIT.read_text().replace("/opt/stepcell/bin/stepcell", sys.executable))
    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run([analyze, "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True)
    assert float(re.search(r"Overall exposure level for stepcell.service: ([\d.]+)", rated.stdout)[1]) <= EXPOSURE


def test_the_configuration_of_the_example_is_one_with_and_without_what_is_commented_out(tmp_path):
    text = CONFIGURATION.read_text()
    (tmp_path / "serve.toml").write_text(text)
    found = read_options(tmp_path / "serve.toml", {})
    assert (found.model, found.store) == (tmp_path / "model.tflite", Path("/var/lib/stepcell/state.db"))
    assert (found.http, found.mqtt, found.forget_after_seconds) == ("127.0.0.1:8080", None, 90 * 86_400)
    (tmp_path / "serve.toml").write_text(re.sub(r"^#(?=[a-z-]+ = )", "", text, flags=re.MULTILINE))
    assert read_options(tmp_path / "serve.toml", {}).mqtt_in == "machines/{stream}/events"


@pytest.fixture
def root(tmp_path):
    """A folder in place of /: a checkout, `sudo` that only calls, and `systemctl` that takes notes."""
    for name, content in (("sudo", 'exec "$@"'), ("systemctl", f'echo "$@" >> {tmp_path}/systemctl')):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/sh\n{content}\n")
        command.chmod(0o755)
    shutil.copytree(UNIT.parent, tmp_path / "checkout/examples/systemd")
    (tmp_path / "checkout/build/memory").mkdir(parents=True)
    shutil.copy(DATA / "memory.tflite", tmp_path / "checkout/build/memory/model.tflite")
    for folder in ("opt", "etc/systemd/system", "var/lib/stepcell"):  # the last one is made by systemd
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def below(root, text):
    """Commands or a file with its paths below `root` in place of /."""
    return re.sub(r"(?<![\w.])/(?=(opt|etc|var)/)", f"{root}/", text)


def follow_the_guide(root, python):
    """Run the commands of the guide. The packages that a network would bring are those of this Python."""
    (code,) = (
        block.code for block in blocks_of(DOCS / "raspberry-pi.md") if "systemctl enable --now stepcell" in block.code
    )
    wheel = build_wheel(root / "wheel")
    installation = "sudo /opt/stepcell/bin/pip install '.[tflite,serve]'\n"
    assert installation in code
    code = code.replace("sudo python3 -m venv", f"sudo {python} -m venv")
    code = code.replace("'.[tflite,serve]'", f"--quiet --no-deps --no-index {wheel}")
    *commands, check = below(root, code).strip().split("\n")
    environment = {**os.environ, "PATH": f"{root}/bin:{os.environ['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    subprocess.run("\n".join(commands), shell=True, check=True, cwd=root / "checkout", env=environment)
    (packages,) = (root / "opt/stepcell/lib").glob("python3.*/site-packages")
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")) + "\n")
    return check, environment


@contextmanager
def started(root, environment):
    """The service as systemd starts it: the line of the unit, its folder, and a socket to say that it is ready."""
    unit = settings_of(root / "etc/systemd/system/stepcell.service")
    command = shlex.split(below(root, unit["ExecStart"][0]))
    more = {"NOTIFY_SOCKET": f"{root}/notify", "WATCHDOG_USEC": f"{unit['WatchdogSec'][0]}000000"}
    (root / "notify").unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"{root}/notify")
        systemd.settimeout(60)
        folder = below(root, unit["WorkingDirectory"][0])
        with subprocess.Popen(command, cwd=folder, env={**environment, **more}, stderr=subprocess.PIPE) as process:
            try:
                said = systemd.recv(4096)
                assert said.startswith(b"READY=1\n"), said
                yield process
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=30)
                assert process.returncode == -signal.SIGTERM  # for systemd the right end
                systemd.setblocking(False)
                rest = b""
                while b"STOPPING=1" not in rest:
                    rest = systemd.recv(4096)
            finally:
                process.kill()


def step(port, record):
    address = f"http://127.0.0.1:{port}/v1/streams/press/step"
    request = urllib.request.Request(address, json.dumps(record).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.mark.slow
def test_the_guide_for_the_raspberry_pi_leads_to_a_service_that_goes_on_after_a_restart(root):
    check, environment = follow_the_guide(root, sys.executable)
    assert (root / "systemctl").read_text().splitlines() == ["daemon-reload", "enable --now stepcell"]
    port = free_port()
    configuration = root / "etc/stepcell/serve.toml"
    configuration.write_text(below(root, configuration.read_text()).replace("8080", str(port)))
    with started(root, environment):
        assert [step(port, {"seq": seq, "symbol": symbol})["symbol"] for seq, symbol in enumerate("40")] == ["0", "1"]
        looked = subprocess.run(check, shell=True, capture_output=True, text=True, env=environment)
        assert (looked.returncode, " wrong " in looked.stdout) == (0, False), looked.stdout
        assert "in use by a running service" in looked.stdout
    with started(root, environment):
        assert [step(port, {"seq": 2, "symbol": "1"})["symbol"], step(port, {"seq": 3, "symbol": "2"})["symbol"]] == [
            "2",
            "4",
        ]
    assert sorted(file.name for file in (root / "var/lib/stepcell").iterdir()) == [".state.db.lock", "state.db"]
