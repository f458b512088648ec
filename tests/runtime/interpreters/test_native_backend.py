"""The compiled engine: answers as the numpy engine does, on every kind of processor that this one is."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.models import ADOPTED, DATA, STANDARD, path_of

from stepcell.runtime import (
    Feature,
    GoldenMismatchError,
    Manifest,
    NoInterpreterError,
    NotFiniteError,
    UnknownSymbolError,
    Vocabulary,
    WrongBackendError,
    load,
    read_model_file,
)
from stepcell.runtime.format.io_mapping import IOMapping, TensorSpec
from stepcell.runtime.format.model_file import ModelFile
from stepcell.runtime.interpreters import native_backend
from stepcell.runtime.interpreters.golden import replay_golden
from stepcell.runtime.interpreters.native import require_current
from stepcell.runtime.interpreters.native.weights import BYTES, HALF, WHOLE, packed
from stepcell.runtime.interpreters.registry import open_backend, open_two_phase_backend

FILES = [path_of(name, format) for name in STANDARD for format in ("tflite", "onnx")]
FILES += [path_of("lstm40", format, "int8") for format in ("tflite", "onnx")]
FILES += [path_of(name, format, "float16") for name in ("lstm", "stack") for format in ("tflite", "onnx")]
FILES += [DATA / "personal.tflite", DATA / "personal.onnx", *ADOPTED, DATA / "level.onnx"]
STEPS = 60


def fed(file, steps=STEPS):
    """Ids, and features for each step."""
    random = np.random.default_rng(0)
    ids = random.integers(0, len(file.manifest.vocabulary) or 1, steps).tolist()
    return [(id, {f.name: numbers(f, random) for f in file.manifest.features}) for id in ids]


def numbers(feature, random):
    if feature.dtype == "float32":
        return random.normal(size=(1, *feature.shape)).astype(np.float32)
    return random.integers(0, 3, (1, *feature.shape)).astype(feature.dtype)


def results_of(backend, inputs):
    """All answers and the states that `backend` comes to."""
    found = []
    for id, features in inputs:
        backend.write_features(features)
        backend.step(id)
        answers = {"": backend.answer(), **backend.extra_outputs(), **backend.read_state()}
        found.append({name: array.copy() for name, array in answers.items()})
    return found


def largest_difference(one, other):
    return max(
        float((np.abs(a[name] - b[name]) / np.maximum(1, np.abs(b[name]))).max())
        for a, b in zip(one, other, strict=True)
        for name in a
    )


def test_it_has_been_compiled_if_there_is_a_compiler():
    assert native_backend.KINDS or not shutil.which("cc"), "compile it: make native"


@pytest.mark.parametrize("kind", native_backend.KINDS, ids=lambda kind: kind.name)
def test_it_answers_as_numpy_does_on_every_kind_of_processor(kind, monkeypatch):
    monkeypatch.setattr(native_backend, "PROCESSOR", kind)
    for path in FILES:
        file = read_model_file(path)
        inputs = fed(file)
        exact = results_of(open_backend("numpy", file), inputs)
        allowed = 2e-5 if file.manifest.quantization == "int8" else 3e-6  # factors of int8 weights have 16 bits
        assert largest_difference(results_of(open_backend("native", file), inputs), exact) < allowed, path.name


@pytest.mark.parametrize("kind", native_backend.KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (7, 17), (40, 160), (63, 100), (130, 67)])
def test_products_with_int8_weights_are_off_by_the_rounding_of_their_factors(rows, columns, kind, monkeypatch):
    monkeypatch.setattr(native_backend, "PROCESSOR", kind)
    random = np.random.default_rng(rows)
    numbers = random.integers(-127, 128, (rows, columns))
    numbers[0] = 127
    scales = random.uniform(0.001, 0.1, columns).astype(np.float32)
    backend = open_backend("native", product_file(numbers.astype(np.float32) * scales))
    assert BYTES in backend.shared.operations["type"]
    inputs = [random.normal(size=rows), random.normal(size=rows) * 1e-6, np.zeros(rows), np.full(rows, -1e30)]
    inputs += [np.full(rows, 1e-38), np.eye(1, rows, rows - 1)[0]]
    for x in inputs:
        x = x.astype(np.float32)
        backend.write_features({"x": x})
        backend.step(0)
        exact = x.astype(np.float64) @ (numbers * scales.astype(np.float64))
        step = np.abs(x).max() / 32767
        allowed = 0.51 * step * np.abs(numbers * scales).sum(axis=0) + 1e-6 * np.abs(exact)
        assert (np.abs(backend.answer() - exact) <= allowed + 1e-30).all()
    for wrong in (np.nan, np.inf, -np.inf):
        x = np.ones(rows, np.float32)
        x[-1] = wrong
        backend.write_features({"x": x})
        with pytest.raises(NotFiniteError):
            backend.step(0)


def product_file(weights):
    """The file of a graph that answers x @ weights."""
    rows, columns = weights.shape
    tensor = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "product", [tensor("x", 1, [1, rows])],
        [tensor("y", 1, [1, columns])], [onnx.numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    mapping = IOMapping(
        "", None, TensorSpec("y", "float32", (1, columns)), logits=False, state={},
        features={"x": TensorSpec("x", "float32", (1, rows))},
    )  # fmt: skip
    manifest = Manifest(
        "product", Vocabulary.none(), (), (), "linear", Vocabulary.of_ids(columns), quantization="int8",
        features=(Feature("x", (rows,)),), io_mapping=mapping,
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    return ModelFile("product.onnx", "onnx", model.SerializeToString(), manifest)


def test_in_two_phases_it_answers_as_in_one():
    for path in FILES:
        file = read_model_file(path)
        inputs = fed(file)
        try:
            later = open_two_phase_backend("native", file)
        except WrongBackendError:  # nothing of it can be done beforehand
            continue
        exact = results_of(open_backend("native", file), inputs)
        assert largest_difference(results_of(later, inputs), exact) < 1e-6, path.name


def test_an_expected_symbol_is_answered_whether_it_comes_or_not():
    file = read_model_file(path_of("lstm"))
    backend, exact = open_two_phase_backend("native", file), open_backend("native", file)
    for expected, id in [(1, 1), (2, 3), (0, 0), (5, 1), (1, 1)]:
        backend.expect(expected)
        backend.step(id)
        exact.step(id)
        assert np.allclose(backend.answer(), exact.answer(), atol=1e-6)


def test_a_look_ahead_changes_nothing_even_where_work_is_left_for_later():
    for low_latency in (False, True):
        model = load(path_of("lstm"), backend="native")
        stream, undisturbed = model.stream(low_latency=low_latency), model.stream()
        for symbol in "0123456":
            for other in "30":
                stream.peek(other)
            assert np.allclose(stream.step(symbol).values, undisturbed.step(symbol).values, atol=1e-6)


def test_a_step_by_id_held_over_a_reset_goes_on_where_the_stream_is():
    stream = load(path_of("lstm"), backend="native").stream()
    step = stream.step_id
    first = step(3).copy()
    step(4)
    stream.reset()
    assert np.array_equal(step(3), first)
    assert stream.symbols_seen == 1
    with pytest.raises(UnknownSymbolError):
        step(99)
    with pytest.raises(UnknownSymbolError):
        step(-1)
    with pytest.raises(UnknownSymbolError):
        step("3")
    assert stream.symbols_seen == 1


@pytest.mark.parametrize("name", ["growing_softmax", "growing_sigmoid", "growing_two"])
def test_a_step_that_fails_has_not_moved_the_state(name):
    stream = load(path_of(name), backend="native", golden=False).stream()
    for _ in range(200):
        before, seen = stream.state, stream.symbols_seen
        with suppress(NotFiniteError):
            stream.step_id(1)
    assert 100 < seen < 150
    assert stream.symbols_seen == seen
    assert all(np.array_equal(stream.state[state], array) for state, array in before.items())


def test_other_threads_run_while_it_runs():
    model = load(path_of("lstm40"), backend="native")
    ids = np.random.default_rng(0).integers(0, 20, 300_000).astype(np.int32)
    turns, done = 0, threading.Event()

    def work():
        model.stream().run_ids(ids)
        done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(10.0)  # so that no thread is made to give way
    try:
        thread = threading.Thread(target=work)
        thread.start()
        while not done.is_set():
            turns += 1
            done.wait(1e-4)
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert turns > 20


def test_weights_are_stored_in_as_few_bytes_as_hold_them():
    random = np.random.default_rng(0)
    whole = random.integers(-127, 128, (20, 70))
    whole[0] = 127
    cases = {
        WHOLE: random.normal(size=(20, 70)).astype(np.float32),
        HALF: random.normal(size=(20, 70)).astype(np.float16).astype(np.float32),
        BYTES: whole.astype(np.float32) * random.uniform(0.1, 1, 70).astype(np.float32),
    }
    for kind, weights in cases.items():
        assert packed(weights, halves=True, bytes=True)[0] == kind
        assert packed(weights, halves=False, bytes=False)[0] == WHOLE


def test_a_file_that_it_does_not_step_is_refused_and_says_why():
    with pytest.raises(WrongBackendError, match=r"does not step lstm\.sequence\.onnx: .*LSTM"):
        load(path_of("lstm", "onnx", "sequence"), backend="native")


def test_an_installation_without_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(native_backend, "PROCESSOR", None)
    with pytest.raises(NoInterpreterError, match="Install a C compiler .* in the checkout: make native"):
        load(path_of("lstm"), backend="native")


def test_the_environment_may_ask_for_it(monkeypatch):
    monkeypatch.setenv("STEPCELL_BACKEND", "native")
    assert load(path_of("lstm")).backend.startswith("compiled engine")
    assert load(path_of("lstm"), backend="numpy").backend.startswith("numpy")
    monkeypatch.setenv("STEPCELL_BACKEND", "")
    assert not load(path_of("lstm")).backend.startswith("compiled engine")
    monkeypatch.setenv("STEPCELL_BACKEND", "abacus")
    with pytest.raises(WrongBackendError, match="abacus"):
        load(path_of("lstm"))


def test_states_in_the_wrong_order_are_noticed_when_a_file_is_loaded():
    file = read_model_file(path_of("lstm"))
    compiled = open_backend("native", file).shared
    moves = compiled.moves.copy()
    moves["target"] = moves["target"][::-1]  # h where c belongs, and the other way round
    with pytest.raises(GoldenMismatchError):
        replay_golden(native_backend.NativeBackend(replace(compiled, moves=moves), file.manifest), file, "native")


def test_without_being_asked_for_it_steps_nothing():
    assert not load(Path(path_of("lstm"))).backend.startswith("compiled engine")


def test_an_engine_that_is_older_than_its_sources_is_refused(tmp_path):
    compiled = tmp_path / "_engine.abi3.so"
    compiled.touch()
    require_current(compiled)
    source = tmp_path / "kernels.h"
    source.touch()
    os.utime(source, (compiled.stat().st_mtime - 1,) * 2)
    require_current(compiled)
    os.utime(source, (compiled.stat().st_mtime + 1,) * 2)
    with pytest.raises(ImportError, match=r"_engine.abi3.so is older than kernels.h"):
        require_current(compiled)
