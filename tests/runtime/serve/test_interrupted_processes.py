"""stepcell predict as a process: signals and kill -9 lose nothing that was saved."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.predicting import SYMBOLS, TFLITE, append, expected_answers, on_lines, predict, where, whole_run


def start(*arguments, **options):
    command = [str(Path(sys.executable).with_name("stepcell")), "predict", TFLITE, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **options)


@pytest.mark.parametrize(
    ("number", "code", "follow"), [(signal.SIGINT, 130, False), (signal.SIGTERM, -signal.SIGTERM, True)]
)
def test_a_signal_while_it_waits_saves_everything_that_was_answered(tmp_path, number, code, follow):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text("4\n0\n1")
    options = ["--input", log, "--follow"] if follow else []
    with start("--state", path, "--save-interval", 60, *options, stdin=subprocess.PIPE) as process:
        if not follow:
            process.stdin.write("4\n0\n1")
            process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["0\n", "1\n"]
        process.send_signal(number)
        process.wait(20)
        stdout, stderr = process.stdout.read(), process.stderr.read()
    assert (process.returncode, stdout) == (code, "")
    assert stderr.splitlines()[-1].endswith("memory.state: 2 symbols seen, 2 lines read; saved")
    assert where(path)[""][0] == 2


def test_kill_9_at_any_time_loses_no_save_and_the_next_run_goes_on_from_it(tmp_path):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text(on_lines(SYMBOLS[:60]))
    options = ("--state", path, "--input", log, "--save-every", 7, "--save-interval", 60)
    with start(*options, "--follow") as process:
        assert [process.stdout.readline() for _ in range(60)] == [f"{answer}\n" for answer in expected_answers()[:60]]
        process.kill()
        process.wait(20)
    assert where(path)[""][0] == 56  # all but the last 4
    append(log, on_lines(SYMBOLS[60:]))
    result = predict(*options)
    assert "56 symbols seen" in result.stderr
    assert result.stdout.splitlines() == expected_answers()[56:]
    assert where(path) == where(whole_run(tmp_path))


def test_kill_9_in_the_middle_of_a_save_leaves_the_save_before(tmp_path):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text(on_lines(SYMBOLS))
    code = (
        "import os, sys; real, calls = os.replace, []\n"
        "def replace(*names):\n"
        "    calls.append(names)\n"
        "    if len(calls) == 5: os.kill(os.getpid(), 9)\n"
        "    real(*names)\n"
        "os.replace = replace\n"
        "from stepcell.cli import app; app(sys.argv[1:])"
    )
    options = ["--state", str(path), "--input", str(log), "--save-every", "10", "--save-interval", "60"]
    command = [sys.executable, "-c", code, "predict", TFLITE, *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == -9
    assert where(path)[""][0] == 30  # the first save was of nothing
    assert len(list(tmp_path.glob(".memory.state.*.part"))) == 1
    others = tmp_path / ".memory.state.old.7.part"  # of the file memory.state.old
    others.touch()
    assert predict(*options).stdout.splitlines() == expected_answers()[30:]
    assert list(tmp_path.glob(".memory.state.*.part")) == [others]
    assert where(path) == where(whole_run(tmp_path))
