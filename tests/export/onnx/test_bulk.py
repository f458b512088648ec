"""The graph of whole sequences: the native operators of ONNX, proven like every other file, and stepped like them."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import onnx
import pytest
from support.keras_models import sharp_model, with_random_weights
from support.models import DATA

from stepcell.export import NotSteppableError, ParityError, check, export
from stepcell.export.onnx import sequence as onnx_sequence
from stepcell.runtime import BackendError, DamagedFileError, load, read_model_file
from stepcell.runtime.format.describe import describe_manifest
from stepcell.runtime.format.manifest_reader import read_manifest
from stepcell.runtime.format.model_file import TFLITE, pack

L = keras.layers
FEW = {"steps": 400, "formats": ["onnx"], "sequence": True}
SEQUENCES = {"return_sequences": True}


def branches():
    """Recurrent layers side by side and shared, with layers of single steps between them."""
    source = keras.Input((None,), dtype="int32")
    x = L.LayerNormalization()(L.Embedding(7, 5)(source))
    shared = L.GRU(5, **SEQUENCES)
    left = shared(shared(x))
    right = L.Dropout(0.5)(L.LSTM(5, activation="softsign", recurrent_activation="hard_sigmoid", **SEQUENCES)(x))
    return keras.Model(source, L.Dense(7)(L.Add()([L.Dense(5, "gelu")(left), right])))  # ends in logits


def stacked():
    """Cells of every kind on top of each other, answering once for a sequence; one-hot symbols."""
    source = keras.Input((None,), dtype="int32")
    cells = [L.LSTMCell(4), L.GRUCell(3, reset_after=False), L.SimpleRNNCell(5, activation="elu", use_bias=False)]
    x = L.RNN(cells, **SEQUENCES)(L.CategoryEncoding(7, output_mode="one_hot")(source))
    return keras.Model(source, L.Dense(7, activation="softmax")(L.GRU(4, use_bias=False)(x)))


def every_activation():
    names = ["tanh", "sigmoid", "relu", "softsign", "softplus", "linear", "hard_sigmoid", "elu", "leaky_relu"]
    assert set(names) == set(onnx_sequence._ACTIVATIONS)
    layers = [L.SimpleRNN(3, activation=name, **SEQUENCES) for name in names]
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(7, 5)(source)
    return keras.Model(source, L.Dense(7, activation="sigmoid")(L.Concatenate()([layer(x) for layer in layers])))


MODELS = {
    "branches": lambda: with_random_weights(branches()),
    "stacked cells": lambda: with_random_weights(stacked()),
    "every activation": lambda: with_random_weights(every_activation()),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An LSTM of two layers that starts elsewhere than at zero, as model.onnx and model.sequence.onnx."""
    start = {name: np.linspace(-0.8, 0.7, units) for name, units in (("h0", 12), ("c0", 12), ("h1", 14), ("c1", 14))}
    folder = tmp_path_factory.mktemp("build")
    export(sharp_model("lstm", 2), folder, initial_state=start, **FEW)
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_a_bulk_graph_is_proven_equal_to_keras(name, tmp_path):
    exported = export(MODELS[name](), tmp_path, **FEW)
    assert [path.name for path in exported.files] == ["model.onnx", "model.sequence.onnx", "parity.json"]
    bulk = [parity for parity in exported.parity if parity.format == "sequence.onnx"]
    assert {parity.start for parity in bulk} == {"initial", "random", "each"}
    assert max(parity.error for parity in bulk) <= 1e-5
    operators = {node.op_type for node in onnx.load(tmp_path / "model.sequence.onnx").graph.node}
    assert operators & {"LSTM", "GRU", "RNN"}
    assert not operators & {"Loop", "Scan"}


def test_a_bulk_file_has_the_same_state_and_steps_as_the_other_file_does(folder):
    one, whole = load(folder / "model.onnx").stream(), load(folder / "model.sequence.onnx").stream()
    assert one.state.keys() == whole.state.keys()
    assert all(np.array_equal(one.state[name], whole.state[name]) for name in one.state)
    for id in np.random.default_rng(0).integers(0, 7, 300):
        assert np.abs(one.step(str(id)).probabilities - whole.step(str(id)).probabilities).max() < 1e-6


@pytest.mark.parametrize("length", [1, 2, 7, 1024, 1025, 2500])
def test_a_history_of_any_length_leads_where_stepping_leads(length, folder):
    model = load(folder / "model.sequence.onnx")
    ids = np.random.default_rng(length).integers(0, 7, length).astype(np.int32)
    symbols = [str(id) for id in ids]
    stepped, absorbed = model.stream(), model.stream()
    answers = [stepped.step(symbol).probabilities for symbol in symbols]
    assert np.abs(absorbed.absorb(symbols).probabilities - answers[-1]).max() < 1e-6
    after = absorbed.state
    assert all(np.abs(after[name] - value).max() < 1e-5 for name, value in stepped.state.items())
    backend = model._seat.backend
    backend.write_state(model.initial_state())
    assert np.abs(backend.run(ids) - np.array(answers)).max() < 1e-6
    assert all(np.array_equal(after[name], value) for name, value in backend.read_state().items())


def test_steps_after_a_history_answer_for_themselves(folder):
    stream = load(folder / "model.sequence.onnx").stream()
    absorbed = stream.absorb("0123456").probabilities
    peeked = stream.peek("1").probabilities
    assert not np.array_equal(absorbed, peeked)
    assert np.array_equal(peeked, stream.step("1").probabilities)
    assert not np.array_equal(peeked, stream.absorb("1").probabilities)


def test_streams_side_by_side_give_what_each_gives_alone(folder):
    session = load(folder / "model.sequence.onnx")._seat.backend._session
    tensors = read_model_file(folder / "model.sequence.onnx").manifest.state
    random = np.random.default_rng(1)
    for streams in (1, 3, 64):
        ids = random.integers(0, 7, (20, streams), dtype=np.int32)
        state = {t.name: random.uniform(-1, 1, (streams, *t.shape)).astype(np.float32) for t in tensors}
        together = session.run(None, {"symbols": ids, **state})
        for lane in {0, streams // 2, streams - 1}:
            one = slice(lane, lane + 1)
            alone = session.run(None, {"symbols": ids[:, one], **{name: a[one] for name, a in state.items()}})
            assert np.abs(together[0][:, one] - alone[0]).max() < 1e-6
            assert all(np.abs(a[one] - b).max() < 1e-6 for a, b in zip(together[1:], alone[1:], strict=True))


def test_a_failing_call_leaves_the_state_where_it_was(folder, monkeypatch):
    stream = load(folder / "model.sequence.onnx").stream()
    stream.absorb("0123")
    before = stream.state
    backend = stream._seat.backend
    whole, calls = backend._sequence, []

    def fail_later(ids, state):
        calls.append(ids)
        if len(calls) > 1:
            raise RuntimeError("no memory")
        return whole(ids, state)

    monkeypatch.setattr(backend, "_sequence", fail_later)
    with pytest.raises(BackendError, match="failed on model.sequence.onnx: no memory. The stream has not moved"):
        stream.absorb("01" * 1000)
    assert all(np.array_equal(before[name], value) for name, value in stream.state.items())


def test_the_manifest_of_a_bulk_file_says_what_it_is(folder):
    manifest = read_model_file(folder / "model.sequence.onnx").manifest
    content = manifest.to_json()
    assert (content["format"], content["sequence"], content["input"]["name"]) == (3, True, "symbols")
    assert "whole sequences" in describe_manifest(folder / "model.sequence.onnx", manifest)
    assert read_manifest(manifest.to_bytes(), "a.onnx") == manifest
    for change, problem in (
        ({"format": 1}, "came with format 3"),
        ({"sequence": 1}, "sequence is 1, not true or false"),
        ({"graph": {}}, "graph.signature is missing"),
    ):
        with pytest.raises(DamagedFileError, match=problem):
            read_manifest(json.dumps({**content, **change}).encode(), "a.onnx")


def test_a_file_that_is_taken_for_a_sequence_is_refused(folder, tmp_path):
    for path in (DATA / "memory.onnx", DATA / "memory.tflite", folder / "model.sequence.onnx"):
        file = read_model_file(path)
        other = tmp_path / path.name
        manifest = replace(file.manifest, sequence=not file.manifest.sequence)
        other.write_bytes(pack(file.payload, manifest, file.format))
        with pytest.raises(DamagedFileError, match="never do" if file.format == TFLITE else "the manifest promises"):
            load(other)


def test_check_proves_a_bulk_file_too(folder):
    results = check(folder / "model.sequence.onnx", sharp_model("lstm", 2), steps=250)
    assert {parity.format for parity in results} == {"sequence.onnx"}
    assert all(parity.holds for parity in results)


@pytest.mark.filterwarnings("ignore:Layer 'window'")  # Keras says that it drops the mask
def test_everything_that_has_no_bulk_graph_is_named_at_once(tmp_path):
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(7, 5, mask_zero=True)(source)
    x = L.LSTM(4, name="masked", **SEQUENCES)(x)
    x = L.GRU(4, name="odd", activation="gelu", **SEQUENCES)(L.Dense(4)(x))
    x = L.Conv1D(4, 3, padding="causal", name="window")(x)
    model = keras.Model(source, L.Dense(7, activation="softmax")(x), name="mixed")
    with pytest.raises(NotSteppableError) as refused:
        export(model, tmp_path / "new", **FEW)
    text = str(refused.value)
    assert text.startswith("The model 'mixed' has no graph of whole sequences:")
    assert "masked (LSTM): it gets masked steps" in text
    assert "odd (GRU): its activation 'gelu' is none that" in text
    assert "window (Conv1D): it has a state, and ONNX has no operator" in text
    assert "Leave out --sequence" in text
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("cell", "fault"),
    [("lstm", "gates as in Keras"), ("lstm", "starts from zeros"), ("gru", "reset_after the other way round")],
)
def test_a_wrong_bulk_graph_is_noticed_and_nothing_is_written(cell, fault, tmp_path, monkeypatch):
    nodes = onnx_sequence._recurrent_nodes

    def wrong(number, stage, weights, first):
        made = nodes(number, stage, weights, first)
        for node in made:
            if fault == "starts from zeros" and node.op_type == "LSTM":
                node.input[5] = node.input[6] = ""
            for attribute in node.attribute:
                if attribute.name == "linear_before_reset":
                    attribute.i = 1 - attribute.i
        return made

    monkeypatch.setattr(onnx_sequence, "_recurrent_nodes", wrong)
    if fault == "gates as in Keras":
        monkeypatch.setattr(onnx_sequence, "_in_onnx_order", lambda weights, cell: weights.T.copy())
    with pytest.raises(ParityError, match=r"Keras and model\.sequence\.onnx differ by"):
        export(sharp_model(cell, 1), tmp_path, **FEW)
    assert list(tmp_path.iterdir()) == []
