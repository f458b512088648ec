"""What an interpreter makes of a file on this machine: is it right, and how fast is it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from .backend import open_backend
from .golden import replay_golden
from .model import Model
from .model_file import read_model_file
from .seat import Seat

_ROUNDS = 7
_STEPS = 200  # a round
_SECONDS = 2.0  # of all rounds, about: a slow machine does fewer


def measure(path: Path, backend_name: str) -> dict[str, Any]:
    """Load the file at `path`, replay its golden sequence, and time its steps.

    Returns:
        `golden_error`: the largest difference of a probability from the recorded ones, None without a golden sequence;
        `us_per_step`: microseconds of one `Stream.step`, the lowest of several rounds.

    Raises:
        StepcellError: As `load` does.
    """
    file = read_model_file(path)
    backend = open_backend(backend_name, file)
    error = replay_golden(backend, file, backend_name)
    stream = Model(Seat(backend, backend_name, file)).stream()
    symbols = file.manifest.vocabulary.symbols
    chosen = [symbols[id] for id in np.random.default_rng(0).integers(0, len(symbols), _STEPS)]
    best = float("inf")
    deadline = time.perf_counter() + _SECONDS
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        for count, symbol in enumerate(chosen, start=1):
            stream.step(symbol)
            if count % 10 == 0 and time.perf_counter() > deadline:
                break
        best = min(best, (time.perf_counter() - start) / count)
        if time.perf_counter() > deadline:
            break
    return {
        "golden_error": None if file.manifest.golden is None else float(f"{error:.2g}"),
        "us_per_step": round(best * 1e6, 2),
    }
