"""The golden sequence: a known answer inside every model file, replayed when it is loaded."""

from __future__ import annotations

import numpy as np

from .arrays import Float32
from .backend import Backend, describe_backend, initial_state
from .errors import GoldenMismatchError
from .manifest import StateTensor
from .model_file import ModelFile


def start_state(start: str, state: tuple[StateTensor, ...]) -> dict[str, Float32]:
    """Return the state that a golden run starts from; `Golden` documents "initial" and "ramp"."""
    if start == "initial":
        return initial_state(state)
    values = {}
    count = 0
    for tensor in state:
        array = tensor.initial_value()
        steps = np.arange(count, count + array.size)
        values[tensor.name] = ((37 * steps + 11) % 101 / 101 - 0.5).astype(np.float32).reshape(array.shape)
        count += array.size
    return values


def replay_golden(backend: Backend, file: ModelFile, backend_name: str) -> float:
    """Step the golden sequence of `file` and compare; the resident state is the initial one afterwards.

    Returns:
        The largest absolute difference of a probability.

    Raises:
        GoldenMismatchError: An answer is farther off than the file allows, or is not a number.
    """
    manifest = file.manifest
    worst = 0.0
    if manifest.golden is not None:
        outputs = list(manifest.golden.outputs)
        for run in manifest.golden.runs:
            backend.write_state(start_state(run.start, manifest.state))
            for step, (id, expected) in enumerate(zip(run.ids, run.probabilities, strict=True), start=1):
                backend.step(id)
                difference = float(np.abs(backend.probabilities()[outputs] - np.array(expected)).max())
                if not difference <= manifest.golden.tolerance:
                    raise GoldenMismatchError(
                        f"{describe_backend(backend_name)} does not answer as {file.name} was exported: at step {step} "
                        f"of the golden sequence a probability is off by {difference:.2g} "
                        f"(allowed {manifest.golden.tolerance:g}). Try another backend or version."
                    )
                worst = max(worst, difference)
    backend.write_state(initial_state(manifest.state))
    return worst
