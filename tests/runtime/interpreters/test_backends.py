"""Interpreters: chosen by trial, checked before use, and all alike."""

from __future__ import annotations

import builtins
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.models import DATA, RUNTIMES, path_of

from stepcell.runtime import (
    BACKEND_NAMES,
    BackendError,
    DamagedFileError,
    GoldenMismatchError,
    NoInterpreterError,
    load,
    probe_backends,
    read_model_file,
)
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.interpreters.golden import replay_golden
from stepcell.runtime.interpreters.registry import open_backend as open_any
from stepcell.runtime.interpreters.tflite_backend import SignatureRunnerBackend, TfliteBackend, open_backend

TFLITE_FILE = DATA / "memory.tflite"


@pytest.fixture
def without_interpreters(monkeypatch):
    """A process in which no interpreter can be imported."""
    real = builtins.__import__

    def guarded(name, *args, **kwargs):
        if name.split(".")[0] in ("tflite_runtime", "ai_edge_litert", "onnxruntime"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    for name in list(sys.modules):
        if name.split(".")[0] in ("tflite_runtime", "ai_edge_litert", "onnxruntime"):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(builtins, "__import__", guarded)


@pytest.mark.tflite_runtime
@pytest.mark.tflite_micro
def test_every_interpreter_of_the_development_environment_works():
    assert probe_backends() == dict.fromkeys(BACKEND_NAMES)


@pytest.mark.parametrize("name", ["memory.tflite", "memory.onnx"])
def test_without_an_interpreter_numpy_steps(name, without_interpreters):
    model = load(DATA / name)
    assert model.backend == f"numpy {np.__version__}"
    stream = model.stream()
    assert [stream.step(symbol).symbol for symbol in "3012"] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(("name", "extra"), [("memory.tflite", "stepcell[tflite]"), ("memory.onnx", "stepcell[onnx]")])
def test_without_an_interpreter_for_what_numpy_cannot_one_is_told_what_to_install(
    name, extra, without_interpreters, monkeypatch
):
    monkeypatch.setattr(
        "stepcell.runtime.interpreters.numpy_engine.from_tflite.KNOWN", frozenset(["ADD", "GATHER", "MUL", "SPLIT"])
    )
    monkeypatch.setattr(
        "stepcell.runtime.interpreters.numpy_engine.from_onnx.KNOWN", frozenset(["Add", "Gather", "Mul", "Split"])
    )
    with pytest.raises(NoInterpreterError, match="It needs an interpreter. Install one: pip install") as caught:
        load(DATA / name)
    assert extra in str(caught.value)
    every = "FULLY_CONNECTED, LOGISTIC, SOFTMAX, TANH" if "tflite" in name else "MatMul, Sigmoid, Softmax, Tanh"
    assert f"it does not know the operators {every}\n" in str(caught.value)
    with pytest.raises(ImportError):
        load(DATA / name)


@pytest.mark.parametrize("name", ["memory.tflite", "memory.onnx"])
def test_numpy_is_taken_last(name):
    assert not load(DATA / name).backend.startswith("numpy")


def test_a_backend_that_is_not_installed_is_said_to_be_missing(without_interpreters):
    with pytest.raises(NoInterpreterError, match="needs tflite-runtime"):
        load(TFLITE_FILE, backend="tflite")


@pytest.mark.tflite_runtime
def test_an_interpreter_that_imports_but_does_not_work_is_passed_over(monkeypatch):
    class Broken:
        def __init__(self, **options):
            raise ValueError("numpy.core.multiarray failed to import")

    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", Broken)
    assert load(TFLITE_FILE).backend.startswith("tflite-runtime")
    with pytest.raises(BackendError, match="ai-edge-litert .* cannot load memory.tflite: numpy.core.multiarray"):
        load(TFLITE_FILE, backend="litert")
    probe_backends.cache_clear()
    assert "numpy.core.multiarray" in probe_backends()["litert"]
    assert probe_backends()["tflite"] is None
    probe_backends.cache_clear()


@pytest.mark.parametrize(
    ("backend", "name"), [("onnxruntime", "memory.tflite"), ("litert", "memory.onnx"), ("x", "memory.onnx")]
)
def test_a_backend_for_another_format_is_refused(backend, name):
    with pytest.raises(ValueError, match="these do"):
        load(DATA / name, backend=backend)


@pytest.mark.parametrize("backend", ["litert", "tflite"])
def test_held_memory_and_the_public_api_give_the_same_bits(backend):
    file = read_model_file(TFLITE_FILE)
    held, public = open_backend(backend, file), open_backend(backend, file, public=True)
    assert isinstance(held, TfliteBackend)
    assert isinstance(public, SignatureRunnerBackend)
    ids = np.random.default_rng(0).integers(0, 5, 200)
    for step, id in enumerate(ids.tolist()):
        for each in (held, public):
            if step % 50 == 49:
                each.absorb(ids[:step].astype(np.int32))
            each.step(id)
        assert np.array_equal(held.answer(), public.answer())
        for name, array in held.read_state().items():
            assert np.array_equal(array, public.read_state()[name])
    assert np.array_equal(held.run(ids.astype(np.int32)), public.run(ids.astype(np.int32)))
    assert np.array_equal(held.answer(), public.answer())


def test_without_the_private_entry_the_public_api_is_used(monkeypatch):
    from ai_edge_litert import interpreter

    class PublicInterpreter:
        """An interpreter of which nothing but its documented methods can be reached."""

        def __init__(self, **options):
            inner = real(**options)
            self.allocate_tensors = inner.allocate_tensors
            self.get_signature_list = inner.get_signature_list
            self.get_signature_runner = inner.get_signature_runner

    real = interpreter.Interpreter
    monkeypatch.setattr(interpreter, "Interpreter", PublicInterpreter)
    file = read_model_file(TFLITE_FILE)
    assert isinstance(open_backend("litert", file), SignatureRunnerBackend)
    assert [load(TFLITE_FILE, backend="litert").stream().step(symbol).symbol for symbol in "34"] == ["0", "0"]


@pytest.mark.parametrize(("backend", "name"), RUNTIMES)
def test_all_interpreters_give_the_same_answers(backend, name):
    reference = load(TFLITE_FILE, backend="litert").stream()
    stream = load(DATA / name, backend=backend).stream()
    for symbol in "30124012" * 20:
        assert np.abs(stream.step(symbol).probabilities - reference.step(symbol).probabilities).max() < 1e-5


@pytest.mark.parametrize(("backend", "name"), RUNTIMES)
def test_a_manifest_that_promises_another_state_is_noticed_before_a_step(backend, name, tmp_path):
    file = read_model_file(DATA / name)
    state = tuple(replace(tensor, shape=(21,)) for tensor in file.manifest.state)
    path = tmp_path / name
    path.write_bytes(pack(file.payload, replace(file.manifest, state=state, golden=None), file.format))
    with pytest.raises(DamagedFileError, match="the manifest promises"):
        load(path, backend=backend)


@pytest.mark.parametrize(("backend", "name"), RUNTIMES)
def test_wrong_golden_answers_are_noticed_at_load(backend, name, tmp_path):
    file = read_model_file(DATA / name)
    golden = file.manifest.golden
    last = golden.runs[-1]
    rows = (*last.probabilities[:-1], tuple(p + 1e-4 for p in last.probabilities[-1]))
    golden = replace(golden, runs=(*golden.runs[:-1], replace(last, probabilities=rows)))
    path = tmp_path / name
    path.write_bytes(pack(file.payload, replace(file.manifest, golden=golden), file.format))
    with pytest.raises(GoldenMismatchError, match="a probability is off by 0.0001"):
        load(path, backend=backend)
    assert load(path, backend=backend, golden=False).stream().step("3").symbol == "0"


@pytest.mark.tflite_runtime
def test_only_tflite_on_32_bits_may_be_less_exact(tmp_path, monkeypatch):
    """Off by 3.6e-5 there with the kernels of tflite-runtime 2.14, and nothing is wrong; see docs/raspberry-pi.md."""
    for suffix in ("tflite", "onnx"):
        file = read_model_file(DATA / f"memory.{suffix}")
        golden = file.manifest.golden
        rows = tuple(tuple(p + 5e-4 for p in row) for row in golden.runs[0].probabilities)
        golden = replace(golden, runs=(replace(golden.runs[0], probabilities=rows), *golden.runs[1:]))
        path = tmp_path / f"rounded.{suffix}"
        path.write_bytes(pack(file.payload, replace(file.manifest, golden=golden), file.format))
        with pytest.raises(GoldenMismatchError, match="off by 0.0005 .allowed 1e-05"):
            load(path)
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert load(tmp_path / "rounded.tflite", backend="tflite").stream().step("3").symbol == "0"
    for name, backend in (("rounded.tflite", "numpy"), ("rounded.onnx", "onnxruntime")):
        with pytest.raises(GoldenMismatchError):
            load(tmp_path / name, backend=backend)


@pytest.mark.parametrize(("backend", "name"), RUNTIMES)
def test_the_golden_sequence_notices_swapped_states(backend, name):
    file = read_model_file(DATA / name)
    opened = open_any(backend, file)

    class Swapped:
        """h of one step becomes c of the next, and the other way round."""

        def __getattr__(self, attribute):
            return getattr(opened, attribute)

        def step(self, id):
            opened.step(id)
            state = opened.read_state()
            opened.write_state({"h0": state["c0"], "c0": state["h0"]})

    with pytest.raises(GoldenMismatchError):
        replay_golden(Swapped(), file, backend)


def test_the_golden_sequence_has_a_reset_a_non_zero_start_and_enough_symbols():
    golden = read_model_file(TFLITE_FILE).manifest.golden
    assert [run.start for run in golden.runs] == ["initial", "ramp", "initial"]
    assert sum(len(run.ids) for run in golden.runs) >= 16
    assert golden.runs[0].probabilities[:4] == golden.runs[2].probabilities


@pytest.mark.parametrize(
    ("backend", "format"),
    [(backend, name.rpartition(".")[2]) for backend, name in RUNTIMES],
)
def test_a_graph_that_stepcell_did_not_make_is_stepped_through_its_mapping(backend, format):
    model = load(path_of("adopted", format), backend=backend)
    reference, stream = load(path_of("adopted", format), backend="numpy").stream(), model.stream()
    symbols = "abcdefabcfed" * 4
    for symbol in symbols:
        assert np.abs(stream.step(symbol).values - reference.step(symbol).values).max() < 1e-5
    shapes = {tensor.name: (1, *tensor.shape) for tensor in model.manifest.state}
    assert {name: array.shape for name, array in stream.state.items()} == shapes
    other = model.stream()
    assert np.array_equal(other.run(symbols)[-1], stream.prediction.values)
    assert other.to_bytes() == stream.to_bytes()
    fork = stream.fork()
    stream.step("a")
    assert np.array_equal(fork.step("b").values, other.step("b").values)
    assert other.symbols_seen == len(symbols) + 1
