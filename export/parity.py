"""Parity: the exported file, stepped one symbol at a time, against Keras.

Each file is compared three times on each runtime: over one long sequence with the state carried from the initial
state, over the same sequence from a random state, and symbol by symbol with every step beginning from the state that
the referee has there. The first two are what a device does. The third sees each tensor after every step, and holds
even for a model that magnifies rounding errors until two correct computations of the same sequence part.

A quantised file does answer otherwise than Keras, and errs in every step a little. What counts is how much that is on
symbols as they really occur, so the two carried comparisons decide over its answers, and the third over its states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
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
from .precision import FLOAT32, GATES, Gate
from .reached import KnownAnswers, answers_from_reached_states
from .reference import KerasReference, run_numpy
from .step_function import StepFunction

STEPS = 10_000
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
        start: "initial" or "random": the state before the first step, carried from there (random numbers, or a state
            that the model reaches where Keras lets none in); "each": every step began from the referee's state.
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
        error_first_tenth: Mean over the first tenth of the steps of the largest difference of a probability.
        error_last_tenth: The same over the last tenth: where errors pile up it is larger.
        quantization: Precision of the weights.
        missed: What is beyond the gate of this precision, as far as this sequence can tell; see `ParityCheck`.
        microseconds: What a step took of the processor; None where it was not measured.
        errors: The largest difference of a probability at each step, float of shape (T,).
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
    error_first_tenth: float
    error_last_tenth: float
    quantization: str
    missed: tuple[str, ...]
    microseconds: float | None = field(compare=False)
    errors: Floats = field(compare=False, repr=False)

    @property
    def error(self) -> float:
        """The largest difference of all."""
        return max(self.max_abs_error, self.max_state_error)

    @property
    def holds(self) -> bool:
        """Tell whether the file is proven as far as this sequence can prove it."""
        return not self.missed

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object, the same in every run: no time, and two digits, as more are noise."""
        figures = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("missed", "microseconds", "errors")
        }
        rounded = {
            name: float(f"{value:.1e}") if isinstance(value, float) and name != "argmax_agreement" else value
            for name, value in figures.items()
        }
        return {**rounded, "within_gate": self.holds}


class ParityCheck:
    """The sequences that one model is checked on, and what Keras answers to them.

    A carried sequence counts unless the model magnifies rounding errors so much on it that float32 arithmetic in
    numpy would not pass the gate either. The single steps count for the states always, for the answers with float32
    always, and with quantised weights where no carried sequence counts.
    """

    def __init__(
        self,
        step_function: StepFunction,
        reference: KerasReference,
        *,
        steps: int = STEPS,
        sample: Ids | None = None,
        gates: Mapping[str, Gate] = GATES,
    ) -> None:
        """Run Keras and the referee.

        Args:
            step_function: The model taken apart.
            reference: The model as Keras runs it.
            steps: Symbols in the carried sequence.
            sample: Ids as they really occur, repeated up to `steps`; None: a model of next symbols writes its own
                sequence, any other gets uniformly random symbols.
            gates: Precision -> how far from Keras it may be.
        """
        self._gates = gates
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
        # Every symbol once or more, later in the states of the carried sequence.
        count = min(max(_FEWEST_SINGLE_STEPS, step_function.symbols), _MOST_SINGLE_STEPS)
        ids = random.permutation(np.resize(np.arange(step_function.symbols, dtype=np.int32), count))
        self._sequences: dict[str, KnownAnswers] = {}
        if not reference.carries(tensor.name for tensor in step_function.state):
            known = answers_from_reached_states(
                step_function, reference, carried, initial, ids, self._known, self._gates[FLOAT32].error
            )
            self._sequences.update(zip((INITIAL, RANDOM, EACH), known, strict=True))
            return
        starts = {
            INITIAL: initial,
            RANDOM: {n: random.uniform(-0.9, 0.9, a.shape).astype(np.float32) for n, a in initial.items()},
        }
        recorded = _FEWEST_SINGLE_STEPS
        all_exact = run_numpy(step_function, carried, list(starts.values()), recorded=recorded)
        all_rounded = run_numpy(step_function, carried, list(starts.values()), np.float32, recorded=recorded)
        for (start, state), exact, rounded in zip(starts.items(), all_exact, all_rounded, strict=True):
            _require_finite(exact)
            self._sequences[start] = self._known(Course(carried, state), reference.run(carried, state), exact, rounded)
        states = {name: np.resize(array, (count, *array.shape[1:])) for name, array in exact.states.items()}
        each = {name: array.astype(np.float32) for name, array in states.items()}
        self._sequences[EACH] = KnownAnswers(Course(ids, each, each=True), reference.run_each(ids, each))

    def _known(self, course: Course, expected: Trajectory, exact: Trajectory, rounded: Trajectory) -> KnownAnswers:
        """Return what is right, and what rounding alone does to it: float64 arithmetic against float32."""
        rounded_answers, best = rounded.probabilities, exact.probabilities.argmax(axis=1)
        following = self._following(course.ids, best)
        return KnownAnswers(
            course,
            expected,
            max(_difference(exact, rounded)),
            _agreement(rounded_answers, best),
            _nll(rounded_answers, following) - _nll(exact.probabilities, following),
        )

    def measure(
        self,
        path: Path,
        format: str,
        backends: Sequence[str],
        progress: Callable[[str], None] = lambda _: None,
        quantization: str = FLOAT32,
    ) -> list[Parity]:
        """Step the file at `path`, whose weights have the precision `quantization`, on each of `backends`.

        Raises:
            BackendError: An interpreter fails on the file.
        """
        results = []
        courses = {start: sequence.course for start, sequence in self._sequences.items()}
        for backend in backends:
            steps = len(courses[INITIAL].ids)
            what = f"{quantization} {path.suffix[1:]}"
            progress(f"{what} on {describe_backend(backend)}: {steps} carried steps from two states")
            for start, found in trace_in_process(path, backend, courses).items():
                results.append(self._compare(backend, format, start, found, quantization))
        return results

    def require(self, path: Path, results: Sequence[Parity], vocabulary: Vocabulary, consequence: str = "") -> None:
        """Raise unless all `results` hold.

        Raises:
            ParityError: For float32 with the largest difference, and the step, tensor and symbol where it is; for
                other precisions with every figure that is beyond the gate.
        """
        failed = [parity for parity in results if not parity.holds]
        if not failed:
            return
        if failed[0].quantization != FLOAT32:
            problems = "\n".join(f"  - {', '.join(p.missed)}: {_how(p)}, on {p.runtime}" for p in failed)
            raise ParityError(
                f"{path.name} is farther from Keras than {failed[0].quantization} may be:\n{problems}\n"
                f"{consequence}".rstrip()
            )
        # The comparison of each step tells best where the fault is.
        worst = max(failed, key=lambda parity: (parity.start == EACH, parity.error))
        assert worst.first_step is not None, "what does not hold is off somewhere"
        symbol = vocabulary.decode(int(self._sequences[worst.start].course.ids[worst.first_step - 1]))
        raise ParityError(
            f"Keras and {path.name} differ by {worst.error:.2g} within {worst.steps} steps, {_how(worst)} "
            f"(allowed {self._gates[FLOAT32].error:g}); first at step {worst.first_step} in {worst.first_tensor}, "
            f"symbol {symbol!r}, on {worst.runtime}. {consequence}".rstrip()
        )

    def _compare(self, backend: str, format: str, start: str, found: Trajectory, quantization: str = FLOAT32) -> Parity:
        sequence, gate = self._sequences[start], self._gates[quantization]
        ids, expected = sequence.course.ids, sequence.expected
        steps = len(ids)
        errors = {"probabilities": _per_step(found.probabilities - expected.probabilities)}
        for name, array in found.states.items():
            errors[f"next_{name}"] = _per_step(_relative(array, expected.states[name]))
        # Of a carried state only the last is known, so its error belongs to the last step.
        off = {
            (steps - len(e) + int(i) + 1, -float(e[i]), n)
            for n, e in errors.items()
            for i in np.flatnonzero(e > (gate.error if n == "probabilities" else gate.state))[:1]
        }
        first_step, _, first_tensor = min(off, default=(None, 0.0, None))
        best = expected.probabilities.argmax(axis=1)
        following = best[:-1] if start == EACH else self._following(ids, best)
        error, state_error = (
            float(errors["probabilities"].max()),
            max(float(e.max()) for name, e in errors.items() if name != "probabilities"),
        )
        agreement = _agreement(found.probabilities, best)
        nll_change = _nll(found.probabilities, following) - _nll(expected.probabilities, following)
        carried_counts = any(s.proves(gate) for name, s in self._sequences.items() if name != EACH)
        counts = sequence.proves(gate) if start != EACH else quantization == FLOAT32 or not carried_counts
        missed = gate.missed(error, agreement, nll_change) if counts else []
        if (start == EACH or (quantization == FLOAT32 and counts)) and not state_error <= gate.state:
            missed.append(f"a state is off by {state_error:.2g} (allowed {gate.state:g})")
        tenth = max(1, steps // 10)
        return Parity(
            backend=backend,
            runtime=describe_backend(backend),
            format=format,
            start=start,
            steps=steps,
            max_abs_error=error,
            max_state_error=state_error,
            first_step=first_step,
            first_tensor=first_tensor,
            argmax_agreement=agreement,
            nll_change=nll_change,
            rounding=sequence.rounding,
            error_first_tenth=float(errors["probabilities"][:tenth].mean()),
            error_last_tenth=float(errors["probabilities"][-tenth:].mean()),
            quantization=quantization,
            missed=tuple(missed),
            microseconds=found.microseconds,
            errors=errors["probabilities"],
        )

    def _following(self, ids: Ids, best: AnyArray) -> AnyArray:
        """Return the right answers to all but the last of `ids`, shape (T - 1,), given Keras's likeliest ones."""
        return ids[1:] if self._step_function.outputs == self._step_function.symbols else best[:-1]


def _how(parity: Parity) -> str:
    if parity.start == EACH:
        return "each from a given state"
    return f"carried from the {parity.start} state"


def _require_finite(trajectory: Trajectory) -> None:
    """Raise where a state grows beyond all numbers: such a model has no answer that a file could agree with."""
    for name, states in trajectory.states.items():
        wrong = np.flatnonzero(~np.isfinite(states).reshape(len(states), -1).all(axis=1))
        if wrong.size:
            steps = len(trajectory.probabilities) - len(states) + int(wrong[0]) + 1
            raise NotSteppableError(
                f"The state of this model grows without bound: {name} is no longer finite after {steps} steps. "
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


def _agreement(probabilities: Floats, best: AnyArray) -> float:
    return float((probabilities.argmax(axis=1) == best).mean())


def _nll(probabilities: Floats, following: AnyArray) -> float:
    """Return the mean negative log-probability of `following`, (T - 1,), in the answers before them, (T, K)."""
    chosen = probabilities[np.arange(len(following)), following].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-30)).mean()) if len(following) else 0.0
