"""What the README says is true."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re

import pytest
import tomllib
from support.models import DATA
from support.pages import DOCS, PAGES, ROOT, blocks_of
from support.pages import README as README_FILE

from stepcell.export.ops import ACTIVATIONS, Ops
from stepcell.runtime import read_model_file

README = README_FILE.read_text()
LINKED = [*PAGES[1:], *ROOT.glob("[A-Z]*.md"), ROOT / "examples/README.md"]


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


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("room", ["runtime", "runtime.evaluation", "runtime.spark", "export", "train"])
def test_everything_public_stands_in_the_reference(room, reference):
    page = (DOCS / "api" / f"{room.partition('.')[0]}.md").read_text()
    listed = [name for module, name in reference.listed(page) if module == room]
    assert sorted(listed) == sorted(importlib.import_module(f"stepcell.{room}").__all__)


def test_the_signatures_of_the_reference_are_those_of_the_code(reference):
    old = [page.name for page in reference.PAGES if page.read_text() != reference.page_text(page.read_text())]
    assert old == [], "run: python docs/make_reference.py"


def test_the_site_shows_the_whole_docstrings_of_the_reference(reference):
    page = reference.with_directives((DOCS / "api/runtime.md").read_text())
    assert ".. autoclass:: Stream\n" in page
    assert ".. autoexception:: UnknownSymbolError\n   :show-inheritance:\n" in page
    assert "names of" not in page


def test_the_table_of_operations_is_that_of_step_rules():
    page = (DOCS / "your-own-keras-model.md").read_text()
    table = page.partition("<!-- operations of a step rule -->")[2].partition("<!-- end")[0]
    shown = {name: arguments.split(", ") for name, arguments in re.findall(r"`a\.(\w+)\((.*?)\)`", table)}
    methods = {name: method for name, method in vars(Ops).items() if not name.startswith("_")}
    assert shown == {name: list(inspect.signature(method).parameters)[1:] for name, method in methods.items()}
    names = re.findall(r'`"(\w+)"`', table)
    assert len(names) >= 6
    assert set(names) <= set(ACTIVATIONS)


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
    assert 6 <= len(shown) <= 12
    assert [name for name in shown if (DOCS / "pictures" / name).stat().st_size > 80_000] == []


def anchors(page):
    """The anchors of the headings of a page, as GitHub and myst make them; of what it includes, too."""
    included = re.findall(r"^```\{include\} (\S+)$", page.read_text(), re.M)
    text = "\n".join([page.read_text(), *((page.parent / name).read_text() for name in included)])
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
