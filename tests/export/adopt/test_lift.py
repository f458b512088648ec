"""Hidden state becomes inputs and outputs, bit for bit; what cannot be lifted is refused with the reason."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from support.models import DATA
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export.adopt import adopt
from stepcell.export.adopt.lift import lift
from stepcell.export.adopt.prove_lift import prove_lift
from stepcell.export.c.prove import prove_source
from stepcell.export.c.source import c_source
from stepcell.runtime import load, read_model_file
from stepcell.runtime.common.errors import AdoptionError, NotSteppableError, WrongBackendError
from stepcell.runtime.common.run_worker import WorkerProcess
from stepcell.runtime.doctor import diagnose, find_target
from stepcell.runtime.format.tflite_graph import read_tflite_graph

HIDDEN = DATA / "hidden"
NAMES = ["gru", "lstm", "counter", "ring"]


def changed(name, change):
    """Return a hidden-state file after `change`, which is given its tables."""
    model = schema.ModelT.InitFromPackedBuf((HIDDEN / f"{name}.tflite").read_bytes(), 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Each file, lifted."""
    folder = tmp_path_factory.mktemp("lifted")
    for name in NAMES:
        adopt(HIDDEN / f"{name}.tflite", folder / f"{name}.tflite", lift=True)
    return folder


def features_of(name, steps):
    random = np.random.default_rng(7)
    if name == "ring":
        return random.integers(-128, 128, (steps, 2)).astype(np.int8)
    return random.normal(size=(steps, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("backend", "name"),
    [*product(["litert", "tflite"], NAMES), *(("native", name) for name in NAMES if name != "ring")],
)
def test_a_lifted_file_answers_as_the_original_with_its_hidden_state(name, backend, folder):
    original = Interpreter(model_path=str(HIDDEN / f"{name}.tflite"), num_threads=1)
    original.allocate_tensors()
    source, target = original.get_input_details()[0], original.get_output_details()[0]
    model = load(folder / f"{name}.tflite", backend=backend)
    stream = model.stream()
    for row in features_of(name, 40):
        original.set_tensor(source["index"], row.reshape(source["shape"]))
        original.invoke()
        given = (row.astype(np.float32) + 128) * np.float32(0.1) if name == "ring" else row
        found = stream.step(features=given).values
        assert np.abs(found - original.get_tensor(target["index"]).reshape(-1)).max() <= 1e-6


def test_start_values_and_types_are_in_the_manifest(folder):
    manifest = read_model_file(folder / "counter.tflite").manifest
    assert {t.name: (t.dtype, t.initial) for t in manifest.state} == {
        "h": ("float32", 0.0), "k": ("float32", 0.5), "n": ("int32", 0.0),
    }  # fmt: skip
    manifest = read_model_file(folder / "ring.tflite").manifest
    assert [(t.name, t.dtype, t.initial) for t in manifest.state] == [("past_states", "int8", -128.0)]
    source, target = manifest.io_mapping.state["past_states"]
    assert (source.scale, source.zero_point) == (target.scale, target.zero_point) == (pytest.approx(0.1), -128)
    assert manifest.format == 4


def test_a_lifted_stream_can_be_reset_saved_and_forked(folder, tmp_path):
    for name in ("counter", "ring"):
        rows = features_of(name, 6).astype(np.float32)
        stream = load(folder / f"{name}.tflite").stream()
        first = [stream.step(features=row).values.tolist() for row in rows]
        stream.save(tmp_path / "one.state")
        fork, again = stream.fork(), load(folder / f"{name}.tflite").stream()
        again.restore(tmp_path / "one.state")
        following = [one.step(features=rows[0]).values.tolist() for one in (stream, fork, again)]
        assert following[0] == following[1] == following[2]
        stream.reset()
        assert [stream.step(features=row).values.tolist() for row in rows] == first


def test_nothing_of_the_variables_is_left(folder):
    graph = read_tflite_graph(read_model_file(folder / "counter.tflite").payload)
    assert len(graph.subgraphs) == 1
    declared = {name for name, _, _ in graph.operators}
    assert declared == graph.used_operators
    assert not declared & {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}


def test_operator_codes_that_no_operator_uses_are_no_obstacle(folder, tmp_path):
    payload = read_model_file(folder / "gru.tflite").payload
    model = schema.ModelT.InitFromPackedBuf(payload, 0)
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.VAR_HANDLE, 127
    model.operatorCodes.append(code)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "gru.tflite"
    path.write_bytes(bytes(builder.Output()))
    assert adopt(path, tmp_path / "out.tflite").manifest.state[0].name == read_model_file(
        folder / "gru.tflite").manifest.state[0].name  # fmt: skip


def test_a_second_adoption_keeps_the_start_values(folder, tmp_path):
    again = adopt(folder / "ring.tflite", tmp_path / "again.tflite", name="again")
    assert [tensor.initial for tensor in again.manifest.state] == [-128.0]


def test_a_lifted_file_that_counts_is_written_as_c_and_what_8_bits_round_is_refused(folder, tmp_path):
    path = folder / "counter.tflite"
    results = prove_source(c_source(read_model_file(path), "cell"), path, tmp_path, steps=50, backends=["numpy"])
    assert max(each.error for each in results) < 2e-6
    with pytest.raises(NotSteppableError, match=r"rounded to few bits.*past_states \(int8\)"):
        c_source(read_model_file(folder / "ring.tflite"), "cell")
    with pytest.raises(WrongBackendError, match=r"engine does not step ring.tflite: .* past_states \(int8\)"):
        load(folder / "ring.tflite", backend="native")


def test_a_quantised_state_starts_at_the_integer_that_stands_for_0(folder, tmp_path):
    path = tmp_path / "explicit.tflite"
    path.write_bytes(read_model_file(folder / "ring.tflite").payload)
    assert [tensor.initial for tensor in adopt(path, tmp_path / "out.tflite").manifest.state] == [-128.0]


def test_the_contents_of_a_lifted_file_are_aligned(folder):
    payload = np.frombuffer(read_model_file(folder / "lstm.tflite").payload, np.uint8)
    graph = read_tflite_graph(payload.tobytes())
    whole = payload.tobytes()
    assert all(whole.find(bytes(content)) % 16 == 0 for content in graph.buffers if len(content) > 16)


# The proof.


@pytest.mark.parametrize("fault", ["start", "weight", "swapped"])
def test_the_proof_finds_a_fault(fault, tmp_path):
    lifted = lift((HIDDEN / "lstm.tflite").read_bytes(), "lstm.tflite")
    one, other = lifted.states
    if fault == "start":
        lifted = replace(lifted, states=(replace(one, start=one.start + np.float32(1e-6)), other))
    elif fault == "swapped":
        lifted = replace(lifted, states=(replace(one, exposed=other.exposed), replace(other, exposed=one.exposed)))
    else:
        graph = read_tflite_graph(lifted.payload)
        weights = max(graph.buffers, key=len)
        place = bytes(lifted.payload).find(bytes(weights))
        payload = bytearray(lifted.payload)
        payload[place] ^= 1  # the last bit of the first weight
        lifted = replace(lifted, payload=bytes(payload))
    with WorkerProcess() as worker, pytest.raises(AdoptionError, match="differ from the original"):
        prove_lift(lifted, tmp_path, "lstm.tflite", worker)


# Refusals.


def computed_start(model):
    """Let the initialiser assign a tensor without content."""
    graph = model.subgraphs[1]
    assign = next(o for o in graph.operators if len(o.inputs) == 2)
    model.buffers[graph.tensors[assign.inputs[1]].buffer].data = None


def no_start(model):
    """Drop the call of the initialiser."""
    number = next(n for n, c in enumerate(model.operatorCodes) if c.builtinCode == schema.BuiltinOperator.CALL_ONCE)
    main = model.subgraphs[0]
    main.operators = [operator for operator in main.operators if operator.opcodeIndex != number]
    model.subgraphs = model.subgraphs[:1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: (HIDDEN / "branch.tflite").read_bytes(), "used inside a loop or branch"),
        (lambda: (HIDDEN / "two_signatures.tflite").read_bytes(), "its signatures reset, step use the variables"),
        (lambda: changed("gru", computed_start), "the start value of .* is computed"),
        (lambda: changed("gru", no_start), "is read and has no start value"),
        (lambda: (HIDDEN / "gru.tflite").read_bytes()[:2000], "is damaged"),
        (lambda: (DATA / "foreign" / "signed.tflite").read_bytes(), "has no variables to lift: leave out --lift"),
    ],
)
def test_state_that_cannot_be_lifted_is_refused_with_the_reason(content, reason, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(content())
    with pytest.raises(AdoptionError, match=reason):
        adopt(path, tmp_path / "out.tflite", lift=True)
    assert list(tmp_path.iterdir()) == [path]


def test_without_the_option_hidden_state_is_refused_with_a_hint(tmp_path):
    arguments = ["adopt", str(HIDDEN / "gru.tflite"), "--out", str(tmp_path / "out.tflite")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "with stepcell adopt FILE --lift" in result.stderr
    assert "lift it" in " ".join(diagnose(HIDDEN / "gru.tflite", find_target("pi-bookworm-64")).advice)
    assert CliRunner().invoke(app, [*arguments, "--lift"]).exit_code == 0
    onnx = ["adopt", str(DATA / "foreign" / "helper.onnx"), "--out", str(tmp_path / "out.onnx"), "--lift"]
    assert "only those have variables" in CliRunner().invoke(app, onnx).stderr


def test_damaged_tables_end_in_an_error_and_in_nothing_else():
    content = (HIDDEN / "counter.tflite").read_bytes()
    random = np.random.default_rng(3)
    for _ in range(150):
        damaged = bytearray(content)
        for place in random.integers(8, len(content), 4):
            damaged[place] = random.integers(0, 256)
        with suppress(AdoptionError):
            lift(bytes(damaged), "counter.tflite")


def test_the_files_are_small():
    assert all(path.stat().st_size < 8_000 for path in Path(HIDDEN).iterdir())
