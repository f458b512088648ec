"""Run a model over rows with its state carried, reset or cut off: the answers that labels and values are judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from ..common.arrays import AnyArray, Float32, Indices
from ..common.errors import OptionError
from ..format.tensor_specs import EVERY_STEP, Inputs
from ..streams.model import Model
from ..streams.stream import Stream
from .evaluation import CARRIED, MEMORYLESS, RESET
from .targets import TargetData

_MOST_ALONE = 20_000  # rows of the mode without memory; more are drawn from
_SEED = 20_201_120


def run_inputs(stream: Stream, inputs: Inputs) -> Float32:
    """Feed T rows and return the main output, float32 of shape (T, K); the state moves on."""
    if not inputs.features:
        return stream.run_ids(inputs.ids)
    symbols = stream.file.manifest.vocabulary.symbols
    return stream.run([symbols[id] for id in inputs.ids.tolist()] if symbols else None, dict(inputs.features))


def answers_by_sequence(model: Model, data: TargetData) -> Float32:
    """Return the answers to all rows, float32 of shape (N, K), the state reset before each sequence.

    NaN stands in the rows of steps without an answer, and of events whose gap follows.

    Raises:
        FeatureMismatchError, BackendError, NotFiniteError: As `Stream.run` does.
    """
    answers = _in_parts(model.stream(), data.inputs, data.starts)
    answers[~data.counts] = np.nan
    return answers


def answers_by_mode(
    model: Model, data: TargetData, progress: Callable[[str], None] = lambda _: None
) -> Mapping[str, tuple[Indices, Float32]]:
    """Return name of a mode -> indices of the rows that were answered, (M,), and the answers, (M, K).

    The modes are those of `Evaluation`: "reset" before each sequence if there are several, "carried", "memoryless". A
    mode without answers is left out.

    Raises:
        OptionError: The model has no answer to any row.
        FeatureMismatchError, BackendError, NotFiniteError: As `Stream.run` does.
    """
    stream, rows = model.stream(), np.flatnonzero(data.counts)
    found: dict[str, tuple[Indices, Float32]] = {}
    if len(data.starts) > 2:
        progress("the state reset before each sequence")
        found[RESET] = rows, _in_parts(stream, data.inputs, data.starts)[rows]
    progress("the state carried")
    stream.reset()
    found[CARRIED] = rows, run_inputs(stream, data.inputs)[rows]
    progress("the state reset before each row")
    found[MEMORYLESS] = _alone(stream, data, rows)
    answers = model.manifest.answers
    if answers != EVERY_STEP:
        found = {name: _with_answer(*each) for name, each in found.items()}
        found = {name: each for name, each in found.items() if len(each[0])}
        if found.keys() <= {MEMORYLESS}:
            raise OptionError(
                f"Nothing can be evaluated: {model.file.name} answers {answers.describe()}, and no sequence is so long."
            )
    return found


def _alone(stream: Stream, data: TargetData, rows: Indices) -> tuple[Indices, Float32]:
    """Return some of `rows` and the answers to them, the state reset before each, or before the event of its gap."""
    drawn = np.sort(np.random.default_rng(_SEED).permutation(len(rows))[:_MOST_ALONE])
    firsts = np.append(0, rows[:-1] + 1)[drawn]
    lengths = rows[drawn] - firsts + 1
    starts = np.append(0, np.cumsum(lengths))
    steps = np.arange(starts[-1]) + np.repeat(firsts - starts[:-1], lengths)
    return rows[drawn], _in_parts(stream, data.inputs[steps], starts)[starts[1:] - 1]


def _with_answer(rows: Indices, outputs: Float32) -> tuple[Indices, Float32]:
    """Return both without the rows of steps without an answer, in which NaN stands."""
    answered = ~np.isnan(outputs[:, 0])
    return rows[answered], outputs[answered]


def main_rows(found: Mapping[str, tuple[Indices, Float32]]) -> Indices:
    """Return the indices of the rows that were answered in the mode that `Evaluation.main` is of."""
    return found[RESET if RESET in found else CARRIED][0]


def silent_note(model: Model, answered: Indices, count: int) -> tuple[str, ...]:
    """Return as a remark how many of `count` rows were not answered; () if the model answers at each step."""
    answers = model.manifest.answers
    if answers == EVERY_STEP:
        return ()
    return (f"the model answers {answers.describe()}: {count - len(answered):,} of {count:,} rows have no answer",)


def _in_parts(stream: Stream, inputs: Inputs, starts: AnyArray) -> Float32:
    parts = []
    for first, last in pairwise(starts.tolist()):
        stream.reset()
        parts.append(run_inputs(stream, inputs[first:last]))
    return np.concatenate(parts)
