"""Makes the golden sequence of an adopted file: what the interpreters themselves answer, for want of a referee."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..backend import describe_backend
from ..errors import AdoptionError
from ..manifest import Golden, GoldenRun
from ..trajectory import Course, Trajectory
from .evidence import GOLDEN_RUNS, difference, golden_name, likely_and_spread

# Two interpreters run the same float32 graph to within 1e-6 of each other, int8 ones to within a tenth; where they are
# farther apart than this, one of them does not do what the graph says.
_LARGEST_DISAGREEMENT = 0.02
_TOLERANCE = 1e-5
_ROUNDING_ALLOWED = 10  # as in exported files: times what rounding was seen to do
_MOST_OUTPUTS = 32


def golden_of(traces: Mapping[str, Mapping[str, Trajectory]], all_courses: Mapping[str, Course], name: str) -> Golden:
    """Record what the first interpreter answers; the others must answer alike.

    Args:
        traces: Backend -> name of a course -> what came out.
        all_courses: What went in.
        name: Name of the file, for messages.

    Raises:
        AdoptionError: Two interpreters answer differently.
    """
    backends = list(traces)
    first = traces[backends[0]]
    names = [golden_name(number) for number in range(len(GOLDEN_RUNS))]
    # Rounding: what another interpreter does, and what a state that is off by a rounding error does.
    rounding = float(np.abs(first["nudged"].probabilities - first["carried"].probabilities).max())
    for backend in backends[1:]:
        apart = difference(first, traces[backend], [*names, "carried"])
        if not apart <= _LARGEST_DISAGREEMENT:
            raise AdoptionError(
                f"{name} cannot be adopted: {describe_backend(backends[0])} and {describe_backend(backend)} answer "
                f"differently, by {apart:.2g} (allowed {_LARGEST_DISAGREEMENT}); one of them does not run it as it is "
                "meant. Ask: stepcell doctor"
            )
        rounding = max(rounding, apart)
    answers = np.concatenate([first[each].probabilities for each in names])
    outputs = likely_and_spread(answers, _MOST_OUTPUTS)
    return Golden(
        tolerance=max(_TOLERANCE, float(f"{_ROUNDING_ALLOWED * rounding:.0e}")),
        outputs=tuple(outputs),
        runs=tuple(
            GoldenRun(
                start,
                tuple(all_courses[each].inputs.ids.tolist()),
                tuple(tuple(float(f"{p:.7g}") for p in row[outputs]) for row in first[each].probabilities),
            )
            for each, (start, _) in zip(names, GOLDEN_RUNS, strict=True)
        ),
    )
