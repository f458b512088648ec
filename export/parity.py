"""Parity: the exported file, stepped one symbol at a time, against Keras on the whole sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.backend import describe_backend, initial_state
from ..runtime.errors import ParityError
from ..runtime.trace import Trajectory
from ..runtime.vocabulary import Vocabulary
from .device_process import trace_in_process
from .reference import KerasReference, State, run_float64
from .step_function import StepFunction

STEPS = 10_000
# float32 on both sides, other kernels and other orders of summation: 2.6e-6 was the largest difference seen in
# probabilities (256 units, 20,000 steps), and a wrong wiring differs by 1e-2 and more.
FLOAT32_TOLERANCE = 1e-5
_SEED = 20_000


@dataclass(frozen=True)
class Parity:
    """How far one file on one runtime is from Keras, over one carried sequence.

    Attributes:
        backend: Name of the backend.
        runtime: Interpreter and version.
        format: "tflite" or "onnx".
        start: State the sequence started from: "initial" or "random".
        steps: Symbols stepped, the state carried all the way.
        max_abs_error: Largest difference of a probability.
        worst_step: The step of that difference, from 1.
        max_state_error: Largest difference in the state after the last step, relative for values above 1.
        worst_state: The tensor of that difference.
        argmax_agreement: Share of steps at which both name the same most likely symbol.
        nll_change: Mean negative log-probability of the symbol that follows (of Keras's most likely one where the
            output is not the next symbol), the file's minus Keras's, in nats.
        max_abs_error_float64: Largest difference of a probability from the float64 referee.
    """

    backend: str
    runtime: str
    format: str
    start: str
    steps: int
    max_abs_error: float
    worst_step: int
    max_state_error: float
    worst_state: str
    argmax_agreement: float
    nll_change: float
    max_abs_error_float64: float

    def holds(self, tolerance: float) -> bool:
        """Tell whether probabilities and final state are within `tolerance`."""
        return self.max_abs_error <= tolerance and self.max_state_error <= tolerance

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object, rounded to two digits: more are noise and would differ between runs."""
        return {
            name: float(f"{value:.1e}") if isinstance(value, float) and name != "argmax_agreement" else value
            for name, value in asdict(self).items()
        }


class ParityCheck:
    """The sequences that one model is checked on, and what Keras and the referee answer to them.

    Uniformly random symbols from a fixed seed, from the initial state and from a random one.
    """

    def __init__(self, step_function: StepFunction, reference: KerasReference, steps: int = STEPS) -> None:
        """Run Keras and the referee over `steps` symbols from both starts."""
        self._step_function = step_function
        random = np.random.default_rng(_SEED)
        self.ids: NDArray[np.int32] = random.integers(0, step_function.symbols, steps, dtype=np.int32)
        initial = initial_state(step_function.state)
        self.starts: dict[str, State] = {
            "initial": initial,
            "random": {n: random.uniform(-0.9, 0.9, a.shape).astype(np.float32) for n, a in initial.items()},
        }
        self._keras = {start: reference.run(self.ids, state) for start, state in self.starts.items()}
        self._float64 = {start: run_float64(step_function, self.ids, state) for start, state in self.starts.items()}

    def measure(
        self, path: Path, format: str, backends: Sequence[str], progress: Callable[[str], None] = lambda _: None
    ) -> list[Parity]:
        """Step the file at `path` on each of `backends` from both starts.

        Raises:
            BackendError: An interpreter fails on the file.
        """
        results = []
        for backend in backends:
            progress(f"{path.suffix[1:]} on {describe_backend(backend)}: {len(self.ids)} steps from two states")
            for start, state in self.starts.items():
                found = trace_in_process(path, self.ids, state, backend)
                results.append(self._compare(backend, format, start, found))
        return results

    def require(
        self, path: Path, results: Sequence[Parity], vocabulary: Vocabulary, tolerance: float, consequence: str = ""
    ) -> None:
        """Raise unless all `results` hold.

        Raises:
            ParityError: With the largest difference, and the step and tensor where the two first part.
        """
        failed = [parity for parity in results if not parity.holds(tolerance)]
        if failed:
            worst = max(failed, key=lambda parity: max(parity.max_abs_error, parity.max_state_error))
            raise ParityError(" ".join(filter(None, [self._describe(path, worst, vocabulary, tolerance), consequence])))

    def _compare(self, backend: str, format: str, start: str, found: Trajectory) -> Parity:
        keras, float64 = self._keras[start], self._float64[start]
        errors = _largest(found.probabilities - keras.probabilities)
        state_errors = {
            name: float(_relative(array, keras.final_state()[name]).max()) for name, array in found.final_state().items()
        }
        worst_state = max(state_errors, key=lambda name: state_errors[name])
        best = keras.probabilities.argmax(axis=1)
        following = self.ids[1:] if self._step_function.outputs == self._step_function.symbols else best[:-1]
        return Parity(
            backend=backend,
            runtime=describe_backend(backend),
            format=format,
            start=start,
            steps=len(self.ids),
            max_abs_error=float(errors.max()),
            worst_step=int(errors.argmax()) + 1,
            max_state_error=state_errors[worst_state],
            worst_state=worst_state,
            argmax_agreement=float((found.probabilities.argmax(axis=1) == best).mean()),
            nll_change=_nll(found.probabilities[:-1], following) - _nll(keras.probabilities[:-1], following),
            max_abs_error_float64=float(_largest(found.probabilities - float64.probabilities).max()),
        )

    def _describe(self, path: Path, worst: Parity, vocabulary: Vocabulary, tolerance: float) -> str:
        difference = max(worst.max_abs_error, worst.max_state_error)
        first = self._first_difference(path, worst.backend, worst.start, tolerance)
        where = ""
        if first is not None:
            step, tensor = first
            where = f", first at step {step} in {tensor}, symbol {vocabulary.decode(int(self.ids[step - 1]))!r}"
        keras_error = float(
            _largest(self._keras[worst.start].probabilities - self._float64[worst.start].probabilities).max()
        )
        chaos = ""
        if keras_error > tolerance:
            chaos = (
                f" Keras itself is {keras_error:.2g} away from float64 arithmetic on this sequence: the model is chaotic "
                "and magnifies rounding errors, whoever steps it. Train it longer or with smaller weights."
            )
        return (
            f"Keras and {path.name} differ by {difference:.2g} within {worst.steps} steps from the {worst.start} state "
            f"(allowed {tolerance:g}){where}, on {worst.runtime}.{chaos}"
        )

    def _first_difference(self, path: Path, backend: str, start: str, tolerance: float) -> tuple[int, str] | None:
        """Return step (from 1) and name of the first tensor that is off, by comparing every state with the referee's."""
        state = self.starts[start]
        expected = run_float64(self._step_function, self.ids, state, every=True)
        found = trace_in_process(path, self.ids, state, backend, every=True)
        firsts = []
        for name, array in {**found.states, "probabilities": found.probabilities}.items():
            target = expected.probabilities if name == "probabilities" else expected.states[name]
            steps = np.flatnonzero(_largest(_relative(array, target)) > tolerance)
            if steps.size:
                firsts.append((int(steps[0]) + 1, "probabilities" if name == "probabilities" else f"next_{name}"))
        return min(firsts, default=None)


def _largest(errors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the largest absolute value of each step, shape (T,); not a number counts as infinite."""
    flat = np.abs(errors).reshape(len(errors), -1).max(axis=1)
    return np.where(np.isnan(flat), np.inf, flat)


def _relative(found: NDArray[np.floating], expected: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the difference, relative where the expected value is above 1: a cell state has no bound."""
    return np.abs(found - expected) / np.maximum(1.0, np.abs(expected))


def _nll(probabilities: NDArray[np.floating], following: NDArray[np.integer]) -> float:
    chosen = probabilities[np.arange(len(following)), following].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-30)).mean()) if len(following) else 0.0
