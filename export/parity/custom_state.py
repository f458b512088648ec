"""Parity for layers whose state Keras does not let in or out: a step rule of one's own, with a state of its own.

Keras can run such a layer on a whole sequence from its beginning alone. So the non-zero states are those that the
referee reaches after some steps, and Keras is run from the beginning up to there and on. What the state after a step
must be is the referee's word, which the answers of Keras vouch for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.common.arrays import Floats
from ...runtime.common.errors import ParityError
from ...runtime.format.tensor_specs import Inputs
from ...runtime.worker.messages import RunResult, RunSpec, State
from ..ops import NumpyOps
from ..step_function.build import StepFunction
from .metrics import difference
from .reference import KerasReference, run_numpy
from .sample_inputs import as_mapping
from .tolerance import Tolerance

_PREFIX = 200  # steps before the sequence that begins in the middle
_FIRST = 64  # steps over which the step rules must equal Keras whatever rounding does later


@dataclass(frozen=True)
class ExpectedRun:
    """Symbols with the state or states before them, what is right, and what rounding alone does to the figures.

    Attributes:
        course: The symbols and states.
        expected: The right answers.
        rounding: Largest difference between float64 and float32 arithmetic.
        agreement: Share of steps at which both name the same most likely symbol.
        nll_change: From float64 to float32, in nats.
        noise: Of outputs that are values, likewise.
    """

    course: RunSpec
    expected: RunResult
    rounding: float = 0.0
    agreement: float = 1.0
    nll_change: float = 0.0
    noise: float = 0.0

    def proves(self, gate: Tolerance) -> bool:
        """Tell whether rounding alone stays within `gate`; where it does not, a file that does not proves nothing."""
        return not gate.missed(self.rounding, self.agreement, self.nll_change, self.noise)


def expected_from_rollout(
    step_function: StepFunction,
    reference: KerasReference,
    carried: Inputs,
    initial: State,
    singles: Inputs,
    known_answers: Callable[[RunSpec, RunResult, RunResult, RunResult], ExpectedRun],
    tolerance: float,
) -> tuple[ExpectedRun, ExpectedRun, ExpectedRun]:
    """Return what is right from the initial state, from a reached state, and for single steps from reached states.

    Args:
        step_function: The model taken apart.
        reference: The model as Keras runs it.
        carried: The carried sequence.
        initial: The state after a reset.
        singles: The single steps, N of them.
        known_answers: Makes them of course, right answers, and what the referee answers in float64 and float32.
        tolerance: Largest difference of an answer between the step rules and Keras in the first steps.

    Raises:
        ParityError: The step rules do not answer as Keras does.
    """
    steps = np.arange(len(carried))
    longer = carried[np.concatenate([np.resize(steps[::-1], _PREFIX), steps])]
    known = []
    for sequence, skipped in ((carried, 0), (longer, _PREFIX)):
        exact, rounded = (run_numpy(step_function, sequence, [initial], dtype)[0] for dtype in (np.float64, np.float32))
        whole = reference.run(sequence, None)
        off = difference(whole.part(slice(_FIRST), {}), exact.part(slice(_FIRST), {}))
        if not off <= tolerance:
            raise ParityError(
                f"The step rules answer otherwise than Keras: off by {off:.2g} within the first {_FIRST} steps "
                f"(allowed {tolerance:g}). Correct the step rule of your own layer. Nothing was written."
            )
        start = initial if not skipped else _single(exact.states, skipped - 1)
        last = {name: array[-1:] for name, array in exact.states.items()}
        expected = whole.part(slice(skipped, None), last)
        exact, rounded = (t.part(slice(skipped, None), t.states) for t in (exact, rounded))
        course = RunSpec(sequence[skipped:], start, after_reset=not skipped)
        known.append(known_answers(course, expected, exact, rounded))
    states = {name: np.resize(array, (len(singles), *array.shape[1:])) for name, array in exact.states.items()}
    each = {name: array.astype(np.float32) for name, array in states.items()}
    widened = {name: array.astype(np.float64) for name, array in each.items()}
    answers, after = step_function.advance(NumpyOps(), as_mapping(singles), widened)
    main = answers.pop(step_function.main.name)
    return known[0], known[1], ExpectedRun(RunSpec(singles, each, each=True), RunResult(main, after, None, answers))


def _single(states: Any, step: int) -> dict[str, Any]:
    found: dict[str, Floats] = {name: array[step : step + 1].astype(np.float32) for name, array in states.items()}
    return found
