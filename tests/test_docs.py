"""What the README says is true."""

from __future__ import annotations

import re
from pathlib import Path

from models import DATA

from stepcell.runtime import read_model_file

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_of_the_readme_runs_as_it_stands(capsys):
    for block in blocks("python"):
        exec(compile(block.replace("build/memory/model.tflite", str(DATA / "memory.tflite")), "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("3 0.9")


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
    assert {"demo", "test", "lint", "smoke", "bench"} <= targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.M)] == []
