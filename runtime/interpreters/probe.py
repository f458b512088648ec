"""Which backends work on this machine, found out by loading a tiny model."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..common.errors import StepcellError
from ..format.model_file import read_model_file
from .golden import replay_golden
from .registry import BACKEND_FORMATS, MICRO, backends_for, open_backend


def probe_file(format: str) -> Path:
    """Return the tiny model for a format of `BACKEND_FORMATS`."""
    return Path(__file__).with_name(f"probe.{format}.tflite" if format == MICRO else f"probe.{format}")


@lru_cache
def probe_backends() -> dict[str, str | None]:
    """Find out which backends really work here: name -> None, or why not.

    Importing proves nothing (tflite-runtime imports with numpy 2 and then cannot build an interpreter), so each one
    loads a tiny model and must give its known answers.
    """
    found: dict[str, str | None] = {}
    for name, formats in BACKEND_FORMATS.items():
        try:
            for format in formats:
                file = read_model_file(probe_file(format))
                replay_golden(open_backend(name, file), file, name)
            found[name] = None
        except StepcellError as error:
            found[name] = str(error)
    return found


def usable_backends(format: str) -> tuple[str, ...]:
    """Return the names of the backends for `format` that work on this machine, in this process."""
    return tuple(name for name in backends_for(format) if probe_backends()[name] is None)
