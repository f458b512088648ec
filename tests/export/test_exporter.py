"""Exporting: the files that are written, refusals that write nothing, and the same bytes every time."""

from __future__ import annotations

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.broken_export import break_export, expected_of, miswired, prove
from support.keras_models import STANDARD, sharp_model

from stepcell.export import NotSteppableError, ParityError, build_step_function, check, export, read_source
from stepcell.export.model_files import build_file, convert
from stepcell.export.ops.precision import check_formats, check_quantizations
from stepcell.export.parity.device_process import installed_backends
from stepcell.export.parity.sample_inputs import sample_inputs
from stepcell.export.prepare import prepare
from stepcell.runtime import (
    DamagedFileError,
    NoInterpreterError,
    StateMismatchError,
    UnknownSymbolError,
    Vocabulary,
    VocabularyError,
    load,
    read_model_file,
)
from stepcell.runtime.common.errors import OutputError, WrongFormatError
from stepcell.runtime.common.lock import FolderLock

L = keras.layers
FEW = {"steps": 50}


@pytest.mark.slow
def test_the_same_model_exported_twice_gives_the_same_bytes_even_in_another_process(memory_run, tmp_path):
    code = f"""
import sys
from stepcell.export import build_step_function, export, read_source
from stepcell.export.onnx.convert import onnx_payload
from stepcell.export.onnx.sequence import sequence_payload
from stepcell.export.tflite.convert import tflite_payload
source = read_source({str(memory_run)!r})
if sys.argv[1].endswith("other"):  # as the second export of its process, which must not count anything on
    for payload in (tflite_payload, onnx_payload, sequence_payload):
        payload(build_step_function(source.model))
export(source.model, sys.argv[1], vocabulary=source.vocabulary, name="m", sample=source.sample, steps=50,
       quantize=["float16", "int8"], allow_inaccurate=["int8"], sequence=True, warm_up="301")
"""
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)
    files = sorted(path.name for path in folders[0].glob("model.*"))
    assert len(files) == 7
    for name in files:
        assert len({(folder / name).read_bytes() for folder in folders}) == 1
    reports = [json.loads((folder / "parity.json").read_bytes()) for folder in folders]
    for report in reports:  # all but the time a step takes, and what follows from it
        assert all(entry.pop("microseconds") != 0 for entry in report["parity"])
        assert len(report.pop("recommendations")) >= 4
    assert reports[0] == reports[1]


@pytest.mark.slow
def test_a_graph_has_the_same_bytes_each_time_it_is_built(exported):
    step_function = build_step_function(STANDARD["lstm"].build())
    for path in exported("lstm").files[:-1]:
        file = read_model_file(path)
        format = path.name.removeprefix("model.").removeprefix("float16.")
        assert convert(step_function, format, file.manifest.quantization)[0] == file.payload


def test_an_export_writes_the_files_and_what_was_measured(exported_memory):
    names = [path.name for path in exported_memory.files]
    assert names == ["model.tflite", "model.onnx", "parity.json"]
    folder = exported_memory.files[0].parent
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    report = json.loads((folder / "parity.json").read_text())
    assert report["files"]["model.onnx"]["bytes"] == (folder / "model.onnx").stat().st_size
    assert len([entry for entry in report["parity"] if entry["backend"] != "native"]) == 9
    assert all(entry["max_abs_error"] <= 1e-5 for entry in report["parity"])


def test_the_manifest_says_what_was_trained_and_measured(exported_memory):
    manifest = read_model_file(exported_memory.files[0]).manifest
    assert manifest.name == "memory"
    assert manifest.vocabulary.symbols == tuple("01234")
    assert manifest.training["problem"] == "memory"
    assert manifest.training["accuracy"] == 1.0
    assert {entry["runtime"].split()[0] for entry in manifest.parity} - {"compiled"} == {
        "ai-edge-litert",
        "tflite-runtime",
    }
    assert (manifest.cells[0].kind, manifest.cells[0].units) == ("lstm", 20)
    assert manifest.requires["FULLY_CONNECTED"] == 1


def test_an_exported_file_knows_the_memory_problem(exported_memory):
    for path in exported_memory.files[:-1]:
        stream = load(path).stream()
        assert [stream.step(symbol).symbol for symbol in "3012"] == ["0", "1", "2", "3"]
        stream.reset()
        assert [stream.step(symbol).symbol for symbol in "4012"] == ["0", "1", "2", "4"]


def test_a_model_without_a_vocabulary_gets_its_ids_as_symbols():
    assert prepare(sharp_model("gru", 1)).manifest.vocabulary.symbols == tuple("0123456")


def test_a_vocabulary_may_be_any_sequence_of_symbols():
    assert prepare(sharp_model("rnn", 1), vocabulary="abcdefg").manifest.vocabulary.symbols == tuple("abcdefg")


@pytest.mark.slow
def test_a_model_that_answers_with_labels_says_so(exported):
    opened = load(exported("labelled").files[1])
    assert opened.manifest.to_json()["target"]["kind"] == "label"
    assert opened.stream().step("c").symbol in Vocabulary(("low", "middle", "high"))


@pytest.mark.parametrize(
    ("vocabulary", "labels", "problem"),
    [
        (tuple("abc"), None, "reads 7 symbols, the vocabulary has 3"),
        (tuple("abcdefg"), tuple("xy"), "answers with 7 probabilities, there are 2 labels"),
    ],
)
def test_a_vocabulary_of_the_wrong_size_is_refused(vocabulary, labels, problem):
    with pytest.raises(VocabularyError, match=problem):
        prepare(sharp_model("rnn", 1), vocabulary=vocabulary, labels=labels)


def test_a_sample_with_unknown_symbols_is_refused(prepared):
    with pytest.raises(UnknownSymbolError, match="'x' is not in the vocabulary"):
        sample_inputs(prepared("lstm").model.manifest, "0123x", None)


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_done(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="Cannot write to the folder"):
        export(sharp_model("rnn", 1), tmp_path / "file" / "build", **FEW)


def test_a_folder_in_the_way_is_said_before_anything_is_written(tmp_path):
    (tmp_path / "parity.json").mkdir()
    with pytest.raises(OutputError, match=r"parity\.json: it is a folder"):
        export(sharp_model("rnn", 1), tmp_path, **FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["parity.json"]


def test_a_folder_belongs_to_one_export_at_a_time_and_what_a_killed_one_left_is_removed(tmp_path):
    with FolderLock(tmp_path, "export"), pytest.raises(OutputError, match="is in use: another export writes there"):
        export(sharp_model("rnn", 1), tmp_path, **FEW)
    (tmp_path / ".stepcell-killed").mkdir()
    (tmp_path / ".stepcell-killed" / "model.tflite").write_bytes(b"half")
    (tmp_path / "parity.json").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        export(sharp_model("rnn", 1), tmp_path, **FEW)
    (tmp_path / "parity.json").rmdir()
    export(sharp_model("rnn", 1), tmp_path, formats=["onnx"], **FEW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "parity.json"]


def test_where_not_even_numpy_steps_nothing_can_be_proven():
    reason = "The backend 'onnxruntime' needs onnxruntime. Install it: pip install 'stepcell[onnx]'"
    with pytest.raises(NoInterpreterError, match=r"stepcell\[onnx\]"):
        installed_backends("onnx", (), dict.fromkeys(("onnxruntime", "numpy", "native"), reason))


def test_a_wrong_file_is_not_written(tmp_path, monkeypatch):
    break_export(monkeypatch, "onnx", lambda right: miswired(right, "never fed back"))
    with pytest.raises(ParityError, match=r"Keras and model\.onnx differ by .*Nothing was written"):
        export(sharp_model("rnn", 1), tmp_path / "build", formats=["onnx"], **FEW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_refused_export_leaves_the_files_of_the_last_one_and_one_that_is_allowed_replaces_them(tmp_path):
    model = sharp_model("gru", 1, units=40, symbols=30, embedding=40)  # its likeliest answers are often nearly equal
    options = {"formats": ["onnx"], "quantize": ["int8"], "steps": 200}
    exported = export(model, tmp_path, allow_inaccurate=["int8"], **options)
    path = exported.files[1]
    assert not all(entry["within_gate"] for entry in read_model_file(path).manifest.parity)
    load(path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ParityError, match=r"(?s)% of the answers .* \(at least 98 %\).*--allow-inaccurate int8"):
        export(model, tmp_path, **options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(ParityError, match=r"(?s)% of the answers .* \(at least 98 %\).*--allow-inaccurate int8"):
        check(path, model, steps=200, plot=tmp_path / "error.png")
    assert (tmp_path / "error.png").exists()
    assert not all(parity.holds for parity in check(path, model, steps=200, allow_inaccurate=["int8"]))


def test_checking_a_file_against_its_model_gives_what_was_measured(exported_memory, memory_run):
    source = read_source(memory_run)
    results = check(exported_memory.files[0], source.model, sample=source.sample, steps=200)
    assert {parity.backend for parity in results} - {"native"} == {"litert", "tflite"}
    assert all(parity.error <= 1e-5 for parity in results)


def test_checking_a_file_against_another_model_of_the_same_shape_fails(exported_memory, memory_run):
    model = read_source(memory_run).model
    weights = model.get_weights()
    model.set_weights([*weights[:-1], weights[-1] + np.float32([0.01, 0, 0, 0, 0])])
    with pytest.raises(ParityError, match="Keras and model.onnx differ"):
        check(exported_memory.files[1], model, steps=50)


def test_checking_a_file_against_a_model_of_another_shape_says_what_differs(exported_memory):
    with pytest.raises(StateMismatchError, match="symbols 5 and not 7"):
        check(exported_memory.files[0], sharp_model("gru", 2), **FEW)


def test_checking_a_damaged_file_never_reaches_an_interpreter(exported_memory, memory_run, tmp_path):
    content = bytearray(exported_memory.files[0].read_bytes())
    content[2000] ^= 8
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError):
        check(path, read_source(memory_run).model, **FEW)


def test_checking_a_file_against_a_vocabulary_of_other_symbols_says_what_differs(exported_memory, memory_run):
    other = Vocabulary(("null", "one", "two", "three", "four"))
    with pytest.raises(StateMismatchError, match="vocabulary 5 symbols: '0'.* and not 5 symbols: 'null'"):
        check(exported_memory.files[1], read_source(memory_run).model, vocabulary=other, **FEW)


def one_hot(steps):
    layers = [L.CategoryEncoding(5, output_mode="one_hot"), L.LSTM(6, return_sequences=True), L.Dense(5, "softmax")]
    return keras.Sequential([keras.Input((steps,), dtype="int32"), *layers])


def unrolled():
    layers = [L.Embedding(5, 3), L.GRU(6, unroll=True), L.Dense(5, "softmax")]
    return keras.Sequential([keras.Input((8,), dtype="int32"), *layers])


def named_output():
    source = keras.Input((None,), dtype="int32")
    return keras.Model(source, {"next": L.Dense(5, "softmax")(L.GRU(6)(L.Embedding(5, 3)(source)))})


def nested_and_stateful():
    lstm = L.LSTM(4, stateful=True, return_sequences=True, name="stateful")
    inner = keras.Sequential([keras.Input(batch_shape=(1, None, 3)), lstm], name="inner")
    source = keras.Input(batch_shape=(1, None), dtype="int32")
    return keras.Model(source, L.Dense(5, "softmax")(inner(L.Embedding(5, 3)(source))))


MODELS = {
    "one-hot symbols": lambda: one_hot(None),
    "one-hot symbols of a fixed number of steps": lambda: one_hot(8),
    "an unrolled layer": unrolled,
    "a named output": named_output,
    "a stateful layer in a nested model": nested_and_stateful,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_any_form_is_proven(name, device, tmp_path):
    model = prepare(MODELS[name]())
    proven = prove(build_file(model, "onnx", "float32", tmp_path), expected_of(model, **FEW), device)
    assert [parity.backend for parity in proven.parity].count("onnxruntime") == 3


def test_the_carried_state_of_a_nested_model_is_neither_used_nor_moved():
    model = nested_and_stateful()
    lstm = model.get_layer("inner").get_layer("stateful")
    model(np.ones((1, 4)))
    before = [np.array(state) for state in lstm.states]
    expected_of(prepare(model), **FEW)
    assert all(np.array_equal(a, np.array(b)) for a, b in zip(before, lstm.states, strict=True))


@pytest.mark.slow
def test_a_file_without_the_bias_that_is_all_zero_is_not_refused_as_too_small():
    layers = [L.Embedding(3000, 4), L.LSTM(4), L.Dense(3000, "softmax")]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    assert convert(build_step_function(model), "tflite", "float32")[0]


def test_a_quantized_layer_is_refused():
    model = sharp_model("lstm", 1)
    model.layers[0].enable_lora(2)
    with pytest.raises(NotSteppableError, match="LoRA"):
        build_step_function(model)


def test_a_state_that_grows_without_bound_is_refused():
    ones = keras.initializers.Constant(1.0)
    rnn = L.SimpleRNN(4, activation="relu", kernel_initializer=ones, recurrent_initializer=ones)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), L.Embedding(5, 3, ones), rnn, L.Dense(5, "softmax")])
    with pytest.raises(NotSteppableError, match="grows without bound: h0 is no longer finite after"):
        expected_of(prepare(model), steps=1000)


def test_formats_and_precisions_are_checked_and_count_once():
    for formats in ([], ["h5"], "h5"):
        with pytest.raises(WrongFormatError, match="some of tflite, onnx, c, js, html"):
            check_formats(formats)
    assert check_formats(["onnx", "onnx"]) == ["onnx"]
    with pytest.raises(WrongFormatError, match="cannot be stored as 'int4'; give one or both of float16, int8"):
        check_quantizations(["int4"])
    assert check_quantizations("int8") == ["int8"]


@pytest.mark.slow
def test_one_sigmoid_unit_takes_two_labels(tmp_path):
    model = keras.Sequential(
        [keras.Input((None, 2), name="x"), keras.layers.GRU(3, return_sequences=True), keras.layers.Dense(1, "sigmoid")]
    )
    export(model, tmp_path, labels=["no", "fall"], formats=["tflite"], steps=100)
    stream = load(tmp_path / "model.tflite").stream()
    answers = [stream.step(features=[1.0, -1.0]) for _ in range(3)]
    expected = np.asarray(model(np.full((1, 3, 2), [1.0, -1.0], np.float32)))[0, :, 0]
    for answer, second in zip(answers, expected, strict=True):
        assert answer.symbol == ("fall" if second > 0.5 else "no")
        assert answer.probability == pytest.approx(max(second, 1 - second), abs=1e-5)
    with pytest.raises(VocabularyError, match="answers with 1 probabilities, there are 3 labels"):
        export(model, tmp_path, labels=["a", "b", "c"], formats=["tflite"], steps=100)
