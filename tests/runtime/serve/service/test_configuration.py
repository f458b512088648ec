"""A service is configured by a file, whose keys are the options; the command line wins."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import typer
from support.command_line import stepcell
from support.models import DATA

from stepcell.cli import app
from stepcell.runtime.common.errors import InputError, MissingPackageError, OptionError
from stepcell.runtime.serve.service import configuration
from stepcell.runtime.serve.service.configuration import read_options
from stepcell.runtime.serve.service.options import ServeOptions

NOT_IN_A_FILE = {"help", "config", "check"}
LEAST = 'model = "m.tflite"\nstore = "state.db"\n'


@pytest.fixture
def file(tmp_path):
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc/serve.toml"


def test_every_option_of_the_command_is_one_of_a_file_and_has_the_same_default():
    group = typer.main.get_command(app)
    command = group.get_command(typer.Context(group), "serve")
    parameters = {one.name: one for one in command.params if one.name not in NOT_IN_A_FILE}
    options = {field.name: field.default for field in fields(ServeOptions)}
    assert set(parameters) == set(options)
    for name, default in options.items():
        if default is not MISSING:
            assert (parameters[name].default or None) == (default or None), name


def test_a_file_has_the_names_of_options_and_paths_relative_to_its_folder(file, monkeypatch):
    monkeypatch.setenv("HOME", "/home/pi")
    file.write_text(
        LEAST + 'file = ["a.jsonl", "/var/b.jsonl"]\nfollow = true\nout = "~/out.jsonl"\non-gap = "reset"\ntop = 3\n'
        'commit-interval = 1\nalert-below = 0.25\nstream-field = "machine"\n'
    )
    found, folder = read_options(file, {}), file.parent
    assert (found.model, found.store) == (folder / "m.tflite", folder / "state.db")
    assert found.file == (folder / "a.jsonl", Path("/var/b.jsonl"))
    assert (found.follow, found.out, found.on_gap, found.top) == (True, Path("/home/pi/out.jsonl"), "reset", 3)
    assert (found.commit_interval, type(found.commit_interval), found.alert_below) == (1.0, float, 0.25)
    assert (found.stream_field, found.unknown) == ("machine", None)


def test_one_file_of_records_needs_no_list(file):
    file.write_text(LEAST + 'file = "a.jsonl"\n')
    assert read_options(file, {}).file == (file.parent / "a.jsonl",)


def test_the_command_line_wins(file):
    file.write_text(LEAST + "top = 3\n")
    found = read_options(file, {"top": 1, "store": Path("other.db")})
    assert (found.top, found.store, found.model) == (1, Path("other.db"), file.parent / "m.tflite")


def test_all_problems_of_a_file_are_named_at_once(file):
    file.write_text(
        'modle = "m"\non_gap = "reset"\ntop = "2"\nfollow = 1\nunknown = "jump"\nfile = [1]\nmax-streams = true\n'
        "mqtt = { host = 1 }\nstore = 7\ncommit-interval = 2024-01-01\nzzz = 1\n"
    )
    with pytest.raises(OptionError) as caught:
        read_options(file, {})
    for problem in (
        "there is no option 'modle', did you mean 'model'?", "there is no option 'on_gap', did you mean 'on-gap'?",
        "'top' is '2' and has to be an integer", "'follow' is 1 and has to be true or false",
        "'unknown' is 'jump' and has to be \"stop\" or \"skip\" or \"use\"",
        "'file' is [1] and has to be a text or a list of texts", "'max-streams' is true and has to be an integer",
        "'mqtt' is {'host': 1} and has to be a text", "'store' is 7 and has to be the text of a path",
        "'commit-interval' is datetime.date(2024, 1, 1) and has to be a number", "there is no option 'zzz'",
        "'model' is missing", "'store' is missing",
    ):  # fmt: skip
        assert problem in str(caught.value)


@pytest.mark.parametrize("content", [b"top =", b"top = 1\ntop = 2", b"\xff = 1"])
def test_a_file_that_is_not_toml_is_refused(file, content):
    file.write_bytes(content)
    with pytest.raises(OptionError, match=r"serve.toml is not TOML: "):
        read_options(file, {})


def test_a_file_that_is_not_there_is_refused(file):
    with pytest.raises(InputError, match=r"Cannot read .*serve.toml: No such file"):
        read_options(file, {})


def test_without_a_file_model_and_store_are_asked_for():
    with pytest.raises(OptionError, match="Missing is MODEL and --store FILE; or --config FILE"):
        read_options(None, {})
    with pytest.raises(OptionError, match="Missing is --store FILE;"):
        read_options(None, {"model": Path("m.tflite")})


def test_where_python_has_no_toml_the_extra_is_named(file, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(configuration, "import_module", missing)
    with pytest.raises(MissingPackageError, match=r"pip install 'stepcell\[serve\]'"):
        read_options(file, {})


def test_a_service_runs_by_its_file(file):
    folder = file.parent
    (folder / "m.tflite").write_bytes((DATA / "memory.tflite").read_bytes())
    (folder / "in.jsonl").write_text("3\n")
    file.write_text(LEAST + 'file = "in.jsonl"\nout = "out.jsonl"\ntop = 2\nbackend = "numpy"\n')
    result = stepcell("serve", "--config", file)
    assert result.exit_code == 0, result.stderr
    assert len(json.loads((folder / "out.jsonl").read_text())["top"]) == 2
    with (folder / "in.jsonl").open("a") as more:
        more.write("0\n")
    stepcell("serve", "--config", file, "--top", "1")
    assert "top" not in json.loads((folder / "out.jsonl").read_text().splitlines()[-1])
    file.write_text("topp = 2")
    result = stepcell("serve", "--config", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'top'?" in result.stderr
