"""The pages can be followed: their blocks run in order, each page in a folder of its own, and print what is shown."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer
from support.models import DATA
from support.pages import DOCS, PAGES, ROOT, blocks_of, exchanges, stepcell_commands
from typer.testing import CliRunner

from stepcell.cli import app

RUN = ("python", "sh", "console")
_TRAINS = re.compile(
    r"stepcell (train|search|reproduce|demo|export|evaluate|score-|c )|\bfit\(|\bexport\(|import (keras|tensorflow)"
)
# How many blocks of each page are marked as not run.
NOT_RUN = {
    "README.md": 2,
    "docs/adopt.md": 3,
    "docs/evaluate.md": 2,
    "docs/events.md": 4,
    "docs/export.md": 1,
    "docs/gallery.md": 7,  # docs/make_gallery.py runs them
    "docs/microcontroller.md": 1,
    "docs/notebooks.md": 1,
    "docs/raspberry-pi.md": 4,
    "docs/predict.md": 1,
    "docs/serve.md": 2,
    "docs/spark.md": 3,
    "docs/step.md": 1,
    "docs/train.md": 6,
    "docs/your-own-keras-model.md": 2,
}
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run_blocks(page: Path):
    return [block for block in blocks_of(page) if block.language in RUN and block.mark != "not run"]


def followed():
    """The pages with something to run; those that train or export are slow."""
    for page in PAGES:
        blocks = run_blocks(page)
        if blocks:
            slow = [pytest.mark.slow] if any(_TRAINS.search(block.code) for block in blocks) else []
            yield pytest.param(page, id=name_of(page), marks=slow)


@pytest.fixture
def folder(tmp_path, request, monkeypatch):
    """What a reader has who comes from `make demo`: a run, its files, and `stepcell` on the path."""
    if request.node.get_closest_marker("slow"):
        shutil.copytree(request.getfixturevalue("memory_run"), tmp_path / "runs/memory")
    (tmp_path / "build/memory").mkdir(parents=True)
    for suffix in ("tflite", "onnx"):
        shutil.copy(DATA / f"memory.{suffix}", tmp_path / f"build/memory/model.{suffix}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    return tmp_path


@pytest.mark.parametrize("page", list(followed()))
def test_a_page_can_be_followed(page, folder):
    names = {"__name__": "__main__"}
    for block in run_blocks(page):
        place = f"{name_of(page)}, line {block.line}"
        if block.language == "python":
            printed = run_python(block.code, names, place)
            wanted = block.shown if block.shown is not None else printed_by_comments(block.code)
            if wanted is not None:
                assert_same(printed, wanted, place, block.mark)
            continue
        for command, shown in exchanges(block):
            printed = run_command(command, place)
            if block.language == "console":
                assert_same(printed, shown, f"{place}: {command}", block.mark)


def run_python(code, names, place):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, place, "exec"), names)
    return printed.getvalue()


def printed_by_comments(code):
    """What `print(...)  # this` promises; None where nothing is promised."""
    prints = re.findall(r"^ *print\(.*?\)(?:  # (.*))?$", code, re.MULTILINE)
    return "".join(f"{comment}\n" for comment in prints) if any(prints) else None


def run_command(command, place):
    words = shlex.split(command.replace("\\\n", " "))
    if words[0] == "stepcell" and not set("|<>;&$\n") & set(command.replace("\\\n", "")):  # no work for a shell
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, f"{place}: {command}\n{result.output}{result.exception}"
        return result.output
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{place}: {command}\n{done.stdout}"
    return done.stdout


def assert_same(printed, shown, place, mark):
    """Compare texts; numbers may be off by one in the last digit that is shown, or be any where the mark says so."""
    if mark == "output differs":
        return
    assert words_of(printed) == words_of(shown), f"{place} prints\n{printed}"
    if mark == "numbers differ":
        return
    for found, wanted in zip(_NUMBER.findall(printed), _NUMBER.findall(shown), strict=True):
        digits = len(wanted.partition(".")[2].partition("e")[0])
        exponent = int(wanted.partition("e")[2] or 0)
        off = abs(float(found.replace(",", "")) - float(wanted.replace(",", "")))
        allowed = 1.01 * 10.0 ** (exponent - digits) if digits else 0
        assert off <= allowed, f"{place} prints {found} where the page shows {wanted}\n{printed}"


def words_of(text):
    """The text without its numbers and processor, and columns one blank apart, because numbers decide their widths."""
    text = text.replace(platform.machine(), "x86_64")
    return [re.sub(r" +", " ", _NUMBER.sub("#", line)).strip() for line in text.strip().splitlines()]


def test_blocks_that_are_not_run_are_few_and_say_why():
    marked = [(name_of(page), block) for page in PAGES for block in blocks_of(page) if block.mark == "not run"]
    assert all(len(block.reason) > 10 for _, block in marked)
    assert Counter(page for page, _ in marked) == NOT_RUN


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_on_a_page_can_be_typed(page):
    """Also the ones that are not run: a command or option that is not there is a usage error."""
    command = typer.main.get_command(app)
    for block in blocks_of(page):
        if block.language not in ("sh", "console"):
            continue
        for arguments in stepcell_commands(block):
            parse(command, arguments)


def parse(command, arguments):
    """Take the arguments as the command would, down to the last sub-command, and run nothing."""
    context, rest = None, list(arguments)
    while rest and rest[0] in getattr(command, "commands", {}):
        context = type(command).context_class(command, info_name=command.name, parent=context)
        command = command.commands[rest.pop(0)]
    command.make_context(command.name or "stepcell", rest, parent=context)


def test_every_page_is_in_the_contents():
    index = (DOCS / "index.md").read_text()
    listed = re.findall(r"^([\w/-]+)$", "\n".join(re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)), re.M)
    pages = [str(page.relative_to(DOCS).with_suffix("")) for page in PAGES[1:]]
    assert sorted([*listed, "index"]) == sorted(pages)
