"""What the README says is true."""

from __future__ import annotations

import ast
import importlib
import re

import pytest
import tomllib
from support.models import DATA
from support.pages import DOCS, ROOT, blocks_of
from support.pages import README as README_FILE

from stepcell.runtime import read_model_file

README = README_FILE.read_text()


def test_every_entry_of_the_manifest_is_explained():
    section = README.split("## The model file")[1].split("\n## ")[0]
    manifest = read_model_file(DATA / "memory.tflite").manifest.to_json()
    missing = [key for key in [*manifest, *manifest["state"][0], *manifest["golden"]] if f"`{key}`" not in section]
    assert missing == []


def test_every_extra_stands_in_the_table():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert len(extras) >= 7
    assert [extra for extra in extras if f"`stepcell[{extra}]`" not in README] == []


def test_every_make_target_that_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text()
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


def templates():
    """Every line of every text in the code, as a pattern that takes any value where a value goes in."""
    for path in [ROOT / "cli.py", *(p for room in ("runtime", "export", "train") for p in (ROOT / room).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            if all(is_text(part) or isinstance(part, ast.FormattedValue) for part in parts):
                text = "".join(part.value if is_text(part) else mark(part) for part in parts)
                for line in text.split("\n"):
                    if len(line.replace(ANY, "").replace(QUOTED, "")) >= 15:
                        yield re.compile(re.escape(line).replace(ANY, ".*").replace(QUOTED, r"['\"(\[{\d].*"))


ANY, QUOTED = "\0", "\1"


def is_text(part):
    return isinstance(part, ast.Constant) and isinstance(part.value, str)


def mark(part):
    return QUOTED if part.conversion == ord("r") else ANY


def test_every_message_on_the_page_of_troubles_is_one_that_the_code_has():
    patterns = list(templates())
    blocks = [block.code for block in blocks_of(DOCS / "troubleshooting.md")]
    messages = [re.sub(r"^  - .*?\): ", "", line) for block in blocks for line in block.splitlines()]
    assert len(messages) > 30
    assert [message for message in messages if not any(pattern.fullmatch(message) for pattern in patterns)] == []


def test_every_picture_of_the_gallery_has_its_file_its_source_and_few_bytes():
    page = (DOCS / "gallery.md").read_text()
    shown = re.findall(r"^!\[.+\]\(pictures/([\w.-]+)\)\n<!-- from \S+ -->$", page, re.M)
    assert sorted(shown) == sorted(path.name for path in (DOCS / "pictures").iterdir())
    assert 6 <= len(shown) <= 9
    assert [name for name in shown if (DOCS / "pictures" / name).stat().st_size > 80_000] == []
