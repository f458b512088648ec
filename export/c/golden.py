"""The golden sequence of C that rounds more than its file: the same answers, with the tolerance that it needs."""

from __future__ import annotations

import numpy as np

from ...runtime.format.manifest import Golden
from ...runtime.format.model_file import ModelFile
from ...runtime.format.tensor_specs import Inputs
from ...runtime.interpreters.golden import start_state
from ...runtime.worker.messages import RunSpec
from ..ops.golden import with_measured_tolerance
from .arithmetic import Arithmetic, rounded_program, run_program


def measured_golden(file: ModelFile, arithmetic: Arithmetic) -> Golden:
    """Return the golden sequence of `file` with the tolerance of int8 files: twice the error that numpy measures."""
    manifest, golden = file.manifest, file.manifest.golden
    assert golden is not None, "it was asked for"
    program, worst = rounded_program(file, arithmetic), 0.0
    for run in golden.runs:
        features = {
            each.name: np.array(run.features[each.name], np.float32 if each.ids is None else np.int32).reshape(
                len(run.ids), *each.shape
            )
            for each in manifest.features
        }
        spec = RunSpec(Inputs(np.array(run.ids, np.int32), features), start_state(run.start, manifest.state))
        found = run_program(program, manifest, spec)
        pairs = [(found.probabilities[:, list(golden.outputs)], np.array(run.probabilities))]
        pairs += [(found.extra_outputs[n][:, : len(rows[0])], np.array(rows)) for n, rows in run.extra_outputs.items()]
        worst = max(worst, *(float(np.abs(one - other).max()) for one, other in pairs))
    return with_measured_tolerance(golden, worst)
