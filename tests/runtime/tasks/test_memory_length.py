"""How long a network remembers, on pairs of states of which one began anew."""

from __future__ import annotations

import numpy as np
import pytest
from support.models import DATA

from stepcell.runtime import load
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.tasks.memory_length import measure_memory, memory_length

INPUTS = Inputs(np.arange(10, dtype=np.int32))


def pairs_that_differ_by(differences):
    """Return the states of pairs, and a step that halves each state."""
    size = len(differences)
    carried = {"h0": np.array(differences, np.float32)[:, None]}
    return np.zeros(size, int), carried, {"h0": np.zeros((size, 1), np.float32)}


def halve(inputs, states):
    assert len(inputs) == len(states["h0"])
    return {"h0": states["h0"] / 2}


def test_all_pairs_but_one_in_a_hundred_have_to_agree():
    near, far = 2.0**-7, 2.0**5  # after 7 steps, and after 19, 2 ** -14 is left: less than 1e-4
    assert memory_length(halve, INPUTS, *pairs_that_differ_by([near] * 99 + [far])) == 7
    assert memory_length(halve, INPUTS, *pairs_that_differ_by([near] * 98 + [far] * 2)) == 19


def test_large_numbers_agree_relatively():
    def stay(inputs, states):
        return states

    places, carried, anew = pairs_that_differ_by([1e6 + 50, 1e6 - 50])
    assert memory_length(stay, INPUTS, places, carried, {"h0": np.full((2, 1), 1e6, np.float32)}, steps=5) == 1
    assert memory_length(stay, INPUTS, places, carried, anew, steps=5) == 4096


def test_a_pair_gets_the_symbols_that_follow_its_place():
    seen = []

    def note(inputs, states):
        seen.append(inputs.ids.tolist())
        return states

    _, carried, anew = pairs_that_differ_by([1, 1])
    memory_length(note, INPUTS, np.array([3, 8]), carried, anew, steps=3)
    assert seen == [[3, 8, 3, 8], [4, 9, 4, 9], [5, 0, 5, 0]]


def test_a_state_that_is_no_number_never_agrees():
    places, carried, anew = pairs_that_differ_by([np.nan, np.nan])
    assert memory_length(halve, INPUTS, places, carried, anew, steps=20) == 4096


@pytest.mark.parametrize("name", ["lstm", "sensor", "wide", "masked"])
def test_a_file_that_does_not_say_it_is_measured(name):
    """A stream that begins anew is the carried one after so many symbols, and was not at half of them."""
    model, random = load(DATA / f"{name}.onnx"), np.random.default_rng(1)
    length = measure_memory(model)
    carried, anew = model.stream(), model.stream()

    def symbols(count):
        ids = random.integers(0, max(len(model.vocabulary), 1), count)
        features = {
            f.name: random.standard_normal((count, *f.shape)) if f.ids is None else random.integers(0, f.ids, count)
            for f in model.manifest.features
        }
        return [model.vocabulary.symbols[id] for id in ids] if len(model.vocabulary) else None, features or None

    def difference():
        return max(np.abs(carried.state[name] - anew.state[name]).max() for name in carried.state)

    carried.absorb(*symbols(300))
    for part in (length // 2, 2 * length):
        before = difference()
        history = symbols(part)
        carried.absorb(*history)
        anew.absorb(*history)
    assert before > 1e-4 >= difference()


def test_a_window_remembers_its_steps_and_a_state_that_grows_forever():
    assert measure_memory(load(DATA / "growing_softmax.onnx")) == 4096
    assert measure_memory(load(DATA / "convolution.onnx")) == 7
