"""Start states: given, learned or reached by a warm-up, they are in the file, and everything begins there."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from support.broken_export import expected_of, prove
from support.keras_models import STANDARD, STATES
from support.models import DATA
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import LayerStep, ParityError, build_step_function, check, step_rule
from stepcell.export.model_files import build_file
from stepcell.export.prepare import prepare
from stepcell.export.step_function.run import run_numpy
from stepcell.runtime import BackendError, StateMismatchError, StateTensor, UnknownSymbolError, load, read_model_file
from stepcell.runtime.format.describe import describe_manifest
from stepcell.runtime.format.manifest_reader import read_manifest
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.interpreters.probe import usable_backends

FEW = {"steps": 50}
UNITS = 12


@pytest.fixture(scope="session")
def keras_model():
    return STANDARD["started"].build()


@pytest.fixture(scope="session")
def start():
    return {name: np.array([numbers], np.float32) for name, numbers in STATES.items()}


@pytest.fixture(scope="session")
def files(exported):
    """The model with a start state as model.tflite and model.onnx."""
    return exported("started").files[:-1]


def each_runtime(files):
    return [(path, backend) for path in files for backend in usable_backends(path.suffix[1:])]


def test_a_given_start_state_is_where_every_reset_leads_on_every_interpreter(files, start):
    assert {backend for _, backend in each_runtime(files)} >= {"litert", "tflite", "onnxruntime", "numpy"}
    for path, backend in each_runtime(files):
        stream = load(path, backend=backend).stream()
        for _ in range(2):
            assert all(np.array_equal(stream.state[name], start[name]) for name in start)
            stream.step("3")
            stream.reset()


def test_the_first_answer_is_that_of_keras_from_the_start_state(files, keras_model, start):
    embedding, lstm, head = keras_model.layers
    y = lstm.cell(embedding(np.array([3])), [start["h0"], start["c0"]])[0]
    expected = np.asarray(head(y))[0]
    for path, backend in each_runtime(files):
        assert np.abs(load(path, backend=backend).stream().step("3").probabilities - expected).max() < 1e-5


def test_a_file_with_a_start_state_asks_older_readers_to_upgrade_and_others_do_not(files, keras_model):
    assert [read_model_file(path).manifest.to_json()["format"] for path in files] == [5, 3]  # .tflite, .onnx
    halves = {name: np.full(UNITS, 0.5) for name in ("h0", "c0")}
    manifest = prepare(keras_model, initial_state=halves).manifest.to_json()
    assert manifest["format"] == 1  # which has always had one number for a tensor
    assert [entry["initial"] for entry in manifest["state"]] == [0.5, 0.5]


def test_float32_start_states_come_back_from_the_manifest_bit_for_bit():
    numbers = np.random.default_rng(0).integers(0, 2**32, 4000, dtype=np.uint32).view(np.float32)
    special = np.array([0.1, -0.0, 1e-45, np.finfo(np.float32).max], np.float32)
    numbers = np.concatenate([numbers[np.isfinite(numbers)], special])
    tensor = StateTensor("h0", (len(numbers),)).starting_from(numbers)
    manifest = replace(read_model_file(DATA / "memory.onnx").manifest, state=(tensor,), golden=None)
    (found,) = read_manifest(manifest.to_bytes(), "a.onnx").state
    assert found == tensor
    assert hash(found) == hash(tensor)
    assert np.array_equal(found.initial_value()[0], numbers)
    assert (
        '"initial":[0.1'
        in replace(manifest, state=(StateTensor("h0", (2,)).starting_from(np.array([0.1, 2], np.float32)),))
        .to_bytes()
        .decode()
    )  # and not 0.10000000149011612


def test_a_window_of_past_inputs_starts_from_what_is_given(tmp_path):
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((None,), dtype="int32"), layers.Embedding(5, 3), layers.Conv1D(4, 3, padding="causal"),
        layers.Dense(5, activation="softmax"),
    ])  # fmt: skip
    past = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
    prepared = prepare(model, initial_state={"past0": past})
    files = [build_file(prepared, format, "float32", tmp_path).path for format in ("tflite", "onnx")]
    for path, backend in each_runtime(files):
        assert np.array_equal(load(path, backend=backend).initial_state()["past0"], past[None])


def test_a_warm_up_starts_where_its_symbols_lead(keras_model, start):
    step_function = build_step_function(keras_model)
    prepared = prepare(keras_model, initial_state=start, warm_up="3 1 4")
    reached = run_numpy(step_function, Inputs(np.array([3, 1, 4])), [start])[0].states
    found = initial_state(prepared.manifest.state)
    assert all(np.array_equal(found[name][0], reached[name][-1].astype(np.float32)) for name in found)
    assert not np.array_equal(found["h0"], start["h0"])


def test_an_unknown_symbol_in_the_warm_up_is_refused(keras_model):
    with pytest.raises(UnknownSymbolError, match="'9' is not in the vocabulary"):
        prepare(keras_model, warm_up="19")


def test_everything_that_is_wrong_with_a_given_state_is_said_at_once(keras_model):
    nan = np.full(UNITS, np.nan)
    with pytest.raises(StateMismatchError) as refused:
        prepare(keras_model, initial_state={"h0": nan, "h1": nan, "c9": 3})
    for problem in ("c0 is not given", "h0 is not finite", "h1 is none of its states", "c9 is none", "'h0': (12,)"):
        assert problem in str(refused.value)
    with pytest.raises(StateMismatchError, match=r"(?s)h0 has the shape \(11,\), not \(12,\).*c0 is not made of num"):
        prepare(keras_model, initial_state={"h0": np.zeros(11), "c0": ["a"] * UNITS})
    with pytest.raises(StateMismatchError, match="c0 is not finite"):  # beyond float32
        prepare(keras_model, initial_state={"h0": np.zeros(UNITS), "c0": np.full(UNITS, 1e39)})


def with_start(path, tensors, folder):
    """A copy of the file whose manifest has other start states."""
    file = read_model_file(path)
    state = tuple(replace(tensor, initial=tensors.get(tensor.name, tensor.initial)) for tensor in file.manifest.state)
    copy = folder / path.name
    copy.write_bytes(pack(file.payload, replace(file.manifest, state=state), file.format))
    return copy


def test_a_file_that_forgot_its_start_state_fails_its_golden_sequence(files, device, tmp_path):
    for path, backend in each_runtime(files):
        with pytest.raises(BackendError, match="does not answer as .* was exported: at step 1"):
            device.replay(with_start(path, {"h0": 0.0, "c0": 0.0}, tmp_path), backend)


def test_a_file_that_starts_elsewhere_than_it_should_fails_parity(prepared, device, tmp_path):
    built = build_file(prepared("started").model, "onnx", "float32", tmp_path)
    zeros = tuple(replace(tensor, initial=0.0) for tensor in built.manifest.state)
    forgetful = replace(built, manifest=replace(built.manifest, state=zeros))
    with pytest.raises(ParityError, match="carried from the initial state .* first at step 1 in probabilities"):
        prove(forgetful, prepared("started").expected, device)


def test_check_compares_from_the_start_state_of_the_file(files, keras_model):
    results = check(files[1], keras_model, **FEW)
    assert {parity.start for parity in results} == {"initial", "random", "each"}
    assert all(parity.holds for parity in results)


def test_a_start_state_that_keras_cannot_begin_from_is_refused():
    class Before(keras.layers.Layer):
        def call(self, x):
            return x + keras.ops.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))

    @step_rule(Before)
    def before(layer, call):
        return LayerStep(lambda a, x, state: (x + state["b"], {"b": x}), state={"b": call.step_shapes[0]})

    layers = [keras.layers.Embedding(5, 3), Before(), keras.layers.Dense(5, activation="softmax")]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    assert expected_of(prepare(model), **FEW).runs
    with pytest.raises(StateMismatchError, match="nothing could prove"):
        expected_of(prepare(model, warm_up="123"), **FEW)


def test_describe_says_where_a_model_starts(files):
    lines = describe_manifest(files[0], read_model_file(files[0]).manifest)
    assert "h0 12 numbers from -0." in lines
    plain = DATA / "memory.tflite"
    assert "start        zeros" in describe_manifest(plain, read_model_file(plain).manifest)


def test_the_command_line_takes_a_state_and_a_warm_up(keras_model, start, tmp_path):
    keras_model.save(tmp_path / "mine.keras")
    np.savez(tmp_path / "start.npz", **start)
    arguments = ["export", str(tmp_path / "mine.keras"), "--format", "onnx", "--steps", "50", "--json"]
    options = ["--initial-state", str(tmp_path / "start.npz"), "--warm-up", "3 1 4", "--out", str(tmp_path / "build")]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    expected = prepare(keras_model, initial_state=start, warm_up="314").manifest.state
    path = next(path for path in json.loads(result.stdout)["files"] if path.endswith("onnx"))
    assert read_model_file(path).manifest.state == expected
