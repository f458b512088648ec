"""How `make docs` builds the site: Markdown pages, and a reference read from the docstrings and the commands."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import typer
from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation
from typer.cli import get_docs_for_click

import stepcell
from stepcell.cli import app as commands
from stepcell.runtime.common.terminal import import_silently

sys.path.insert(0, str(Path(__file__).parent))
from make_reference import with_directives
from state_picture import state_picture

import_silently("tensorflow")  # before autodoc does, and without its remarks

project, author, copyright = "stepcell", "stepcell", "stepcell, Apache-2.0"
release = version = stepcell.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 3
default_role = "py:obj"  # `load` in a docstring is a link where it names something, and plain code elsewhere
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80  # a parameter on each line of a longer one
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

smartquotes = False  # quotation marks here are those of Python, and two dashes those of options

html_theme = "furo"  # brings its scripts and no fonts: the site is whole without a network
html_static_path, html_css_files = ["static"], ["site.css"]
html_search_scorer = str(Path(__file__).parent / "search_scorer.js")
html_title = f"stepcell {release}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}

_ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")


def add_commands(_: Sphinx, page: str, source: list[str]) -> None:
    """Put what `--help` says of every command behind the first lines of commands.md."""
    if page != "commands":
        return
    command = typer.main.get_command(commands)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="stepcell")
    # Neither the heading again, nor lists of what follows anyway with its help cut short.
    source[0] += "\n" + re.sub(r"^# .*\n|\*\*Commands\*\*:\n\n(?:\* .*\n)+", "", text)


def add_docstrings(_: Sphinx, page: str, source: list[str]) -> None:
    """Put the whole docstrings in place of the lists of signatures, which are there to be read in the checkout."""
    if page.startswith("api/"):
        source[0] = with_directives(source[0])


def shorten_types(*event: object) -> tuple[str | None, str | None]:
    """Name a type of numpy that would be shown as the ten types that it stands for."""
    signature, returned = (text and str(text).replace(_ARRAY_LIKE, "ArrayLike") for text in event[-2:])
    return signature, returned


def add_names(_: Sphinx, page: str, source: list[str]) -> None:
    """Put the everyday names of what a section is about into the index, which the search looks at first."""

    def entries(found: re.Match[str]) -> str:
        names = " ".join(found[1].split()).split(", ")
        return "```{index} " + ", ".join(f"! {name}" for name in names) + "\n```"

    source[0] = re.sub(r"<!-- also called: (.+?) -->", entries, source[0], flags=re.DOTALL)


def add_picture(_: Sphinx, page: str, source: list[str]) -> None:
    """Put the picture of a state into the first page."""
    source[0] = source[0].replace("<!-- state over time -->", state_picture())


def setup(app: Sphinx) -> None:
    """Tell Sphinx of them."""
    app.connect("source-read", add_commands)
    app.connect("source-read", add_docstrings)
    app.connect("source-read", add_names)
    app.connect("autodoc-process-signature", shorten_types)
    app.connect("source-read", add_picture)
