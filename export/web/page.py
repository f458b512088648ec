"""A page that steps a model as one types: one file, which loads nothing from elsewhere."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from ...runtime.format.model_file import ModelFile
from .javascript import javascript_module


def web_page(file: ModelFile) -> str:
    """Return the text of a page with the JavaScript of `file` in it.

    Raises:
        NotSteppableError: There is no JavaScript for something in the file.
    """
    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    # Nothing in the module ends a script: its texts are JSON without "<".
    return template.replace("@TITLE@", escape(file.manifest.name)).replace("@MODULE@", javascript_module(file))
