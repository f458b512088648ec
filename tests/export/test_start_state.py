"""Start states: given, learned or reached by a warm-up, they are in the file, and everything begins there."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from support.keras_models import sharp_model
from support.models import DATA
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import (
    LayerStep,
    ParityError,
    SourceError,
    build_step_function,
    check,
    export,
    read_state_file,
    step_rule,
)
from stepcell.export.parity.device_process import DeviceProcesses
from stepcell.export.step_function.run import run_numpy
from stepcell.runtime import (
    BackendError,
    StateMismatchError,
    StateTensor,
    UnknownSymbolError,
    Vocabulary,
    load,
    read_model_file,
)
from stepcell.runtime.format.describe import describe_manifest
from stepcell.runtime.format.manifest_reader import read_manifest
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.format.vocabulary import read_symbols
from stepcell.runtime.interpreters.probe import usable_backends

FEW = {"steps": 50}
UNITS = 12


@pytest.fixture(scope="module")
def keras_model():
    return sharp_model("lstm", 1)


@pytest.fixture(scope="module")
def start():
    random = np.random.default_rng(5)
    return {name: random.uniform(-0.9, 0.9, (1, UNITS)).astype(np.float32) for name in ("h0", "c0")}


@pytest.fixture(scope="module")
def files(keras_model, start, tmp_path_factory):
    """The model with a start state as model.tflite and model.onnx."""
    return export(keras_model, tmp_path_factory.mktemp("build"), initial_state=start, **FEW).files[:-1]


def each_runtime(files):
    return [(path, backend) for path in files for backend in usable_backends(path.suffix[1:])]


def test_a_given_start_state_is_where_every_reset_leads_on_every_interpreter(files, start):
    assert len(each_runtime(files)) == 5  # numpy steps both formats
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


def test_a_file_with_a_start_state_asks_older_readers_to_upgrade_and_others_do_not(files, keras_model, tmp_path):
    assert [read_model_file(path).manifest.to_json()["format"] for path in files] == [3, 3]
    halves = {name: np.full(UNITS, 0.5) for name in ("h0", "c0")}
    plain = export(keras_model, tmp_path, initial_state=halves, formats=["onnx"], **FEW)
    manifest = read_model_file(plain.files[0]).manifest.to_json()
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
    exported = export(model, tmp_path, initial_state={"past0": past}, **FEW)
    for path, backend in each_runtime(exported.files[:-1]):
        assert np.array_equal(load(path, backend=backend).initial_state()["past0"], past[None])


def test_a_warm_up_starts_where_its_symbols_lead(keras_model, start, tmp_path):
    step_function = build_step_function(keras_model)
    exported = export(keras_model, tmp_path, initial_state=start, warm_up="3 1 4", formats=["onnx"], **FEW)
    reached = run_numpy(step_function, Inputs(np.array([3, 1, 4])), [start])[0].states
    found = load(exported.files[0]).initial_state()
    assert all(np.array_equal(found[name][0], reached[name][-1].astype(np.float32)) for name in found)
    assert not np.array_equal(found["h0"], start["h0"])


@pytest.mark.parametrize(
    ("text", "symbols", "expected"),
    [
        ("3012", "01234", ["3", "0", "1", "2"]),
        (" 3 0\n1 2", "01234", ["3", "0", "1", "2"]),
        ("to be", "bet o", ["t", "o", " ", "b", "e"]),
        (r"a\n\\", "a\n\\", ["a", "\n", "\\"]),
        ("tea  milk cup", ["tea", "milk", "cup"], ["tea", "milk", "cup"]),
        (r"tea \n", ["tea", "\n"], ["tea", "\n"]),
        ("", "01", []),
    ],
)
def test_a_line_of_symbols_is_read_as_people_write_it(text, symbols, expected):
    assert read_symbols(text, Vocabulary(tuple(symbols))) == expected


def test_the_unknown_symbol_may_be_a_word_among_characters():
    assert read_symbols("a b", Vocabulary(("a", "b", "<unknown>"), "<unknown>")) == ["a", "b"]


def test_an_unknown_symbol_in_the_warm_up_is_refused(keras_model, tmp_path):
    with pytest.raises(UnknownSymbolError, match="'9' is not in the vocabulary"):
        export(keras_model, tmp_path / "new", warm_up="19", **FEW)
    assert not (tmp_path / "new").exists()


def test_everything_that_is_wrong_with_a_given_state_is_said_at_once(keras_model, tmp_path):
    nan = np.full(UNITS, np.nan)
    with pytest.raises(StateMismatchError) as refused:
        export(keras_model, tmp_path, initial_state={"h0": nan, "h1": nan, "c9": 3}, **FEW)
    for problem in ("c0 is not given", "h0 is not finite", "h1 is none of its states", "c9 is none", "'h0': (12,)"):
        assert problem in str(refused.value)
    with pytest.raises(StateMismatchError, match=r"(?s)h0 has the shape \(11,\), not \(12,\).*c0 is not made of num"):
        export(keras_model, tmp_path, initial_state={"h0": np.zeros(11), "c0": ["a"] * UNITS}, **FEW)
    with pytest.raises(StateMismatchError, match="c0 is not finite"):  # beyond float32
        export(keras_model, tmp_path, initial_state={"h0": np.zeros(UNITS), "c0": np.full(UNITS, 1e39)}, **FEW)
    assert list(tmp_path.iterdir()) == []


def with_start(path, tensors, folder):
    """A copy of the file whose manifest has other start states."""
    file = read_model_file(path)
    state = tuple(replace(tensor, initial=tensors.get(tensor.name, tensor.initial)) for tensor in file.manifest.state)
    copy = folder / path.name
    copy.write_bytes(pack(file.payload, replace(file.manifest, state=state), file.format))
    return copy


def test_a_file_that_forgot_its_start_state_fails_its_golden_sequence(files, tmp_path):
    for path, backend in each_runtime(files):
        with pytest.raises(BackendError, match="does not answer as .* was exported: at step 1"):
            DeviceProcesses().replay(with_start(path, {"h0": 0.0, "c0": 0.0}, tmp_path), backend)


def test_a_file_that_starts_elsewhere_than_it_should_fails_parity(keras_model, start, tmp_path, monkeypatch):
    from stepcell.export import model_files

    def forgetful(payload, manifest, format):
        return pack(payload, replace(manifest, state=tuple(replace(t, initial=0.0) for t in manifest.state)), format)

    monkeypatch.setattr(model_files, "pack", forgetful)
    with pytest.raises(ParityError, match="carried from the initial state .* first at step 1 in probabilities"):
        export(keras_model, tmp_path, initial_state=start, formats=["onnx"], **FEW)
    assert list(tmp_path.iterdir()) == []


def test_check_compares_from_the_start_state_of_the_file(files, keras_model):
    results = check(files[1], keras_model, **FEW)
    assert {parity.start for parity in results} == {"initial", "random", "each"}
    assert all(parity.holds for parity in results)


def test_a_start_state_that_keras_cannot_begin_from_is_refused(tmp_path):
    class Before(keras.layers.Layer):
        def call(self, x):
            return x + keras.ops.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))

    @step_rule(Before)
    def before(layer, call):
        return LayerStep(lambda a, x, state: (x + state["b"], {"b": x}), state={"b": call.step_shapes[0]})

    layers = [keras.layers.Embedding(5, 3), Before(), keras.layers.Dense(5, activation="softmax")]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    assert export(model, tmp_path, formats=["onnx"], **FEW).files
    with pytest.raises(StateMismatchError, match="nothing could prove"):
        export(model, tmp_path, formats=["onnx"], warm_up="123", **FEW)


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
    expected = export(keras_model, tmp_path / "same", initial_state=start, warm_up="314", formats=["onnx"], **FEW)
    path = next(path for path in json.loads(result.stdout)["files"] if path.endswith("onnx"))
    assert read_model_file(path).manifest.state == read_model_file(expected.files[0]).manifest.state


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x93NUMPY\x01\x00 broken"])
def test_a_damaged_state_file_is_said_to_hold_none(content, tmp_path):
    (tmp_path / "start.npz").write_bytes(content)
    with pytest.raises(SourceError, match="holds no state"):
        read_state_file(tmp_path / "start.npz")
    with pytest.raises(SourceError, match="There is no file"):
        read_state_file(tmp_path / "none.npz")
