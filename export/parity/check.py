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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import NotSteppableError, ParityError, StateMismatchError
from ...runtime.format.tensor_specs import Inputs
from ...runtime.format.vocabulary import Vocabulary
from ...runtime.interpreters.base import initial_state
from ...runtime.interpreters.numpy_engine.blas import one_thread
from ...runtime.interpreters.registry import describe_backend
from ...runtime.worker.messages import RunResult, RunSpec, State
from ..ops.precision import FLOAT32, INT8
from ..step_function.build import StepFunction
from .custom_state import ExpectedRun, expected_from_rollout
from .device_process import trace_in_process
from .metrics import agreement, difference, nll, noise, per_step, relative
from .parity import EACH, INITIAL, RANDOM, STEPS, Parity
from .reference import KerasReference, run_numpy
from .sample_inputs import every_symbol, typical_inputs
from .tolerance import TOLERANCES, Tolerance

_FEWEST_SINGLE_STEPS, _MOST_SINGLE_STEPS = 2_000, 20_000
_SEED = 20_000
# Between two ways to step a file, which make the same products of the same numbers and add them in another order: 0 for
# an LSTM on ai-edge-litert, 1.2e-7 elsewhere. Carried over many steps it grows as rounding errors do, by a factor that
# numpy shows.
WAY_TOLERANCE = 1e-6
_WAY_ROUNDING = 10


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
        sample: Inputs | None = None,
        gates: Mapping[str, Tolerance] = TOLERANCES,
    ) -> None:
        """Run Keras and the referee.

        Args:
            step_function: The model taken apart.
            reference: The model as Keras runs it.
            steps: Symbols in the carried sequence.
            sample: Ids and features as they really occur, repeated up to `steps`; None: a model of next symbols writes
                its own sequence, any other gets uniformly random symbols.
            gates: Precision -> how far from Keras it may be.

        Raises:
            StateMismatchError: The model starts from a state that Keras cannot start from.
            NotSteppableError: Its state grows beyond all numbers.
        """
        self._gates = gates
        self._step_function = step_function
        random = np.random.default_rng(_SEED)
        initial = initial_state(step_function.state)
        # What is not finite is refused below.
        with np.errstate(over="ignore", invalid="ignore"), one_thread():
            self._run(reference, initial, random, steps, sample)

    def _run(
        self,
        reference: KerasReference,
        initial: State,
        random: np.random.Generator,
        steps: int,
        sample: Inputs | None,
    ) -> None:
        step_function = self._step_function
        carried = typical_inputs(step_function, steps, random, sample)
        # Every symbol once or more, later in the states of the carried sequence.
        count = min(max(_FEWEST_SINGLE_STEPS, step_function.symbols), _MOST_SINGLE_STEPS)
        singles = every_symbol(step_function, count, random, sample)
        self._sequences: dict[str, ExpectedRun] = {}
        if not reference.carries(tensor.name for tensor in step_function.state):
            if any(array.any() for array in initial.values()):
                raise StateMismatchError(
                    "Keras cannot start this model from another state than zeros (one of its layers lets no state in), "
                    "so nothing could prove the answers from such a start. Export it without. Nothing was written."
                )
            known = expected_from_rollout(
                step_function, reference, carried, initial, singles, self._known, self._gates[FLOAT32].error
            )
            self._sequences.update(zip((INITIAL, RANDOM, EACH), known, strict=True))
            return
        starts = {
            INITIAL: initial,
            RANDOM: {n: random.uniform(-0.9, 0.9, a.shape).astype(np.float32) for n, a in initial.items()},
        }
        recorded = _FEWEST_SINGLE_STEPS

        def in_numpy(dtype: type[np.floating[Any]]) -> list[RunResult]:
            with np.errstate(over="ignore", invalid="ignore"):  # which is of this thread alone
                return run_numpy(step_function, carried, list(starts.values()), dtype, recorded=recorded)

        with ThreadPoolExecutor() as pool:  # numpy and Keras at the same time
            in_double, in_single = (pool.submit(in_numpy, dtype) for dtype in (np.float64, np.float32))
            in_keras = reference.run_from(carried, list(starts.values()))
        courses = [RunSpec(carried, state, after_reset=start == INITIAL) for start, state in starts.items()]
        for start, course, expected, exact, rounded in zip(
            starts, courses, in_keras, in_double.result(), in_single.result(), strict=True
        ):
            _require_finite(exact)
            self._sequences[start] = self._known(course, expected, exact, rounded)
        states = {name: np.resize(array, (count, *array.shape[1:])) for name, array in exact.states.items()}
        each = {name: array.astype(np.float32) for name, array in states.items()}
        self._sequences[EACH] = ExpectedRun(RunSpec(singles, each, each=True), reference.run_each(singles, each))

    def _known(self, course: RunSpec, expected: RunResult, exact: RunResult, rounded: RunResult) -> ExpectedRun:
        """Return what is right, and what rounding alone does to it: float64 arithmetic against float32."""
        figures = self._figures(rounded, exact, self._following(course, exact))
        return ExpectedRun(course, expected, difference(exact, rounded), *figures)

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
        steps = len(courses[INITIAL].inputs)
        what = f"{quantization} {path.suffix[1:]}"
        progress(f"{what} on {', '.join(map(describe_backend, backends))}: {steps} carried steps from two states")
        with ThreadPoolExecutor() as pool:  # each interpreter in a process of its own
            traces = list(pool.map(lambda backend: trace_in_process(path, backend, courses), backends))
        for backend, trace in zip(backends, traces, strict=True):
            for start, found in trace.items():
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
            problems = "\n".join(f"  - {', '.join(p.missed)}: {p.how}, on {p.runtime}" for p in failed)
            raise ParityError(
                f"{path.name} is farther from Keras than {failed[0].quantization} may be:\n{problems}\n"
                f"{consequence}".rstrip()
            )
        # The comparison of each step tells best where the fault is.
        worst = max(failed, key=lambda parity: (parity.start == EACH, parity.error))
        if worst.first_step is None:  # right where it was compared with Keras, and wrong elsewhere
            raise ParityError(f"{path.name}: {', '.join(worst.missed)}, on {worst.runtime}. {consequence}".rstrip())
        id = int(self._sequences[worst.start].course.inputs.ids[worst.first_step - 1])
        symbol = f"symbol {vocabulary.decode(id)!r}, " if len(vocabulary) else ""
        raise ParityError(
            f"Keras and {path.name} differ by {worst.error:.2g} within {worst.steps} steps, {worst.how} "
            f"(allowed {self._gates[FLOAT32].error:g}); first at step {worst.first_step} in {worst.first_tensor}, "
            f"{symbol}on {worst.runtime}. {consequence}".rstrip()
        )

    def _compare(self, backend: str, format: str, start: str, found: RunResult, quantization: str = FLOAT32) -> Parity:
        sequence, gate = self._sequences[start], self._gates[quantization]
        expected = sequence.expected
        steps = len(sequence.course.inputs)
        main = self._step_function.main.name
        outputs = {main: (found.probabilities, expected.probabilities)}
        outputs.update({name: (array, expected.extra_outputs[name]) for name, array in found.extra_outputs.items()})
        errors = {name: per_step(relative(*pair)) for name, pair in outputs.items()}  # probabilities are below 1
        for name, array in found.states.items():
            errors[f"next_{name}"] = per_step(relative(array, expected.states[name]))
        # Of a carried state only the last is known, so its error belongs to the last step.
        off = {
            (steps - len(e) + int(i) + 1, -float(e[i]), n)
            for n, e in errors.items()
            for i in np.flatnonzero(e > (gate.error if n in outputs else gate.state))[:1]
        }
        first_step, _, first_tensor = min(off, default=(None, 0.0, None))
        worst = np.max([errors[name] for name in outputs], axis=0)
        error, state_error = (
            float(worst.max()),
            max(float(e.max()) for name, e in errors.items() if name not in outputs),
        )
        same, nll_change, noise_of_values = self._figures(found, expected, self._following(sequence.course, expected))
        carried_counts = any(s.proves(gate) for name, s in self._sequences.items() if name != EACH)
        counts = sequence.proves(gate) if start != EACH else quantization == FLOAT32 or not carried_counts
        missed = gate.missed(error, same, nll_change, noise_of_values) if counts else []
        if (start == EACH or (quantization == FLOAT32 and counts)) and not state_error <= gate.state:
            missed.append(f"a state is off by {state_error:.2g} (allowed {gate.state:g})")
        if counts or quantization != INT8:
            missed += self._missed_in_other_ways(sequence, found, quantization)
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
            argmax_agreement=same,
            nll_change=nll_change,
            rounding=sequence.rounding,
            error_first_tenth=float(worst[:tenth].mean()),
            error_last_tenth=float(worst[-tenth:].mean()),
            quantization=quantization,
            missed=tuple(missed),
            other_ways={name: way.error for name, way in found.alternates.items()},
            microseconds=found.microseconds,
            errors=worst,
        )

    def _missed_in_other_ways(self, sequence: ExpectedRun, found: RunResult, quantization: str) -> list[str]:
        """Say what is beyond the gate where the file is stepped in another way: nothing if there is none.

        With int8 a difference in the last digit brings a number to the next of 8 bits, now and then, which is carried
        on like the rounding of the first way. So there it is held against Keras, as the first way is.
        """
        problems: list[str] = []
        allowed = max(WAY_TOLERANCE, _WAY_ROUNDING * sequence.rounding)
        for name, way in found.alternates.items():
            if quantization == INT8:
                expected, gate = sequence.expected, self._gates[INT8]
                other = replace(found, probabilities=way.probabilities)
                figures = self._figures(other, expected, self._following(sequence.course, expected))
                problems += [f"in {name} {problem}" for problem in gate.missed(0.0, *figures)]
            elif not way.error <= allowed:
                problems.append(f"in {name} it answers otherwise: off by {way.error:.2g} (allowed {allowed:.2g})")
        return problems

    def _figures(self, found: RunResult, expected: RunResult, following: AnyArray) -> tuple[float, float, float]:
        """Return how often the same symbol is the likeliest, the change of the NLL, and the noise of values.

        The first is the least of all outputs that are probabilities, the second of the main output, the third the
        most of all that are values.
        """
        same, changed, noisy = [1.0], 0.0, [0.0]
        for answer in self._step_function.interface.answers:
            main = answer is self._step_function.main
            ours, right = (t.probabilities if main else t.extra_outputs[answer.name] for t in (found, expected))
            if answer.activation == "linear":
                noisy.append(noise(ours, right))
                continue
            same.append(agreement(ours, right.argmax(axis=1)))
            if main:
                changed = nll(ours, following) - nll(right, following)
        return min(same), changed, max(noisy)

    def _following(self, course: RunSpec, expected: RunResult) -> AnyArray:
        """Return the right answers to all but the last symbol of `course`, shape (T - 1,)."""
        if self._step_function.predicts_symbols and not course.each:
            return course.inputs.ids[1:]
        best: AnyArray = expected.probabilities.argmax(axis=1)
        return best[:-1]


def _require_finite(trajectory: RunResult) -> None:
    """Raise where a state grows beyond all numbers: such a model has no answer that a file could agree with."""
    for name, states in trajectory.states.items():
        wrong = np.flatnonzero(~np.isfinite(states).reshape(len(states), -1).all(axis=1))
        if wrong.size:
            steps = len(trajectory.probabilities) - len(states) + int(wrong[0]) + 1
            raise NotSteppableError(
                f"The state of this model grows without bound: {name} is no longer finite after {steps} steps. "
                "Use a bounded activation, tanh for example. Nothing was written."
            )
