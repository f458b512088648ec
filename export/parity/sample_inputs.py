"""Inputs of a parity check: a sample of the user, or drawn ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ...runtime.common.arrays import AnyArray, Ids
from ...runtime.common.errors import FeatureMismatchError
from ...runtime.format.manifest import Manifest
from ...runtime.format.tensor_specs import Inputs, checked_features
from ...runtime.interpreters.base import initial_state
from ..ops import NumpyOps
from ..step_function.build import StepFunction
from ..step_function.interface import Interface
from ..step_function.run import as_mapping
from .sample_file import read_sample

_MOST_LANES, _SHORTEST_LANE = 16, 500


def random_inputs(interface: Interface, steps: int, random: np.random.Generator | int) -> Inputs:
    """Return symbols and ids drawn evenly, and numbers from a normal distribution.

    The distribution is that of the Normalization behind the input, where there is one, else the standard one.
    """
    random = np.random.default_rng(random)
    ids: Ids = random.integers(0, max(interface.symbols, 1), steps, dtype=np.int32)
    return Inputs(ids, _random_features(interface, steps, random))


def random_static(interface: Interface, streams: int, random: np.random.Generator | int) -> dict[str, AnyArray]:
    """Return static inputs for so many streams, name -> float32 (streams, ...), drawn as `random_inputs` does."""
    random = np.random.default_rng(random)
    return {
        tensor.name: _numbers(interface, number, (streams, *tensor.shape), random)
        for number, tensor in interface.static.items()
    }


def sample_inputs(
    manifest: Manifest, symbols: Iterable[str] | Path | None, features: Mapping[str, ArrayLike] | None
) -> Inputs | None:
    """Return T symbols as they really occur and the features beside them, (T, ...); None where there are none.

    Args:
        manifest: That of the model.
        symbols: The symbols, or the file of a sample (see `read_sample`).
        features: Name -> the features; of a model without symbols they are all of the sample.

    Raises:
        CorpusError: The file cannot be read.
        UnknownSymbolError: A symbol is not in the vocabulary.
        FeatureMismatchError: The features are not those that the model reads, or not T of each.
    """
    if isinstance(symbols, Path):
        symbols, features = read_sample(symbols, manifest)
    if symbols is None and features and len(manifest.vocabulary):
        raise FeatureMismatchError(
            f"{manifest.name} reads symbols, and the sample has features alone ({', '.join(features)}). Give the "
            "symbols beside them: sample."
        )
    if symbols is None and not features:
        return None
    if symbols is None:
        first = np.shape(next(iter((features or {}).values())))
        ids = np.zeros(first[:1] or 1, np.int32)
    else:
        ids = manifest.vocabulary.encode_all(symbols)
    return Inputs(ids, checked_features(features, manifest.features, manifest.name, ids.shape) if features else {})


def typical_inputs(
    step_function: StepFunction, steps: int, random: np.random.Generator, sample: Inputs | None = None
) -> Inputs:
    """Return a sequence that the model may meet.

    It is `sample`, repeated; without one a model of next symbols feeds its own predictions back, drawn by their
    probabilities, and any other gets symbols drawn evenly. Features that the sample has not are random.
    """
    if sample is not None and len(sample):
        taken = sample[np.arange(steps) % len(sample)]
        return Inputs(taken.ids, {**_random_features(step_function.interface, steps, random), **taken.features})
    if not step_function.predicts_symbols:
        return random_inputs(step_function.interface, steps, random)
    # Several sequences side by side, one after the other in what is returned: products of rows are cheaper than rows.
    lanes = max(1, min(_MOST_LANES, steps // _SHORTEST_LANE))
    length = -(-steps // lanes)
    features = _random_features(step_function.interface, lanes * length, random)
    arithmetic = NumpyOps()
    initial = initial_state(step_function.state)
    initial = {name: np.repeat(array, lanes, axis=0) for name, array in initial.items()}
    initial.update(random_static(step_function.interface, lanes, random))
    state = {name: array.astype(np.float64) for name, array in initial.items()}
    ids = np.zeros((lanes, length), np.int32)
    ids[:, 0] = random.integers(0, step_function.symbols, lanes)
    first = np.arange(lanes) * length
    for step in range(1, length):
        inputs = Inputs(ids.reshape(-1), features)[first + step - 1]
        answers, state = step_function.advance(arithmetic, as_mapping(inputs), state)
        answer = answers[step_function.main.name]
        # The first symbol at which the summed probabilities pass a random share of their total.
        sums = np.cumsum(answer, axis=1)
        drawn = (sums <= random.random((lanes, 1)) * sums[:, -1:]).sum(axis=1)
        ids[:, step] = np.minimum(drawn, step_function.symbols - 1)
    return Inputs(ids.reshape(-1), features)[:steps]


def every_symbol(
    step_function: StepFunction, steps: int, random: np.random.Generator, sample: Inputs | None = None
) -> Inputs:
    """Return all symbols equally often, in random order, with features drawn from those of `sample`."""
    symbols = np.arange(max(step_function.symbols, 1), dtype=np.int32)
    ids = random.permutation(np.resize(symbols, steps))
    features = _random_features(step_function.interface, steps, random)
    if sample is not None and sample.features:
        features = {**features, **sample[random.integers(0, len(sample), steps)].features}
    return Inputs(ids, features)


def _random_features(interface: Interface, steps: int, random: np.random.Generator) -> dict[str, AnyArray]:
    features: dict[str, AnyArray] = {}
    for number, feature in interface.features.items():
        if feature.ids is not None:
            features[feature.name] = random.integers(0, feature.ids, steps, dtype=np.int32)
            continue
        features[feature.name] = _numbers(interface, number, (steps, *feature.shape), random)
    return features


def _numbers(interface: Interface, number: int, shape: tuple[int, ...], random: np.random.Generator) -> AnyArray:
    numbers: AnyArray = random.standard_normal(shape, np.float32)
    mean, deviation = interface.spread.get(number, (np.float32(0), np.float32(1)))
    return numbers * deviation + mean
