"""TensorFlow Lite Micro steps the files that were exported for it as other interpreters do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.models import DATA

from stepcell.runtime import BackendError, DamagedFileError, WrongBackendError, load, read_model_file
from stepcell.runtime.format.manifest import Manifest
from stepcell.runtime.format.model_file import ModelFile, pack, unpack
from stepcell.runtime.interpreters import tflm_backend
from stepcell.runtime.interpreters.registry import open_backend
from stepcell.runtime.interpreters.tflm_backend import open_interpreter, smallest_arena

pytestmark = pytest.mark.tflite_micro
FILES = ["lstm40.int8.tflm.tflite", "sensor.tflm.tflite"]


def with_micro(file: ModelFile, **changes) -> bytes:
    """The bytes of a file whose manifest says something else about its positions."""
    manifest: Manifest = file.manifest
    return pack(file.payload, replace(manifest, micro=replace(manifest.micro, **changes)), "tflite")


def inputs_of(model, steps=40):
    random = np.random.default_rng(5)
    symbols = model.vocabulary.symbols or (None,)
    for id in random.integers(0, len(symbols), steps):
        features = {f.name: random.normal(size=f.shape).astype(np.float32) for f in model.manifest.features}
        yield symbols[id], features or None


@pytest.mark.parametrize("other", ["litert", "numpy"])
@pytest.mark.parametrize("name", FILES)
def test_its_answers_are_those_of_other_interpreters(name, other):
    one, two = (load(DATA / name, backend=backend) for backend in ("tflm", other))
    exact = one.manifest.quantization == "float32"
    ours, theirs = one.stream(), two.stream()
    for symbol, features in inputs_of(one):
        values = ours.step(symbol, features).values, theirs.step(symbol, features).values
        np.testing.assert_allclose(*values, atol=1e-5 if exact else 0.1)
    assert one.backend.startswith("tflite-micro")


@pytest.mark.parametrize("backend", ["tflm", "litert", "numpy"])
def test_a_saved_state_goes_on_and_streams_do_not_disturb_each_other(tmp_path, backend):
    model = load(DATA / "lstm40.int8.tflm.tflite", backend=backend)
    one, other = model.stream(), model.stream()
    other.step("7")
    for symbol in "3141592":
        one.step(symbol)
    one.save(tmp_path / "state")
    right = [one.step(symbol).values for symbol in "653"]
    again = model.restore(tmp_path / "state")
    other.step("7")
    assert np.array_equal([again.step(symbol).values for symbol in "653"], right)


def test_many_streams_at_once_answer_as_one_does():
    model = load(DATA / "lstm40.int8.tflm.tflite", backend="tflm")
    streams, alone = model.streams(3), model.stream()
    for symbol in "0123":
        right = alone.step(symbol).values
        assert np.array_equal(streams.step([symbol] * 3), [right] * 3)


def test_files_for_other_interpreters_are_refused_with_the_way_to_make_one():
    with pytest.raises(WrongBackendError, match="memory.tflite is not for TensorFlow Lite Micro.*--target tflm"):
        load(DATA / "memory.tflite", backend="tflm")
    with pytest.raises(BackendError, match="Non-constant >begin< tensor is not supported"):
        open_interpreter("tflm", read_model_file(DATA / "pieces.tflite").payload)


def test_it_has_no_steps_in_two_phases():
    with pytest.raises(WrongBackendError, match="tflite-micro does all of a step before its answer"):
        load(DATA / FILES[0], backend="tflm").stream(low_latency=True)


def test_positions_that_are_not_those_of_the_model_are_found():
    file = read_model_file(DATA / "lstm40.int8.tflm.tflite")
    symbol, *states = file.manifest.micro.inputs
    with pytest.raises(DamagedFileError, match="micro.inputs are not the inputs of the model"):
        unpack(with_micro(file, inputs=(symbol, "h0", "h0")), file.name)
    wrong = unpack(with_micro(file, inputs=(*states, symbol)), file.name)
    with pytest.raises(DamagedFileError, match="h0 at position 0 is int32 .*, the manifest promises float32"):
        open_backend("tflm", wrong)


@pytest.mark.parametrize("name", FILES)
def test_the_recorded_arena_is_enough_and_the_smallest_is_not_larger(name):
    file = read_model_file(DATA / name)
    arena = smallest_arena(file)
    assert arena <= file.manifest.micro.arena
    open_interpreter("tflm", file.payload, file.manifest.micro.arena)
    with pytest.raises(BackendError, match="allocate"):
        open_interpreter("tflm", file.payload, arena - 16)


def test_no_arena_is_tried_in_which_operators_may_crash(monkeypatch):
    file, tried = read_model_file(DATA / FILES[0]), []

    def recorded(name, payload, arena=None):
        tried.append(arena)
        return open_interpreter(name, payload, arena)

    monkeypatch.setattr(tflm_backend, "open_interpreter", recorded)
    smallest = smallest_arena(file)
    assert tried[0] is None
    assert all(smallest / 2 < arena < 4 * smallest for arena in tried[1:])
