"""A kind of file that benchmarks/fuzz.py damages, beside model files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from stepcell.runtime import load

DATA = Path(__file__).resolve().parent.parent / "tests/data"
MODEL = DATA / "memory.onnx"


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        files: Names of the files in its folder; each trial damages one of them.
        make: Writes them to a folder.
        read: Reads the folder, in which the named file is damaged; raises AssertionError for a wrong reading.
    """

    files: tuple[str, ...]
    make: Callable[[Path], None]
    read: Callable[[Path, str], None]


@cache
def model() -> Any:
    """Return the model that states, stores and thresholds belong to, on numpy alone."""
    return load(MODEL, backend="numpy")
