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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_while_it_waits_saves_everything_that_was_answered(tmp_path, number, code):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text("4\n0\n1")
    with start("--state", path, "--save-interval", 60, "--input", log, "--follow") as process:
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
