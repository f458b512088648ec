"""How long a network remembers: the steps after which a state that began anew is the one that was carried.

N is the smallest number of steps after which 99 % of pairs of states agree. One state of a pair was carried, the other
begins anew where the pair begins, and both get the same inputs from there. States agree where no number differs by more
than 1e-4, relative above 1. A stream whose state is lost is right again after its last N symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from ..common.arrays import AnyArray, Flags
from ..common.errors import NotFiniteError
from ..format.manifest import LONGEST_MEMORY, Manifest
from ..format.tensor_specs import Inputs
from ..streams.model import Model
from ..streams.static import start_of

SHARE, TOLERANCE = 0.99, 1e-4
States: TypeAlias = Mapping[str, AnyArray]  # name -> (N, ...)
Advance: TypeAlias = Callable[[Inputs, States], States]  # the inputs of N streams, their states -> the next states

_PAIRS, _CARRIED, _STEPS = 16, 128, 1_024  # of a model without a measured length: a second on a small machine at most
_SEED = 4_096


def memory_length(
    advance: Advance, inputs: Inputs, places: AnyArray, carried: States, anew: States, *, steps: int = LONGEST_MEMORY
) -> int:
    """Return how long a network remembers, in steps.

    Args:
        advance: Steps many streams.
        inputs: A typical sequence, T steps; behind its end comes its beginning.
        places: The step of it that comes first for each pair, int (P,).
        carried: The carried state of each pair.
        anew: Its state that begins anew.
        steps: How many steps to make at most.

    Returns:
        1 to `LONGEST_MEMORY`; `LONGEST_MEMORY` if fewer pairs agree after `steps`.
    """
    pairs = len(places)
    may_differ = pairs - int(np.ceil(SHARE * pairs))
    states: States = {name: np.concatenate([array, anew[name]]) for name, array in carried.items()}
    for step in range(steps):
        states = advance(inputs[np.tile((places + step) % len(inputs), 2)], states)
        apart = np.flatnonzero(_differ(states, len(places)))
        if len(apart) <= may_differ:
            return step + 1
        if len(apart) < len(places):  # pairs that agree need no more steps
            rows = np.concatenate([apart, apart + len(places)])
            states, places = {name: array[rows] for name, array in states.items()}, places[apart]
    return LONGEST_MEMORY


def measure_memory(model: Model) -> int:
    """Return how long the network of a file that does not say it remembers, on random symbols and known features.

    Args:
        model: The model; its features are those of its golden sequence, where it has one.
    """
    manifest, random = model.manifest, np.random.default_rng(_SEED)
    if manifest.window is not None:
        return min(manifest.window.length, LONGEST_MEMORY)
    every = manifest.answers.every  # a pair begins where the period of a stream does
    steps = -(-_CARRIED // every) * every
    inputs = _random_inputs(manifest, steps + _STEPS, random)
    batch = model.pool.open_batch(2 * _PAIRS)

    def advance(inputs: Inputs, states: States) -> States:
        rows = len(inputs)
        for name, memory in batch.state().items():
            memory[:rows] = states[name]
        ids = np.resize(inputs.ids, batch.size)
        batch.compute(ids, {name: np.resize(a, (batch.size, *a.shape[1:])) for name, a in inputs.features.items()})
        return {name: memory[:rows].copy() for name, memory in batch.next_state().items()}

    anew: States = start_of(model.file, model.static or _random_static(manifest, random), (_PAIRS,))
    carried = anew
    places = np.arange(_PAIRS) * (len(inputs) // _PAIRS)
    try:
        for step in range(steps):
            carried = advance(inputs[(places + step) % len(inputs)], carried)
        return memory_length(advance, inputs, places + steps, carried, anew, steps=_STEPS)
    except NotFiniteError:  # random symbols need not be typical
        return LONGEST_MEMORY


def _differ(states: States, pairs: int) -> Flags:
    """Tell which pairs differ, (P,); row i and row P + i are a pair."""
    found = np.zeros(pairs, bool)
    for array in states.values():
        one, other = array.reshape(2, pairs, -1)
        with np.errstate(invalid="ignore"):
            agree = np.abs(one - other) <= TOLERANCE * np.maximum(1.0, np.abs(one))
        found |= ~agree.all(axis=1)
    return found


def _random_inputs(manifest: Manifest, steps: int, random: np.random.Generator) -> Inputs:
    ids = random.integers(0, max(len(manifest.vocabulary), 1), steps, dtype=np.int32)
    features: dict[str, AnyArray] = {}
    for feature in manifest.features:
        known = [row for run in (manifest.golden.runs if manifest.golden else ()) for row in run.features[feature.name]]
        if known:
            rows = np.array(known, feature.dtype)[random.integers(0, len(known), steps)]
            features[feature.name] = rows.reshape(steps, *feature.shape)
        elif feature.ids is None:
            features[feature.name] = random.standard_normal((steps, *feature.shape), np.float32)
        else:
            features[feature.name] = random.integers(0, feature.ids, steps, dtype=np.int32)
    return Inputs(ids, features)


def _random_static(manifest: Manifest, random: np.random.Generator) -> dict[str, AnyArray] | None:
    given = {tensor.name: random.standard_normal(tensor.shape, np.float32) for tensor in manifest.static}
    return given or None
