"""A picture of the state of a model over time, on the inputs of the known answer in its file."""

from __future__ import annotations

import numpy as np

from ..common.plotting import new_figure, to_png
from ..format.vocabulary import show_symbol
from ..interpreters.golden import INITIAL
from ..streams.model import Model

_LONGEST_NAME = 12  # characters of a symbol that stand under the picture


def draw_state(model: Model) -> bytes | None:
    """Return a PNG with a row for each element of the state and a column for each step.

    None without matplotlib, and of a file that has no golden sequence from the initial state. Static inputs are zeros.
    """
    manifest = model.manifest
    golden = () if manifest.golden is None else manifest.golden.runs
    run = next((run for run in golden if run.start == INITIAL), None)
    tensors = [tensor for tensor in manifest.state if not tensor.given]
    figure = new_figure(9, 1.2 + 1.4 * len(tensors))
    if run is None or figure is None or not tensors:
        return None
    stream = model.stream(static={tensor.name: np.zeros(tensor.shape) for tensor in manifest.static} or None)
    symbols = [manifest.vocabulary.decode(id) for id in run.ids] if len(manifest.vocabulary) else []
    columns = []
    for step in range(len(run.ids)):
        features = {
            feature.name: np.array(run.features[feature.name][step], feature.dtype).reshape(feature.shape)
            for feature in manifest.features
        }
        stream.step(symbols[step] if symbols else None, features or None)
        state = stream.state
        columns.append([state[tensor.name].ravel() for tensor in tensors])
    axes = figure.subplots(len(tensors), 1, squeeze=False, sharex=True)[:, 0]
    for index, (tensor, one) in enumerate(zip(tensors, axes, strict=True)):
        values = np.stack([column[index] for column in columns], axis=1)
        most = float(np.abs(values).max()) or 1.0
        image = one.imshow(
            values, aspect="auto", interpolation="nearest", cmap="RdBu_r", vmin=-most, vmax=most, origin="lower"
        )
        figure.colorbar(image, ax=one)
        one.set_ylabel(tensor.name.replace("$", r"\$"))
    names = [show_symbol(symbol)[:_LONGEST_NAME].replace("$", r"\$") for symbol in symbols]
    axes[-1].set_xticks(range(len(run.ids)), names or [str(step + 1) for step in range(len(run.ids))])
    axes[-1].set_xlabel("symbol" if names else "step")
    return to_png(figure)
