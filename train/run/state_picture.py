"""The state over time as a picture: what a network remembers, to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import AnyArray, Float32, Floats
from ...runtime.common.plotting import new_figure, to_png
from ...runtime.format.vocabulary import Vocabulary, escape_symbol
from ..network.forward import Forward
from ..network.initial_state import InitialState
from ..problems.problem import Streams

_MOST_STEPS = 96
_MOST_LABELS = 48  # symbols written under the picture; more would not be legible


def draw_state(
    model: keras.Model,
    evaluations: Mapping[str, Streams],
    vocabulary: Vocabulary,
    initial_state: Mapping[str, Float32] | None = None,
) -> bytes | None:
    """Return a PNG of the state of every recurrent unit after every symbol; None without matplotlib.

    Sequences one after the other where the problem has sequences, resets marked; else the beginning of a stream.

    Args:
        model: One of `Network.build`.
        evaluations: The problem's.
        vocabulary: The problem's.
        initial_state: Name -> what follows a reset, (1, U); none: zeros.
    """
    streams, lanes, steps, resets = _places(evaluations)
    ids = streams.inputs[steps, lanes]
    numbers = None if streams.numbers is None else streams.numbers[steps, lanes]
    states = _states(model, ids, numbers, resets, initial_state or {})
    height = max(2.0, min(8.0, 0.5 + 0.06 * sum(array.shape[1] for array in states.values())))
    figure = new_figure(max(5.0, 0.16 * len(ids)), height + 0.4)
    if figure is None:
        return None
    ratios = [array.shape[1] for array in states.values()]
    rows = figure.subplots(len(states), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    for axes, (name, array) in zip(rows, states.items(), strict=True):
        limit = float(np.abs(array).max()) or 1.0
        image = axes.imshow(array.T, aspect="auto", cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest")
        figure.colorbar(image, ax=axes)
        axes.set_ylabel(f"{name}: {array.shape[1]} units")
        axes.set_yticks([])
        for step in np.flatnonzero(resets):
            axes.axvline(step - 0.5, color="black", linewidth=1.5)
    if len(ids) <= _MOST_LABELS:
        rows[-1].set_xticks(range(len(ids)), [escape_symbol(vocabulary.decode(int(id))) for id in ids], fontsize=7)
        rows[-1].set_xlabel("symbols; a line is a reset")
    else:
        rows[-1].set_xlabel("steps; a line is a reset")
    return to_png(figure)


def _places(evaluations: Mapping[str, Streams]) -> tuple[Streams, AnyArray, AnyArray, AnyArray]:
    """Return what to show: streams, lane and step in them, and where the state is reset before, each of shape (T,)."""
    if "per_sequence" not in evaluations:
        carried = evaluations["carried"]
        shown = np.arange(min(_MOST_STEPS, len(carried.inputs)))
        return carried, np.zeros_like(shown), shown, np.zeros(len(shown), bool)
    streams = evaluations["per_sequence"]
    lanes: list[int] = []
    steps: list[int] = []
    for lane in range(streams.inputs.shape[1]):
        length = int(np.flatnonzero(streams.weights[:, lane]).max()) + 1
        if steps and len(steps) + length > _MOST_STEPS:
            break
        steps += range(min(length, _MOST_STEPS))
        lanes += [lane] * (len(steps) - len(lanes))
    return streams, np.array(lanes), np.array(steps), np.array(steps) == 0


def _states(
    model: keras.Model,
    ids: AnyArray,
    numbers: AnyArray | None,
    resets: AnyArray,
    initial_state: Mapping[str, Float32],
) -> dict[str, Floats]:
    """Return name -> the state after each step, float of shape (T, U), of which `numbers` are the features."""
    forward = Forward(model)
    start = InitialState(model, learned=bool(initial_state))
    start.set_arrays([initial_state[name] for name in start.names if initial_state])
    names = start.names
    state: list[Any] = start.of(1)
    rows = []
    for step, (id, reset) in enumerate(zip(ids, resets, strict=True)):
        beside = None if numbers is None else tf.constant(numbers[step : step + 1, None])
        _, state = forward.logits(tf.constant([[id]], tf.int32), start.of(1) if reset else state, numbers=beside)
        rows.append([np.array(tensor)[0] for tensor in state])
    return {name: np.stack([row[index] for row in rows]) for index, name in enumerate(names)}
