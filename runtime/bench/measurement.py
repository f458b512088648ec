"""Takes the measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..common.arrays import AnyArray, Floats
from ..common.errors import StepcellError
from ..common.run_worker import run_worker
from ..streams.model import Model, load
from ..worker.measure import blank_features
from .variants import SCORED, Variant, reference_of, variants_of

ROUNDS = 9
_STEPS = 2_000
_LONG, _ROUNDS_OF_LONG = 10_000, 2  # a way that takes so many symbols at a time is right after few rounds
_CACHE = 64 * 2**20  # bytes that are read between two steps, so that nothing of the model is left in a cache


@dataclass(frozen=True)
class Measurement:
    """What the steps of one file cost on one interpreter.

    Attributes:
        runtime: Interpreter and version.
        microseconds: Variant -> processor time of a symbol: the lowest of several rounds in which all variants take
            turns. Of "until the answer": the lowest median of the time that passes.
        load_ms: From opening the file to the first answer, golden sequence and verification included.
        first_us: The first step after loading.
        p50_us, p99_us, max_us: What `Stream.step` takes as time that passes, over 2,000 steps.
        cold_us: The median where 64 MiB are read between steps, as at low symbol rates.
        memory_mb: Resident memory of a process that has loaded and stepped the file and nothing else, MiB; None where
            the system does not say.
        notes: Ways that were left out, and why.
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

    def ratio(self, way: str) -> float | None:
        """Return what `way` takes in relation to numpy views and Invoke, None where there is no such way.

        What is waited for is compared with what is waited for there.
        """
        reference = self.microseconds.get(reference_of(way))
        return None if reference is None else self.microseconds[way] / reference


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
        rounds: How often all ways are taken.
        scored: How many symbols are scored at a time.
        more: Further ways, of other libraries, that take turns with ours.
        progress: Is told what is being done.

    Raises:
        StepcellError: As `load` does.
    """
    begin = time.perf_counter_ns()
    model = load(path, backend=backend)
    stream = model.stream()
    features = blank_features(model.manifest)
    symbols: tuple[str | None, ...] = model.vocabulary.symbols or (None,)
    start = time.perf_counter_ns()
    stream.step(symbols[0], features)
    end = time.perf_counter_ns()
    random = np.random.default_rng(0)
    chosen = [symbols[id] for id in random.integers(0, len(symbols), _STEPS)]
    taken = _each_step(lambda symbol: stream.step(symbol, features), chosen)
    cold = _each_step(lambda symbol: stream.step(symbol, features), chosen[:60], np.ones(_CACHE, np.uint8))
    found, notes = list(variants_of(model, scored)), []
    found += more(model)
    best = {way.name: float("inf") for way in found}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds} on {model.backend}")
        for way in found:
            ids = random.integers(0, len(symbols), way.symbols).astype(np.int32)
            if way.symbols > _LONG and number >= _ROUNDS_OF_LONG:
                continue
            try:
                nanoseconds, count = way.loop(ids)
            except StepcellError as error:
                notes.append(f"{way.name}: {error}")
                continue
            best[way.name] = min(best[way.name], nanoseconds / count / 1000)
    return Measurement(
        runtime=model.backend,
        microseconds={name: value for name, value in best.items() if value < float("inf")},
        load_ms=(end - begin) / 1e6,
        first_us=(end - start) / 1e3,
        p50_us=float(np.percentile(taken, 50)),
        p99_us=float(np.percentile(taken, 99)),
        max_us=float(taken.max()),
        cold_us=float(np.median(cold)),
        memory_mb=_resident_mb(path, model),
        notes=tuple(dict.fromkeys(notes)),
    )


def _each_step(
    step: Callable[[str | None], object], symbols: Sequence[str | None], between: AnyArray | None = None
) -> Floats:
    taken = []
    for symbol in symbols:
        if between is not None:
            between.sum()
        start = time.perf_counter_ns()
        step(symbol)
        taken.append((time.perf_counter_ns() - start) / 1000)
    return np.array(taken)


def _resident_mb(path: str | Path, model: Model) -> float | None:
    """Measure it in a fresh process: this one has imported more than a device does."""
    measured = run_worker("measure", model=str(path), backend=model.pool.backend_name)
    found: float | None = None if measured.failure else measured.value["resident_mb"]
    return found
