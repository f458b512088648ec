"""Prepare a Keras model for its files: the step function with its start state, and the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import __version__
from ..runtime.common.arrays import Float32, Ids
from ..runtime.common.errors import StateMismatchError, VocabularyError
from ..runtime.format.manifest import Manifest, StateTensor
from ..runtime.format.tensor_specs import EVERY_STEP, Inputs, Output
from ..runtime.format.vocabulary import Vocabulary, read_symbols
from ..runtime.interpreters.base import initial_state as initial_values
from .layers.keras_graph import KerasModel
from .step_function.build import StepFunction, build_step_function
from .step_function.run import run_numpy
from .step_function.window import fixed_length


@dataclass(frozen=True)
class PreparedModel:
    """A model that files can be built from.

    Attributes:
        model: The Keras model.
        step_function: Its step function; its state starts where the files start.
        manifest: The part of the manifest that all files have in common, without measurements.
    """

    model: KerasModel
    step_function: StepFunction
    manifest: Manifest


def prepare(
    model: KerasModel,
    *,
    vocabulary: Vocabulary | Iterable[str] | None = None,
    labels: Vocabulary | Iterable[str] | None = None,
    name: str | None = None,
    one_hot: bool = False,
    values: bool = False,
    training: Mapping[str, Any] | None = None,
    initial_state: Mapping[str, ArrayLike] | None = None,
    warm_up: str | Iterable[str] = (),
    window: int | None = None,
    carried: bool = False,
) -> PreparedModel:
    """Build the step function of `model` and check everything else against it; the arguments are those of `export`.

    Raises:
        NotSteppableError, StateMismatchError, VocabularyError, UnknownSymbolError: As `export` does.
    """
    name = name or model.name
    step_function = build_step_function(
        model, one_hot=one_hot, values=values, labelled=labels is not None, name=name, window=window, carried=carried
    )
    words = _words_of(step_function)
    if vocabulary is None and labels is None and words is not None and not step_function.predicts_symbols:
        labels = Vocabulary.of_ids(step_function.outputs)
    symbols, output_symbols = _matching_vocabularies(
        step_function, _as_vocabulary(vocabulary) or words, _as_vocabulary(labels)
    )
    before = read_symbols(warm_up, symbols) if isinstance(warm_up, str) else warm_up
    step_function = with_start_state(step_function, initial_state, symbols.encode_all(before))
    manifest = Manifest(
        name=name.encode(errors="replace").decode(),
        vocabulary=symbols,
        labels=output_symbols,
        output=step_function.main.activation,
        features=step_function.features,
        extra_outputs=tuple(Output(each.name, each.size, each.activation) for each in step_function.extra_outputs),
        state=step_function.state,
        cells=step_function.cells,
        training=dict(training or {}),
        binary=_is_binary(step_function, output_symbols),
        producer=f"stepcell {__version__}",
        answers=step_function.answers,
        window=step_function.window,
    )
    return PreparedModel(model, step_function, manifest)


def _words_of(step_function: StepFunction) -> Vocabulary | None:
    """Return the vocabulary of a model that looks words up itself."""
    number = step_function.interface.symbol
    words = None if number is None else step_function.graph.inputs[number].words
    return None if words is None else Vocabulary(words.symbols[: step_function.symbols], words.unknown)


def _as_vocabulary(symbols: Vocabulary | Iterable[str] | None) -> Vocabulary | None:
    return symbols if symbols is None or isinstance(symbols, Vocabulary) else Vocabulary(tuple(symbols))


def _matching_vocabularies(
    step_function: StepFunction, vocabulary: Vocabulary | None, labels: Vocabulary | None
) -> tuple[Vocabulary, Vocabulary | None]:
    """Return vocabulary and labels of the right sizes, or raise VocabularyError with everything that is wrong."""
    symbols, outputs = step_function.symbols, step_function.outputs
    problems = []
    if vocabulary is None or not (len(vocabulary) or symbols):
        vocabulary = Vocabulary.of_ids(symbols) if symbols else Vocabulary.none()
        if labels is None and not step_function.predicts_symbols:
            labels = Vocabulary.of_ids(outputs)
    elif not symbols:
        problems.append(
            f"the model reads features and no symbols, the vocabulary has {len(vocabulary)}; if its vectors are "
            "one-hot symbols, say so (--one-hot)"
        )
    elif len(vocabulary) != symbols:
        problems.append(f"the model reads {symbols} symbols, the vocabulary has {len(vocabulary)}")
    if labels is not None and len(labels) != outputs and not _is_binary(step_function, labels):
        problems.append(f"the model answers with {outputs} probabilities, there are {len(labels)} labels")
    if labels is None and step_function.main.activation == "linear":
        labels = Vocabulary.of_ids(outputs)
    if labels is None and outputs != symbols:
        problems.append(
            f"the model reads {symbols} symbols and answers with {outputs} probabilities: give a vocabulary of labels"
            + (
                "; if its numbers are the answer as they are, say so (--values)"
                if step_function.main.from_logits
                else ""
            )
        )
    if problems:
        raise VocabularyError(f"The vocabulary does not fit the model: {'; '.join(problems)}. Nothing was written.")
    return vocabulary, labels


def _is_binary(step_function: StepFunction, labels: Vocabulary | None) -> bool:
    """Tell whether there are two labels for one sigmoid unit, the probability of the second of them."""
    is_sigmoid = step_function.outputs == 1 and step_function.main.activation == "sigmoid"
    return is_sigmoid and labels is not None and len(labels) == 2


def with_start_state(
    step_function: StepFunction, given: Mapping[str, ArrayLike] | None = None, warm_up: Ids | None = None
) -> StepFunction:
    """Return `step_function` with another state after a reset.

    Args:
        step_function: The step function of a model.
        given: Name -> numbers of the shape of the state tensor, with a batch of 1 before it or without: a learned
            state, or `Stream.state`; of a window in rows, that which each window begins with. None: the state it has
            now.
        warm_up: Ids of shape (T,) that are stepped from there, in float64; the state after them, rounded to float32, is
            the start state.

    Raises:
        StateMismatchError: Names or shapes are not those of the state, or a number is not finite; all of that is named.
    """
    state, window = step_function.state, step_function.window
    if window is not None and (window.method == "recompute" or (warm_up is not None and len(warm_up))):
        if given is not None or (warm_up is not None and len(warm_up)):
            raise StateMismatchError(
                f"Each window of {window.length} time steps begins anew, so nothing that comes before it can be its "
                "start: leave out the warm-up, or write an endless stream (carried=True, --carried). A start state can "
                "be given to windows in rows alone. Nothing was written."
            )
        return step_function
    start = {**initial_values(state), **({} if given is None else _checked(step_function, given))}
    if warm_up is not None and len(warm_up):
        if static := [tensor.describe() for tensor in step_function.interface.static.values()]:
            raise StateMismatchError(
                f"A model that reads static inputs ({', '.join(static)}) has another state after the same symbols for "
                "each stream, so it cannot be warmed up. Warm up each stream: Stream.absorb. Nothing was written."
            )
        if step_function.features:
            names = ", ".join(feature.describe() for feature in step_function.features)
            raise StateMismatchError(
                f"A model that reads {names} beside its symbols cannot be warmed up with symbols alone. Step it in "
                "Python and give its state (initial_state, --initial-state). Nothing was written."
            )
        states = run_numpy(step_function, Inputs(warm_up), [start], recorded=1)[0].states
        with np.errstate(over="ignore"):
            start = {name: array.astype(np.float32) for name, array in states.items()}
        endless = [name for name, array in start.items() if not np.isfinite(array).all()]
        if endless:
            names = ", ".join(endless)
            raise StateMismatchError(f"After the warm-up {names} is no longer finite. Nothing was written.")
    return step_function.starting_from(tuple(tensor.starting_from(start[tensor.name]) for tensor in state))


def _checked(step_function: StepFunction, given: Mapping[str, ArrayLike]) -> dict[str, Float32]:
    """Return `given` as float32 of shape (1, ...) by name, or refuse it."""
    # A window in rows is told how one row begins.
    rows = 0 if step_function.window is None else 1
    shapes = {tensor.name: tensor.shape[rows:] for tensor in step_function.state if not tensor.given}
    whole = {tensor.name: (1, *tensor.shape) for tensor in step_function.state}
    problems = [f"{name} is not given" for name in shapes if name not in given]
    found = {}
    for name, value in given.items():
        if name not in shapes:
            problems.append(f"{name} is none of its states")
            continue
        try:
            with np.errstate(over="ignore"):
                array = np.array(value, np.float32)
        except (TypeError, ValueError) as error:
            problems.append(f"{name} is not made of numbers ({error})")
            continue
        if array.shape not in (shapes[name], (1, *shapes[name])):
            problems.append(f"{name} has the shape {array.shape}, not {shapes[name]}")
        elif not np.isfinite(array).all():
            problems.append(f"{name} is not finite everywhere")
        else:
            found[name] = np.broadcast_to(array.reshape(shapes[name]), whole[name]).astype(np.float32)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise StateMismatchError(
            f"The model cannot start from this state; it wants {shapes}:\n{listed}\nNothing was written."
        )
    return found


def describe_past(step_function: StepFunction) -> str:
    """Say in a sentence what an answer depends on, and what that costs."""
    window, fixed = step_function.window, fixed_length(step_function.graph)
    if window is None:
        carried = "an endless stream: the state is carried from step to step"
        carried += "" if fixed is None else f", also beyond the {fixed} time steps that the model was built for"
        times = step_function.answers
        return carried if times == EVERY_STEP else f"{carried}; it answers {times.describe()}"
    length = window.length
    if length == 1:
        return "a window of a single time step: an answer depends on its own step alone, and nothing is carried"
    cost = (
        f"{length} staggered rows, which are one batch" if window.method == "rows"
        else f"the whole window is computed anew, which costs about {length} plain steps"
    )  # fmt: skip
    return (
        f"a window: an answer depends on the last {length} time steps alone, and the first one comes at step {length}; "
        f"{cost}; the state has {_bytes(step_function.state):,} bytes"
    )


def _bytes(state: tuple[StateTensor, ...]) -> int:
    return 4 * sum(prod(tensor.shape) for tensor in state)
