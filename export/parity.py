"""Parity: the exported file, stepped one symbol at a time, against Keras.

Each file is compared three times on each runtime: over one long sequence with the state carried from the initial
state, over the same sequence from a random state, and symbol by symbol with every step beginning from the state that
the referee has there. The first two are what a device does. The third sees each tensor after every step, and holds
even for a model that magnifies rounding errors until two correct computations of the same sequence part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.arrays import AnyArray, Floats, Ids
from ..runtime.backend import describe_backend, initial_state
from ..runtime.errors import NotSteppableError, ParityError
from ..runtime.trace import Course, State, Trajectory
from ..runtime.vocabulary import Vocabulary
from .arithmetic import NumpyArithmetic
from .device_process import trace_in_process
from .reference import KerasReference, run_numpy
from .step_function import StepFunction

STEPS = 10_000
# float32 on both sides, other kernels and other orders of summation: 2.6e-6 was the largest difference seen in
# probabilities (256 units, 20,000 steps), and a wrong wiring differs by 1e-2 and more.
FLOAT32_TOLERANCE = 1e-5
INITIAL, RANDOM, EACH = "initial", "random", "each"
_FEWEST_SINGLE_STEPS, _MOST_SINGLE_STEPS = 2_000, 20_000
_SEED = 20_000


@dataclass(frozen=True)
class Parity:
    """How far one file on one runtime is from Keras, over one sequence.

    Attributes:
        backend: Name of the backend.
        runtime: Interpreter and version.
        format: "tflite" or "onnx".
        start: "initial" or "random": the state before the first step, carried from there; "each": every step began
            from the referee's state.
        steps: Symbols stepped.
        max_abs_error: Largest difference of a probability.
        max_state_error: Largest difference of a state tensor, relative for values above 1: after the last step where
            the state was carried, after any step for "each".
        first_step: The first step, from 1, at which anything is off by more than the tolerance; None: nowhere.
        first_tensor: What is farthest off at that step.
        argmax_agreement: Share of steps at which both name the same most likely symbol.
        nll_change: Mean negative log-probability of the symbol that follows (of Keras's most likely one where the
            output is not the next symbol), the file's minus Keras's, in nats.
        rounding: How far float32 and float64 arithmetic part on this sequence, in numpy: what rounding alone does.
    """

    backend: str
    runtime: str
    format: str
    start: str
    steps: int
    max_abs_error: float
    max_state_error: float
    first_step: int | None
    first_tensor: str | None
    argmax_agreement: float
    nll_change: float
    rounding: float

    @property
    def error(self) -> float:
        """The largest difference of all."""
        return max(self.max_abs_error, self.max_state_error)

    def holds(self, tolerance: float) -> bool:
        """Tell whether the file is proven as far as this sequence can prove it.

        A carried sequence on which rounding alone makes a difference as large as `tolerance` proves nothing against
        the file; the comparison of each step does.
        """
        return self.error <= tolerance or (self.start != EACH and self.rounding > tolerance)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object, rounded to two digits: more are noise and would differ between runs."""
        return {
            name: float(f"{value:.1e}") if isinstance(value, float) and name != "argmax_agreement" else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class _Sequence:
    """Symbols with the state or states before them, what is right, and what rounding alone does."""

    course: Course
    expected: Trajectory
    rounding: float


class ParityCheck:
    """The sequences that one model is checked on, and what Keras answers to them."""

    def __init__(
        self,
        step_function: StepFunction,
        reference: KerasReference,
        *,
        steps: int = STEPS,
        sample: Ids | None = None,
        tolerance: float = FLOAT32_TOLERANCE,
    ) -> None:
        """Run Keras and the referee.

        Args:
            step_function: The model taken apart.
            reference: The model as Keras runs it.
            steps: Symbols in the carried sequence.
            sample: Ids as they really occur, repeated up to `steps`; None: a model of next symbols writes its own
                sequence, any other gets uniformly random symbols.
            tolerance: Largest difference allowed.
        """
        self._tolerance = tolerance
        self._step_function = step_function
        random = np.random.default_rng(_SEED)
        initial = initial_state(step_function.state)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
            self._run(reference, initial, random, steps, sample)

    def _run(
        self,
        reference: KerasReference,
        initial: State,
        random: np.random.Generator,
        steps: int,
        sample: Ids | None,
    ) -> None:
        step_function = self._step_function
        carried = np.resize(sample, steps) if sample is not None else _typical_ids(step_function, steps, random)
        self._sequences: dict[str, _Sequence] = {}
        starts = {
            INITIAL: initial,
            RANDOM: {n: random.uniform(-0.9, 0.9, a.shape).astype(np.float32) for n, a in initial.items()},
        }
        all_exact = run_numpy(step_function, carried, list(starts.values()))
        all_rounded = run_numpy(step_function, carried, list(starts.values()), np.float32)
        for (start, state), exact, rounded in zip(starts.items(), all_exact, all_rounded, strict=True):
            _require_finite(exact)
            rounding = max(_difference(exact, rounded))
            expected = reference.run(carried, state)
            if expected.states.keys() != exact.states.keys():
                raise ParityError(
                    f"Keras gives the state {sorted(expected.states)}, its step rules {sorted(exact.states)}: a step "
                    "rule with a state of its own can not be proven yet. Nothing was written."
                )
            self._sequences[start] = _Sequence(Course(carried, state), expected, rounding)
        # Every symbol once or more, in the states of the carried sequence from the random start.
        count = min(max(_FEWEST_SINGLE_STEPS, step_function.symbols), _MOST_SINGLE_STEPS)
        ids = random.permutation(np.resize(np.arange(step_function.symbols, dtype=np.int32), count))
        states = {name: np.resize(array, (count, *array.shape[1:])) for name, array in exact.states.items()}
        each = {name: array.astype(np.float32) for name, array in states.items()}
        self._sequences[EACH] = _Sequence(Course(ids, each, each=True), reference.run_each(ids, each), 0.0)

    def measure(
        self, path: Path, format: str, backends: Sequence[str], progress: Callable[[str], None] = lambda _: None
    ) -> list[Parity]:
        """Step the file at `path` on each of `backends`.

        Raises:
            BackendError: An interpreter fails on the file.
        """
        results = []
        courses = {start: sequence.course for start, sequence in self._sequences.items()}
        for backend in backends:
            steps = len(courses[INITIAL].ids)
            progress(f"{path.suffix[1:]} on {describe_backend(backend)}: {steps} carried steps from two states")
            for start, found in trace_in_process(path, backend, courses).items():
                results.append(self._compare(backend, format, start, found))
        return results

    def require(self, path: Path, results: Sequence[Parity], vocabulary: Vocabulary, consequence: str = "") -> None:
        """Raise unless all `results` hold.

        Raises:
            ParityError: With the largest difference, and the step, tensor and symbol where it is.
        """
        failed = [parity for parity in results if not parity.holds(self._tolerance)]
        if not failed:
            return
        # The comparison of each step tells best where the fault is.
        worst = max(failed, key=lambda parity: (parity.start == EACH, parity.error))
        assert worst.first_step is not None, "what does not hold is off somewhere"
        symbol = vocabulary.decode(int(self._sequences[worst.start].course.ids[worst.first_step - 1]))
        how = "each from a given state" if worst.start == EACH else f"carried from the {worst.start} state"
        raise ParityError(
            f"Keras and {path.name} differ by {worst.error:.2g} within {worst.steps} steps, {how} "
            f"(allowed {self._tolerance:g}); first at step {worst.first_step} in {worst.first_tensor}, symbol "
            f"{symbol!r}, on {worst.runtime}. {consequence}".rstrip()
        )

    def _compare(self, backend: str, format: str, start: str, found: Trajectory) -> Parity:
        ids, expected = self._sequences[start].course.ids, self._sequences[start].expected
        steps = len(ids)
        errors = {"probabilities": _per_step(found.probabilities - expected.probabilities)}
        for name, array in found.states.items():
            errors[f"next_{name}"] = _per_step(_relative(array, expected.states[name]))
        # Of a carried state only the last is known, so its error belongs to the last step.
        off = {
            (steps - len(e) + int(i) + 1, -float(e[i]), n)
            for n, e in errors.items()
            for i in np.flatnonzero(e > self._tolerance)[:1]
        }
        first_step, _, first_tensor = min(off, default=(None, 0.0, None))
        best = expected.probabilities.argmax(axis=1)
        is_next = self._step_function.outputs == self._step_function.symbols
        following = ids[1:] if is_next and start != EACH else best[:-1]
        return Parity(
            backend=backend,
            runtime=describe_backend(backend),
            format=format,
            start=start,
            steps=steps,
            max_abs_error=float(errors["probabilities"].max()),
            max_state_error=max(float(e.max()) for name, e in errors.items() if name != "probabilities"),
            first_step=first_step,
            first_tensor=first_tensor,
            argmax_agreement=float((found.probabilities.argmax(axis=1) == best).mean()),
            nll_change=_nll(found.probabilities[:-1], following) - _nll(expected.probabilities[:-1], following),
            rounding=self._sequences[start].rounding,
        )


def _require_finite(trajectory: Trajectory) -> None:
    """Raise where a state grows beyond all numbers: such a model has no answer that a file could agree with."""
    for name, states in trajectory.states.items():
        wrong = np.flatnonzero(~np.isfinite(states).reshape(len(states), -1).all(axis=1))
        if wrong.size:
            raise NotSteppableError(
                f"The state of this model grows without bound: {name} is no longer finite after {wrong[0] + 1} steps. "
                "Use a bounded activation, tanh for example. Nothing was written."
            )


def _typical_ids(step_function: StepFunction, steps: int, random: np.random.Generator) -> Ids:
    """Return a sequence that the model may meet: its own predictions, drawn by their probabilities and fed back."""
    if step_function.outputs != step_function.symbols:
        return random.integers(0, step_function.symbols, steps, dtype=np.int32)
    arithmetic = NumpyArithmetic()
    state = {name: array.astype(np.float64) for name, array in initial_state(step_function.state).items()}
    ids = np.zeros(steps, np.int32)
    ids[0] = random.integers(0, step_function.symbols)
    for step in range(1, steps):
        answer, state = step_function.advance(arithmetic, ids[step - 1 : step], state)
        # The first symbol at which the summed probabilities pass a random share of their total.
        drawn = np.searchsorted(np.cumsum(answer[0]), random.random() * answer[0].sum(), side="right")
        ids[step] = min(int(drawn), step_function.symbols - 1)
    return ids


def _difference(one: Trajectory, other: Trajectory) -> list[float]:
    """Return the largest difference of the probabilities and of each state tensor."""
    states = [float(_per_step(_relative(other.states[name], array)).max()) for name, array in one.states.items()]
    return [float(_per_step(other.probabilities - one.probabilities).max()), *states]


def _per_step(errors: Floats) -> Floats:
    """Return the largest absolute value of each step, shape (T,); not a number counts as infinite."""
    largest = np.abs(errors).reshape(len(errors), -1).max(axis=1)
    return np.where(np.isnan(largest), np.inf, largest)


def _relative(found: Floats, expected: Floats) -> Floats:
    """Return the difference, relative where the expected value is above 1: a cell state has no bound."""
    difference: Floats = (found - expected) / np.maximum(1.0, np.abs(expected))
    return difference


def _nll(probabilities: Floats, following: AnyArray) -> float:
    chosen = probabilities[np.arange(len(following)), following].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-30)).mean()) if len(following) else 0.0
