"""Measure a model file on an interpreter of this machine: its error, its speed, its memory."""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from ..format.manifest import Manifest
from ..format.model_file import read_model_file
from ..interpreters.golden import replay_golden
from ..interpreters.registry import open_backend
from ..streams.model import load

_ROUNDS, _STEPS = 28, 50  # steps a round
_SECONDS = 2.0  # of all rounds, about: a slow machine does fewer


def measure(path: Path, backend_name: str) -> dict[str, Any]:
    """Load the file at `path`, replay its golden sequence, and time its steps.

    Returns:
        `golden_error`: the largest difference of a probability from the recorded ones, None without a golden sequence;
        `us_per_step`: microseconds of one `Stream.step`, the lowest of several rounds;
        `resident_mb`: memory of the process after its first step, with everything it has imported, MiB; None if the
        system does not say;
        `load_ms`: from opening the file to the first answer, golden sequence included, without imports.

    Raises:
        StepcellError: As `load` does.
    """
    file = read_model_file(path)
    error = replay_golden(open_backend(backend_name, file), file, backend_name)
    static = blank_static(file.manifest)
    stream = load(path, backend=backend_name, golden=False).stream(static=static)
    symbols, features = random_symbols(file.manifest, _STEPS), blank_features(file.manifest)
    stream.step(symbols[0], features)
    memory = _resident_mb()
    start = perf_counter()
    load(path, backend=backend_name).stream(static=static).step(symbols[0], features)
    loading = perf_counter() - start
    seconds: list[float] = []
    deadline = perf_counter() + _SECONDS
    while len(seconds) < _ROUNDS and perf_counter() < deadline:
        start = perf_counter()
        for symbol in symbols:
            stream.step(symbol, features)
        seconds.append(perf_counter() - start)
    return {
        "golden_error": None if file.manifest.golden is None else float(f"{error:.2g}"),
        "us_per_step": round(min(seconds) / _STEPS * 1e6, 2),
        "resident_mb": memory,
        "load_ms": round(loading * 1e3, 2),
    }


def random_symbols(manifest: Manifest, count: int) -> list[str | None]:
    """Return symbols of a model, the same at each call; None for each step of a model that reads none."""
    symbols: tuple[str | None, ...] = manifest.vocabulary.symbols or (None,)
    return [symbols[id] for id in np.random.default_rng(0).integers(0, len(symbols), count)]


def blank_features(manifest: Manifest) -> dict[str, AnyArray] | None:
    """Return zeros for the features of a model; None: it has none."""
    return {feature.name: np.zeros(feature.shape, feature.dtype) for feature in manifest.features} or None


def blank_static(manifest: Manifest) -> dict[str, AnyArray] | None:
    """Return zeros for the static inputs of a model; None: it has none."""
    return {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in manifest.static} or None


def _resident_mb() -> float | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
    except (OSError, ValueError, IndexError):
        return None
