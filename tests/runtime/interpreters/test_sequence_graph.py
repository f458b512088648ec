"""Files of whole sequences are stepped like all others."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from support.models import DATA, path_of

from stepcell.runtime import BackendError, DamagedFileError, load, read_model_file
from stepcell.runtime.format.describe import describe_manifest
from stepcell.runtime.format.manifest_reader import read_manifest
from stepcell.runtime.format.model_file import TFLITE, pack

FILE = path_of("lstm", "onnx", "sequence")


def test_a_sequence_file_has_the_same_state_and_steps_as_the_other_file_does():
    one, whole = load(path_of("lstm", "onnx")).stream(), load(FILE).stream()
    assert one.state.keys() == whole.state.keys()
    for id in np.random.default_rng(0).integers(0, 7, 300):
        assert np.abs(one.step(str(id)).probabilities - whole.step(str(id)).probabilities).max() < 1e-6


@pytest.mark.parametrize("length", [1, 2, 7, 1024, 1025, 2500])
def test_a_history_of_any_length_leads_where_stepping_leads(length):
    model = load(FILE)
    symbols = [str(id) for id in np.random.default_rng(length).integers(0, 7, length)]
    stepped, absorbed, run = model.stream(), model.stream(), model.stream()
    answers = [stepped.step(symbol).probabilities for symbol in symbols]
    assert np.abs(absorbed.absorb(symbols).probabilities - answers[-1]).max() < 1e-6
    assert all(np.abs(absorbed.state[name] - value).max() < 1e-5 for name, value in stepped.state.items())
    assert np.abs(run.run(symbols) - np.array(answers)).max() < 1e-6
    assert all(np.array_equal(absorbed.state[name], value) for name, value in run.state.items())


def test_steps_after_a_history_answer_for_themselves():
    stream = load(FILE).stream()
    absorbed = stream.absorb("0123456").probabilities
    peeked = stream.peek("1").probabilities
    assert not np.array_equal(absorbed, peeked)
    assert np.array_equal(peeked, stream.step("1").probabilities)
    assert not np.array_equal(peeked, stream.absorb("1").probabilities)


def test_streams_side_by_side_give_what_each_gives_alone():
    file = read_model_file(FILE)
    session = onnxruntime.InferenceSession(file.payload)
    random = np.random.default_rng(1)
    for streams in (1, 3, 64):
        ids = random.integers(0, 7, (20, streams), dtype=np.int32)
        state = {t.name: random.uniform(-1, 1, (streams, *t.shape)).astype(np.float32) for t in file.manifest.state}
        together = session.run(None, {"symbols": ids, **state})
        for row in {0, streams // 2, streams - 1}:
            one = slice(row, row + 1)
            alone = session.run(None, {"symbols": ids[:, one], **{name: a[one] for name, a in state.items()}})
            assert np.abs(together[0][:, one] - alone[0]).max() < 1e-6
            assert all(np.abs(a[one] - b).max() < 1e-6 for a, b in zip(together[1:], alone[1:], strict=True))


def test_a_failing_call_leaves_the_state_where_it_was(monkeypatch):
    stream = load(FILE).stream()
    stream.absorb("0123")
    before = stream.state
    right, calls = onnxruntime.InferenceSession.run, []

    def fail_later(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise RuntimeError("no memory")
        return right(*arguments)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", fail_later)
    with pytest.raises(BackendError, match=f"failed on {FILE.name}: no memory. The stream has not moved"):
        stream.absorb("01" * 1000)
    assert all(np.array_equal(before[name], value) for name, value in stream.state.items())


def test_the_manifest_of_a_sequence_file_says_what_it_is():
    manifest = read_model_file(FILE).manifest
    content = manifest.to_json()
    assert (content["format"], content["sequence"], content["input"]["name"]) == (3, True, "symbols")
    assert "whole sequences" in describe_manifest(FILE, manifest)
    assert read_manifest(manifest.to_bytes(), "a.onnx") == manifest
    for change, problem in (
        ({"format": 1}, "came with format 3"),
        ({"sequence": 1}, "sequence is 1, not true or false"),
        ({"graph": {}}, "graph.signature is missing"),
    ):
        with pytest.raises(DamagedFileError, match=problem):
            read_manifest(json.dumps({**content, **change}).encode(), "a.onnx")


def test_a_file_that_is_taken_for_a_sequence_is_refused(tmp_path):
    for path in (DATA / "memory.onnx", DATA / "memory.tflite", FILE):
        file = read_model_file(path)
        other = tmp_path / path.name
        manifest = replace(file.manifest, sequence=not file.manifest.sequence)
        other.write_bytes(pack(file.payload, manifest, file.format))
        with pytest.raises(DamagedFileError, match="never do" if file.format == TFLITE else "the manifest promises"):
            load(other)
