"""What it costs that C does not compute exactly as its file: the figures that int8 files are judged by."""

from __future__ import annotations

import numpy as np

from ...runtime.format.manifest import Manifest
from ...runtime.worker.messages import RunResult, RunSpec
from ..parity.metrics import Deviation, both_labels, nll, noise
from ..parity.scale import scale_of


def quality_of(manifest: Manifest, spec: RunSpec, found: RunResult, right: RunResult) -> Deviation:
    """Return how far the answers of `found` are from those of the file, two results of `spec`."""
    same, changed, noisy = 1.0, 0.0, 0.0
    activations = {"": manifest.output} | {each.name: each.activation for each in manifest.extra_outputs}
    for name, activation in activations.items():
        one, other = (run.extra_outputs[name] if name else run.probabilities for run in (found, right))
        if activation == "linear":
            noisy = max(noisy, noise(one, other, scale_of(other)))
            continue
        one, other = both_labels(one), both_labels(other)
        best = other.argmax(axis=1)
        same = min(same, float((one.argmax(axis=1) == best).mean()))
        if not name and len(best):
            follows = manifest.labels is None and len(manifest.vocabulary) > 0 and not spec.each
            following = spec.inputs.ids[spec.kept_steps[:-1] + 1] if follows else best[:-1]
            changed = nll(one, following) - nll(other, following)
    return Deviation(0.0, same, changed if np.isfinite(changed) else np.inf, noisy)
