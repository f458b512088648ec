"""What the README says is true."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from models import DATA
from pages import DOCS
from pages import README as README_FILE

from stepcell.runtime import read_model_file

README = README_FILE.read_text()


def test_every_entry_of_the_manifest_is_explained():
    section = README.split("## The model file")[1].split("\n## ")[0]
    manifest = read_model_file(DATA / "memory.tflite").manifest.to_json()
    missing = [key for key in [*manifest, *manifest["state"][0], *manifest["golden"]] if f"`{key}`" not in section]
    assert missing == []


def test_every_extra_stands_in_the_table():
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    extras = re.findall(
        r"^(\w+) = \[", project.split("[project.optional-dependencies]")[1].split("[project.scripts]")[0], re.M
    )
    assert len(extras) >= 7
    assert [extra for extra in extras if f"`stepcell[{extra}]`" not in README] == []


def test_every_make_target_that_the_readme_names_exists():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    targets = set(re.findall(r"`?make (\w+)", README))
    assert {"demo", "test", "lint", "smoke", "docs", "bench"} <= targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.M)] == []


@pytest.mark.parametrize("room", ["runtime", "runtime.evaluation", "export", "train"])
def test_everything_public_stands_in_the_reference(room):
    page = (DOCS / "api" / f"{room.partition('.')[0]}.md").read_text()
    listed = [
        name
        for module, names in re.findall(r"currentmodule:: stepcell\.([\w.]+)\n(.*?)```", page, re.DOTALL)
        if module == room
        for name in re.findall(r"^\.\. auto\w+:: (\w+)$", names, re.M)
    ]
    assert sorted(listed) == sorted(importlib.import_module(f"stepcell.{room}").__all__)
