"""The command line as a whole: help, completion, exit codes, and the path from training to a prediction."""

from __future__ import annotations

import json
import re
import resource
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from support.command_line import stepcell
from support.keras_models import MEMORY
from support.models import DATA
from typer.testing import CliRunner

import stepcell as package
from stepcell.cli import app
from stepcell.train.commands.train import train_problem

ROOT = Path(__file__).parents[2]
TFLITE = str(DATA / "memory.tflite")


def commands():
    """Every command as the words that call it."""
    group = typer.main.get_command(app)
    context = typer.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return [(name, *sub) for name in found for sub in [(), *((each,) for each in getattr(found[name], "commands", ()))]]


def help_of(*command):
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "400", "TERMINAL_WIDTH": "400"})
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help_an_example_and_a_place_on_a_page(command):
    text = help_of(*command)
    assert f"stepcell {' '.join(command)}" in text.split("Example: ")[1].splitlines()[0]
    page = "README.md" if len(command) == 1 else f"docs/{command[0]}.md"
    assert f"stepcell {' '.join(command)}" in (ROOT / page).read_text()


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_option_is_explained_by_a_sentence(command):
    group = typer.main.get_command(app)
    for name in command:
        group = group.get_command(typer.Context(group), name)
    for one in group.params:
        assert re.fullmatch(r"[A-Z].{8,}[.]", one.help), one.name


def test_the_help_lists_options_in_groups():
    text = help_of("train", "events")
    panels = [text.index(f"─ {panel} ─") for panel in ("Data", "Output", "Network", "Training")]
    assert panels == sorted(panels)
    assert (
        panels[1] < text.index("--json") < panels[2] < text.index("--units") < panels[3] < text.index("--max-updates")
    )


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("stepcell pre", ["predict"]),
        ("stepcell train ev", ["events"]),
        ("stepcell predict --save", ["--save-every", "--save-interval"]),
        ("stepcell train memory --cell ", ["lstm", "gru", "rnn"]),
    ],
)
def test_the_shell_completes_commands_options_and_values(typed, offered):
    word = str(len(typed.split(" ")) - 1)
    env = {"_STEPCELL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": word}
    assert CliRunner().invoke(app, [], env=env, prog_name="stepcell").output.split() == offered


def test_without_typer_the_command_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "stepcell.cli")
    with pytest.raises(SystemExit, match=r"needs the package typer.*pip install 'stepcell\[cli\]'.*stepcell\[tflite\]"):
        import_module("stepcell.cli")


def test_the_version_is_printed():
    assert stepcell("--version").stdout == f"stepcell {package.__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 1, "This machine has not enough memory"),
        (type("ResourceExhaustedError", (Exception,), {})("OOM"), 1, "This machine has not enough memory"),
        (
            ModuleNotFoundError("x", name="tensorflow"),
            1,
            "package tensorflow. Install it: pip install 'stepcell[train]'",
        ),
        (PermissionError(13, "Permission denied", "model.tflite"), 1, "Permission denied: model.tflite"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Abort(), 130, ""),
    ],
    ids=lambda part: type(part).__name__,
)
def test_an_error_is_one_message_and_an_exit_code(error, code, message, tmp_path, monkeypatch):
    def fail(package):
        raise error

    monkeypatch.setattr("stepcell.runtime.common.terminal.import_silently", fail)
    result = stepcell("train", "memory", "--out", tmp_path / "run")
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == bool(message)


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def fail(path):
        raise ZeroDivisionError

    monkeypatch.setattr("stepcell.runtime.read_model_file", fail)
    assert isinstance(stepcell("inspect", TFLITE).exception, ZeroDivisionError)


def test_predict_prints_one_answer_for_each_line():
    for file in ("memory.tflite", "memory.onnx"):
        result = stepcell("predict", DATA / file, input="4\n0\n1\n2\n")
        assert (result.exit_code, result.stdout) == (0, "0\n1\n2\n4\n")
    result = stepcell("predict", TFLITE, "--json", "--top", "2", input="3\n0\n1\n2\n")
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["input"], last["symbol"], len(last["top"])) == ("2", "3", 2)
    assert last["top"][0] == {"symbol": "3", "probability": last["probability"]}
    assert last["probability"] > 0.9
    first = stepcell("predict", TFLITE, "--top", "3", input="3\n").stdout.split("\t")
    assert len(first) == 3
    assert first[0].startswith("0 0.9")


def test_predict_keeps_the_answers_before_a_line_that_is_refused():
    result = stepcell("predict", TFLITE, input="3\n0\nx\n1\n")
    assert (result.exit_code, result.stdout) == (1, "0\n1\n")
    assert result.stderr.startswith("Line 3: Symbol 'x' is not in the vocabulary of memory.tflite (5 symbols")
    result = stepcell("predict", TFLITE, input=b"3\n\xff\n")
    assert (result.exit_code, result.stdout) == (1, "0\n")
    assert result.stderr == "Line 2 is not UTF-8: byte 1 is 0xff.\n"


def test_inspect_shows_the_manifest():
    result = stepcell("inspect", TFLITE)
    assert result.exit_code == 0
    for part in ("memory", "lstm 20", "h0 (1, 20) -> next_h0", "5 symbols", "float32"):
        assert part in result.output
    manifest = json.loads(stepcell("inspect", DATA / "memory.onnx", "--json").output)
    assert manifest["format"] == 1
    assert manifest["requires"] == {"opset": 17, "ir_version": 8}


def test_the_whole_path_works_from_training_to_a_prediction(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = stepcell("train", "memory", "--out", "runs/memory", "--seed", "7", "--json")
    assert json.loads(trained.stdout)["stopped"] == "solved"
    exported = stepcell("export", "runs/memory", "--out", "build/memory", "--steps", "500")
    assert "build/memory/model.tflite" in exported.stdout
    assert exported.stderr == ""
    options = ["--keras", "runs/memory/model.keras", "--steps", "500", "--json"]
    checked = stepcell("check", "build/memory/model.tflite", *options)
    assert {entry["backend"] for entry in json.loads(checked.stdout)} - {"native"} == {"litert", "tflite"}
    for file in ("model.tflite", "model.onnx"):
        answers = stepcell("predict", f"build/memory/{file}", input="3\n0\n1\n2\n")
        assert answers.stdout == "0\n1\n2\n3\n"


def test_sequences_of_the_command_line_can_be_learned(tmp_path):
    arguments = ["--sequence", "tea, milk, cup", "--sequence", "coffee, milk, mug", "--out", tmp_path / "run"]
    assert stepcell("train", "memory", *arguments, "--max-updates", "1").exit_code == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["vocabulary"] == ["coffee", "cup", "milk", "mug", "tea"]


@pytest.mark.slow
def test_the_demo_writes_a_page_with_its_figures_and_opens_it(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)))  # there is no browser
    page = tmp_path / "build" / "demo.html"
    result = stepcell("demo", "--open", "--out", page.parent, "--run", tmp_path / "run", "--steps", "200")
    assert result.exit_code == 0
    assert opened == [page.as_uri()]
    assert f"page written to {page}\nNo browser could be opened here. Open {page} in one." in result.stdout
    parameters = json.loads((tmp_path / "run" / "run.json").read_text())["parameters"]
    assert f'"parameters": {parameters}, ' in page.read_text()


def test_a_full_disk_ends_training_with_one_line(tmp_path):
    arguments = ["train", "memory", "--cell", "rnn", "--max-updates", "1", "--out", tmp_path / "run"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        result = stepcell(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 1
    assert result.stderr.startswith("Cannot write ")
    assert len(result.stderr.splitlines()) == 1
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.json"}  # no part of a file


def test_ctrl_c_before_anything_is_learned_writes_nothing(tmp_path, capsys):
    class Interrupted(type(MEMORY)):
        def batches(self, *arguments):
            raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        train_problem(lambda: Interrupted(MEMORY.sequences), tmp_path / "run")
    assert ended.value.code == 130
    assert "Nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
