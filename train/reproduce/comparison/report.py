"""Writes the reproduction as files."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ....runtime.common.atomic_write import atomic_write
from .picture import draw_systems
from .reproduction import Reproduction
from .system import System
from .table import as_markdown

TABLE_FILE, PICTURE_FILE = "reproduction.md", "reproduction.png"


def write_report(folder: Path, reproduction: Reproduction, chosen: Sequence[System]) -> list[Path]:
    """Write the table as Markdown and, with matplotlib, the picture; return the files.

    Raises:
        OutputError: They cannot be written.
    """
    picture = draw_systems(reproduction, chosen)
    page = as_markdown(reproduction, chosen, _machine(), PICTURE_FILE if picture else None)
    contents = {TABLE_FILE: page.encode()}
    if picture is not None:
        contents[PICTURE_FILE] = picture
    for name, content in contents.items():
        atomic_write(folder / name, content)
    return [folder / name for name in contents]


def _machine() -> str:
    """Return what this is measured on, in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    software = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras"))
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, {software}"
