"""The long description of the package: README.md with absolute links. All else stands in pyproject.toml.

README.md has links as a checkout needs them, from file to file. On the page of a package index they lead to the source
of the same version.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
_LINK = re.compile(r"(?<=\]\()(?!\w+:)(#?)([^)\s]+)(?=\))")  # what is in the brackets of [text](...), if no address


def long_description() -> str:
    """Return README.md with absolute links into the source of this version."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    package = (ROOT / "__init__.py").read_text(encoding="utf-8")
    source, version = re.search(r'^Source = "(.+)"', project, re.M), re.search(r'^__version__ = "(.+)"', package, re.M)
    if source is None or version is None:
        raise SystemExit(
            "pyproject.toml names no Source, or __init__.py no __version__: README.md has nothing to link to."
        )
    base = f"{source[1]}/blob/v{version[1]}"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return _LINK.sub(lambda found: f"{base}/{'README.md#' if found[1] else ''}{found[2]}", text)


# The checkout is the package, and this file no part of it: setuptools leaves out the file of this name.
setup(
    script_name="setup.py",
    long_description=long_description(),
    long_description_content_type="text/markdown",
)
