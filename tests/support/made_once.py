"""What takes long to make is made once: for all workers of a run and for later runs of the same sources."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".pytest_cache" / "made"
STALE = 86_400  # seconds: what has not been used for longer is removed
SOURCES = ("runtime", "export", "train", "tests/support/keras_models.py", "tests/support/made_once.py")


@cache
def source_hash() -> str:
    """Return what changes with the sources, with TensorFlow and with Python."""
    found = sha256(f"{sys.version} {version('tensorflow')} {version('keras')}".encode())
    for name in SOURCES:
        path = ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` has filled; nothing may be changed in it.

    One process makes it, others wait; it appears whole, or not at all where `make` fails.
    """
    cache = CACHE / source_hash()
    cache.mkdir(parents=True, exist_ok=True)
    os.utime(cache)
    with FileLock(cache / f"{name}.lock"):
        if not (cache / name).exists():
            with tempfile.TemporaryDirectory(dir=cache) as temporary:
                folder = Path(temporary, name)
                folder.mkdir()
                make(folder)
                os.replace(folder, cache / name)
    return cache / name


def remove_stale() -> None:
    """Remove what has not been used for a day: the sources are others now."""
    for folder in CACHE.glob("*"):
        if folder.stat().st_mtime < time.time() - STALE:
            shutil.rmtree(folder, ignore_errors=True)
