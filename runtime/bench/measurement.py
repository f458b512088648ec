"""Measure the cost of a step of a model file on this machine, in every variant."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np

from ..common.arrays import AnyArray, Floats
from ..common.errors import StepcellError
from ..common.run_worker import run_worker
from ..streams.model import Model, load
from ..worker.measure import blank_features, blank_static, random_symbols
from .variants import SCORED, Variant, reference_of, variants_of

ROUNDS = 9
_STEPS = 2_000
_COLD = 7  # steps with cold caches for each round
_LONG, _ROUNDS_OF_LONG = 10_000, 2  # a variant that takes so many symbols at a time needs few rounds
_CACHE = 64 * 2**20  # bytes that are read between two steps, to empty the caches


@dataclass(frozen=True)
class Measurement:
    """The cost of the steps of one file on one interpreter.

    Attributes:
        runtime: Interpreter and version.
        microseconds: Variant -> processor time of a symbol: the lowest of several rounds in which all variants take
            turns. Of "until the answer": the lowest median of wall time.
        load_ms: From opening the file to the first answer, golden sequence and verification included.
        first_us: The first step after loading.
        p50_us, p99_us, max_us: Wall time of `Stream.step`, over 2,000 steps.
        cold_us: The median if 64 MiB are read between steps, as at low symbol rates.
        memory_mb: Resident memory of a process that has loaded and stepped the file and nothing else, MiB; None if the
            system does not say.
        notes: Variants that were left out, and why.
    """

    runtime: str
    microseconds: dict[str, float]
    load_ms: float
    first_us: float
    p50_us: float
    p99_us: float
    max_us: float
    cold_us: float
    memory_mb: float | None
    notes: tuple[str, ...] = ()

    def ratio(self, variant: str) -> float | None:
        """Return the figure of `variant` divided by that of its reference, None without one."""
        reference = self.microseconds.get(reference_of(variant))
        return None if reference is None else self.microseconds[variant] / reference


def measure_variants(
    path: str | Path,
    backend: str | None = None,
    *,
    rounds: int = ROUNDS,
    scored: int = SCORED,
    more: Callable[[Model], Sequence[Variant]] = lambda model: (),
    progress: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """Measure the file at `path`.

    Args:
        path: A model file.
        backend: Name of the interpreter; None: the first that takes it.
        rounds: How often each variant is measured.
        scored: How many symbols are scored at a time.
        more: Returns further variants, of other libraries, that take turns with ours.
        progress: Called with a description of each stage.

    Raises:
        StepcellError: As `load` does.
    """
    begin = time.perf_counter_ns()
    model = load(path, backend=backend)
    static = blank_static(model.manifest)
    model = model if static is None else model.with_static(static)
    stream = model.stream()
    symbols, features = random_symbols(model.manifest, _STEPS), blank_features(model.manifest)
    start = time.perf_counter_ns()
    stream.step(symbols[0], features)
    end = time.perf_counter_ns()
    warm = _each_step(lambda symbol: stream.step(symbol, features), symbols)
    cold = _each_step(
        lambda symbol: stream.step(symbol, features), symbols[: _COLD * rounds], np.ones(_CACHE, np.uint8)
    )
    variants = [*variants_of(model, scored), *more(model)]
    random = np.random.default_rng(0)
    best: dict[str, float] = {}
    notes: dict[str, None] = {}  # in order, without repetitions
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds} on {model.backend}")
        for variant in variants:
            ids = random.integers(0, len(model.vocabulary) or 1, variant.symbols).astype(np.int32)
            if variant.symbols > _LONG and number >= _ROUNDS_OF_LONG:
                continue
            try:
                nanoseconds, count = variant.loop(ids)
            except StepcellError as error:
                notes[f"{variant.name}: {error}"] = None
                continue
            best[variant.name] = min(best.get(variant.name, inf), nanoseconds / count / 1000)
    measured = run_worker("measure", model=str(path), backend=model.pool.backend_name)  # as a device, without the rest
    return Measurement(
        runtime=model.backend,
        microseconds=best,
        load_ms=(end - begin) / 1e6,
        first_us=(end - start) / 1e3,
        p50_us=float(np.percentile(warm, 50)),
        p99_us=float(np.percentile(warm, 99)),
        max_us=float(warm.max()),
        cold_us=float(np.median(cold)),
        memory_mb=None if measured.failure else measured.value["resident_mb"],
        notes=tuple(notes),
    )


def _each_step(
    step: Callable[[str | None], object], symbols: Sequence[str | None], between: AnyArray | None = None
) -> Floats:
    """Return the wall time of each step in microseconds, with `between` read before each."""
    taken = []
    for symbol in symbols:
        if between is not None:
            between.sum()
        start = time.perf_counter_ns()
        step(symbol)
        taken.append((time.perf_counter_ns() - start) / 1000)
    return np.array(taken)
