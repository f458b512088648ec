"""Plots of a run: the learning curve, and the state over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.common.arrays import AnyArray, Floats
from ...runtime.common.plotting import new_figure, to_png
from ...runtime.format.vocabulary import show_symbol
from ..fitting.checkpoint import HistoryRow
from ..fitting.predictions import ValuePredictions
from ..problems.problem import Score, Streams
from ..problems.value_score import ValueScore

if TYPE_CHECKING:
    from ..fitting.fit import FitResult
    from ..network.built_network import BuiltNetwork

_MAX_STEPS = 96
_MOST_ROWS = 400  # of held-out values
_MAX_LABELS = 48  # symbols written under the plot; more would not be legible


def draw_curve(history: Sequence[HistoryRow]) -> bytes | None:
    """Return a PNG of loss and accuracy over updates, in training and evaluation; None without matplotlib."""
    figure = new_figure(8, 3.6)
    if figure is None:
        return None
    updates = [row.update for row in history]
    evaluated = [(row.update, row.evaluation) for row in history if row.evaluation is not None]
    at = [update for update, _ in evaluated]
    losses = [row.loss for row in history], [score.loss for _, score in evaluated]
    panels: list[Any] = [(losses, "loss (nats per symbol)", (0, None))]
    of_values = [score for _, score in evaluated if isinstance(score, ValueScore)]
    if of_values:
        errors: list[float] = [score.absolute[0] for score in of_values]
        panels = [(losses, "loss", (0, None)), (([], errors), "mean absolute error", (0, None))]
    else:
        accuracies = [100 * score.accuracy for _, score in evaluated if isinstance(score, Score)]
        panels.append((([100 * row.accuracy for row in history], accuracies), "accuracy (%)", (0, 102)))
    for axes, ((train, evaluation), label, limits) in zip(figure.subplots(1, 2), panels, strict=True):
        axes.plot(updates[: len(train)], train, color="tab:blue", label="training")
        axes.plot(at, evaluation, "o-", color="tab:orange", label="evaluation")
        axes.set(xlabel="updates", ylabel=label, ylim=limits)
        axes.grid(alpha=0.3)
        axes.legend()
    return to_png(figure)


def draw_state(fitted: FitResult) -> bytes | None:
    """Return a PNG of the state of every recurrent unit after every symbol; None without matplotlib.

    It shows sequences one after the other, with resets marked, where the problem has sequences; else the beginning of
    a stream.
    """
    streams, rows, steps, resets = _select(fitted.data.evaluations)
    ids = streams.inputs[steps, rows]
    features = None if streams.features is None else streams.features[steps, rows]
    states = _states(fitted.network, ids, features, resets)
    ratios = [array.shape[1] for array in states.values()]
    figure = new_figure(max(5.0, 0.16 * len(ids)), max(2.0, min(8.0, 0.5 + 0.06 * sum(ratios))) + 0.4)
    if figure is None:
        return None
    panels = figure.subplots(len(states), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    for axes, (name, array) in zip(panels, states.items(), strict=True):
        limit = float(np.abs(array).max()) or 1.0
        image = axes.imshow(array.T, aspect="auto", cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest")
        figure.colorbar(image, ax=axes)
        axes.set_ylabel(f"{name}: {array.shape[1]} units")
        axes.set_yticks([])
        for step in np.flatnonzero(resets):
            axes.axvline(step - 0.5, color="black", linewidth=1.5)
    if len(ids) <= _MAX_LABELS and len(fitted.data.problem.vocabulary):
        decode = fitted.data.problem.vocabulary.decode
        panels[-1].set_xticks(range(len(ids)), [show_symbol(decode(int(id))) for id in ids], fontsize=7)
        panels[-1].set_xlabel("symbols; a line is a reset")
    else:
        panels[-1].set_xlabel("steps; a line is a reset")
    return to_png(figure)


def draw_values(fitted: FitResult) -> bytes | None:
    """Return a PNG of values and answers over the held-out rows; None without matplotlib, or for symbols."""
    made, scaling = fitted.carried, fitted.network.values
    if scaling is None or not isinstance(made, ValuePredictions):
        return None
    figure = new_figure(13, 2.4 * len(scaling.names) + 1)
    if figure is None:
        return None
    counted = np.flatnonzero(made.streams.weights[:, 0])[:_MOST_ROWS]
    panels = figure.subplots(len(scaling.names), 1, sharex=True, squeeze=False)[:, 0]
    for index, (axes, name) in enumerate(zip(panels, scaling.names, strict=True)):
        axes.plot(counted, made.streams.targets[counted, 0, index], color="tab:blue", label="right value")
        axes.plot(counted, made.answers[counted, 0, index], color="tab:orange", linewidth=0.9, label="answer")
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
    panels[0].legend()
    panels[-1].set_xlabel("held-out rows, the state carried; each answer at the row of the value that it is about")
    return to_png(figure)


def _select(evaluations: Mapping[str, Streams]) -> tuple[Streams, AnyArray, AnyArray, AnyArray]:
    """Return the streams to show, and the row, the step and the reset of each symbol shown, each of shape (T,)."""
    if "per_sequence" not in evaluations:
        carried = evaluations["carried"]
        shown = np.arange(min(_MAX_STEPS, len(carried.inputs)))
        return carried, np.zeros_like(shown), shown, np.zeros(len(shown), bool)
    streams = evaluations["per_sequence"]
    rows: list[int] = []
    steps: list[int] = []
    for row in range(streams.inputs.shape[1]):
        length = int(np.flatnonzero(streams.weights[:, row]).max()) + 1
        if steps and len(steps) + length > _MAX_STEPS:
            break
        steps += range(min(length, _MAX_STEPS))
        rows += [row] * (len(steps) - len(rows))
    return streams, np.array(rows), np.array(steps), np.array(steps) == 0


def _states(network: BuiltNetwork, ids: AnyArray, features: AnyArray | None, resets: AnyArray) -> dict[str, Floats]:
    """Return name -> the state after each step, float of shape (T, U)."""
    import tensorflow as tf

    from ..network.forward import forward

    initial = network.initial_state
    state: list[Any] = initial.of(1)
    states = []
    for step, (id, reset) in enumerate(zip(ids, resets, strict=True)):
        given = None if features is None else tf.constant(features[step : step + 1, None])
        _, state = forward(network, tf.constant([[id]], tf.int32), initial.of(1) if reset else state, features=given)
        states.append([np.array(tensor)[0] for tensor in state])
    return {name: np.stack([one[index] for one in states]) for index, name in enumerate(initial.names)}
