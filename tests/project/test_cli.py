"""The command line, as a person types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.models import DATA
from typer.testing import CliRunner

from stepcell.cli import app

ROOT = Path(__file__).parents[2]
TFLITE = str(DATA / "memory.tflite")


def stepcell(*arguments, input=None, **options):
    """Run the command in a process of its own, as it is installed."""
    command = [str(Path(sys.executable).with_name("stepcell")), *map(str, arguments)]
    return subprocess.run(command, input=input, capture_output=True, encoding="utf-8", check=False, **options)


def commands(app=app):
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    names = [c.name or c.callback.__name__ for c in app.registered_commands]
    return [(name,) for name in names] + [(name, *sub) for name, group in groups.items() for sub in commands(group)]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help_and_stands_in_the_readme_or_on_the_page_of_its_kind(command):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.split("Options")[0].strip().splitlines()) >= 3  # usage and a sentence
    page = "README.md" if len(command) == 1 else f"docs/{command[0]}.md"
    assert f"stepcell {' '.join(command)}" in (ROOT / page).read_text()


@pytest.mark.parametrize("file", ["memory.tflite", "memory.onnx"])
def test_predict_answers_each_line_with_one_line(file):
    result = stepcell("predict", DATA / file, input="4\n0\n1\n2\n")
    assert (result.returncode, result.stdout) == (0, "0\n1\n2\n4\n")


def test_predict_prints_json_on_request():
    result = stepcell("predict", TFLITE, "--json", "--top", "2", input="3\n0\n1\n2\n")
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["input"], last["symbol"], len(last["top"])) == ("2", "3", 2)
    assert last["top"][0] == {"symbol": "3", "probability": last["probability"]}
    assert last["probability"] > 0.9


def test_predict_prints_the_most_likely_symbols_with_their_probabilities():
    first = stepcell("predict", TFLITE, "--top", "3", input="3\n").stdout.split("\t")
    assert len(first) == 3
    assert first[0].startswith("0 0.9")


def test_predict_answers_before_the_next_line_arrives():
    command = [str(Path(sys.executable).with_name("stepcell")), "predict", TFLITE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        for symbol, answer in zip("3012", "0123", strict=True):
            process.stdin.write(symbol + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == answer + "\n"
        process.stdin.close()
        assert process.wait() == 0


def test_predict_keeps_what_it_answered_before_an_unknown_symbol():
    result = stepcell("predict", TFLITE, input="3\n0\nx\n1\n")
    assert (result.returncode, result.stdout) == (1, "0\n1\n")
    assert result.stderr.startswith("Line 3: Symbol 'x' is not in the vocabulary of memory.tflite (5 symbols")
    assert "Traceback" not in result.stderr


def test_predict_ends_quietly_when_its_reader_does():
    with subprocess.Popen(
        f"yes 3 | {Path(sys.executable).with_name('stepcell')} predict {TFLITE} | head -n 2",
        shell=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        stdout, stderr = process.communicate()
    assert stdout.splitlines()[0] == "0"
    assert len(stdout.splitlines()) == 2
    assert "Error" not in stderr


def test_inspect_verifies_the_file_and_needs_no_interpreter():
    result = CliRunner().invoke(app, ["inspect", TFLITE])
    assert result.exit_code == 0
    for part in ("memory", "lstm 20", "h0 (1, 20) -> next_h0", "5 symbols", "float32"):
        assert part in result.output
    manifest = json.loads(CliRunner().invoke(app, ["inspect", str(DATA / "memory.onnx"), "--json"]).output)
    assert manifest["format"] == 1
    assert manifest["requires"] == {"opset": 17, "ir_version": 8}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "none.tflite"], "There is no file none.tflite"),
        (["inspect", str(ROOT / "README.md")], "neither a TFLite nor an ONNX file"),
        (["export", "nowhere", "--out", "build"], "There is no Keras model at nowhere"),
        (["check", TFLITE, "--keras", "nowhere.keras"], "There is no Keras model at nowhere.keras"),
        (["train", "text", "/dev/null", "--out", "run"], "/dev/null is empty"),
        (["train", "echo", "--lag", "-1", "--out", "run"], "cannot be echoed"),
        (["train", "memory", "--units", "0", "--out", "run"], "units is 0"),
        (["train", "memory", "--out", "/dev/null/run"], "Cannot write to the folder"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else None,
)
def test_what_is_refused_is_one_message_without_a_traceback(arguments, message, tmp_path):
    result = stepcell(*arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "memory"], "--out"),
        (["predict"], "file"),
        (["train", "memory", "--cell", "x", "--out", "y"], "'x' is not one of"),
        (["x"], "No such command"),
        (["predict", TFLITE, "--backend", "onnxruntime"], "does not step .tflite files"),
        (["score", TFLITE, TFLITE, "--backend", "lite"], "'lite' does not step .tflite files; these do: 'litert'"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, message):
    result = stepcell(*arguments)
    assert result.returncode == 2
    assert message in result.stderr


def test_too_little_memory_is_one_line(monkeypatch):
    class ResourceExhaustedError(Exception):
        """As TensorFlow calls its own."""

    for error in (MemoryError(), ResourceExhaustedError("OOM when allocating a tensor")):

        def exhaust(package, error=error):
            raise error

        monkeypatch.setattr("stepcell.runtime.common.terminal.import_silently", exhaust)
        result = CliRunner().invoke(app, ["train", "memory", "--out", "run"])
        assert result.exit_code == 1
        assert result.stderr.startswith("This machine has not enough memory")


def test_a_full_disk_ends_training_with_one_line(tmp_path):
    code = (
        "import resource, sys; from stepcell.cli import app\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); app(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "train", "memory", "--cell", "rnn", "--max-updates", "1", "--out", "run"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("Cannot write ")
    assert len(result.stderr.splitlines()) == 1
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.json"}  # no part of a file


def test_the_whole_path_works_from_training_to_a_prediction(tmp_path):
    trained = stepcell("train", "memory", "--out", "runs/memory", "--seed", "7", "--json", cwd=tmp_path)
    assert json.loads(trained.stdout)["stopped"] == "solved"
    exported = stepcell("export", "runs/memory", "--out", "build/memory", "--steps", "500", cwd=tmp_path)
    assert "build/memory/model.tflite" in exported.stdout
    assert exported.stderr == ""
    checked = stepcell(
        "check",
        "build/memory/model.tflite",
        "--keras",
        "runs/memory/model.keras",
        "--steps",
        "500",
        "--json",
        cwd=tmp_path,
    )
    assert {entry["backend"] for entry in json.loads(checked.stdout)} == {"litert", "tflite"}
    for file in ("model.tflite", "model.onnx"):
        answers = stepcell("predict", f"build/memory/{file}", input="3\n0\n1\n2\n", cwd=tmp_path)
        assert answers.stdout == "0\n1\n2\n3\n"


def test_own_sequences_can_be_learned(tmp_path):
    arguments = ["--sequence", "tea, milk, cup", "--sequence", "coffee, milk, mug", "--out", tmp_path / "run"]
    assert stepcell("train", "memory", *arguments).returncode == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["vocabulary"] == ["coffee", "cup", "milk", "mug", "tea"]


def test_ctrl_c_during_training_keeps_what_was_learned(tmp_path):
    import signal
    import time

    command = [str(Path(sys.executable).with_name("stepcell")), "train", "echo", "--units", "4", "--out", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)  # it is written once something has been learned
        assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped (interrupted)" in stdout
    assert json.loads((tmp_path / "run" / "run.json").read_text())["stopped"] == "interrupted"
    assert (tmp_path / "run" / "model.keras").exists()


def test_predict_says_which_line_is_not_utf_8():
    command = [str(Path(sys.executable).with_name("stepcell")), "predict", TFLITE]
    result = subprocess.run(command, input=b"3\n\xff\n", capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (1, b"0\n")
    assert result.stderr == b"Line 2 is not UTF-8: byte 1 is 0xff.\n"


@pytest.mark.parametrize("redirection", ["<&-", ">/dev/full", ">&-"])
def test_closed_and_full_pipes_give_no_traceback(redirection):
    command = f"printf '3\\n' | {Path(sys.executable).with_name('stepcell')} predict {TFLITE} {redirection}"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr


def test_predict_answers_with_stderr_closed():
    command = f"printf '3\\n' | {Path(sys.executable).with_name('stepcell')} predict {TFLITE} 2>&-"
    assert subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stdout == "0\n"


def test_the_version_is_printed():
    import stepcell as package

    assert stepcell("--version").stdout == f"stepcell {package.__version__}\n"


def test_ctrl_c_before_anything_is_learned_writes_nothing(tmp_path):
    code = (
        "import sys; from stepcell.train import engine\n"
        "def learn_block(self): raise KeyboardInterrupt\n"
        "engine._Training.learn_block = learn_block\n"
        "from stepcell.cli import app; app(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "train", "memory", "--out", "run"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 130
    assert "Nothing was written" in result.stderr
    assert not list((tmp_path / "run").iterdir())
