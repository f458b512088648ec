"""Exporting: what is written, when it is not, and that it is the same every time."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
from support.keras_models import sharp_model

from stepcell.export import (
    NotSteppableError,
    ParityError,
    SourceError,
    check,
    export,
    load_keras,
    read_source,
    read_vocabulary,
)
from stepcell.export.parity.expected import expected_runs
from stepcell.export.parity.tolerance import Tolerance
from stepcell.runtime import (
    BackendError,
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
from stepcell.train import Network, Options, Run, Text, fit

L = keras.layers
FEW = {"steps": 50}


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
        assert len(report.pop("recommendations")) == 4
    assert reports[0] == reports[1]


def test_an_export_writes_the_files_and_what_was_measured(exported_memory):
    names = [path.name for path in exported_memory.files]
    assert names == ["model.tflite", "model.onnx", "parity.json"]
    folder = exported_memory.files[0].parent
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    report = json.loads((folder / "parity.json").read_text())
    assert report["files"]["model.onnx"]["bytes"] == (folder / "model.onnx").stat().st_size
    assert len(report["parity"]) == 9
    assert all(entry["max_abs_error"] <= 1e-5 for entry in report["parity"])


def test_the_manifest_says_what_was_trained_and_measured(exported_memory):
    manifest = read_model_file(exported_memory.files[0]).manifest
    assert manifest.name == "memory"
    assert manifest.vocabulary.symbols == tuple("01234")
    assert manifest.training["problem"] == "memory"
    assert manifest.training["accuracy"] == 1.0
    assert {entry["runtime"].split()[0] for entry in manifest.parity} == {"ai-edge-litert", "tflite-runtime"}
    assert (manifest.cells[0].kind, manifest.cells[0].units) == ("lstm", 20)
    assert manifest.requires["FULLY_CONNECTED"] == 1


def test_an_exported_file_knows_the_memory_problem(exported_memory):
    for path in exported_memory.files[:-1]:
        stream = load(path).stream()
        assert [stream.step(symbol).symbol for symbol in "3012"] == ["0", "1", "2", "3"]
        stream.reset()
        assert [stream.step(symbol).symbol for symbol in "4012"] == ["0", "1", "2", "4"]


def test_a_foreign_model_without_a_vocabulary_gets_its_ids_as_symbols(tmp_path):
    exported = export(sharp_model("gru", 1), tmp_path, formats=["onnx"], **FEW)
    assert load(exported.files[0]).vocabulary.symbols == tuple("0123456")


def test_a_model_that_answers_with_labels_says_so(tmp_path):
    layers = [L.Embedding(6, 4), L.LSTM(5), L.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    labels = Vocabulary(("idle", "busy", "broken"))
    exported = export(model, tmp_path, vocabulary=Vocabulary(tuple("abcdef")), labels=labels, formats=["onnx"], **FEW)
    opened = load(exported.files[0])
    assert opened.manifest.to_json()["target"]["kind"] == "label"
    assert opened.stream().step("c").symbol in labels


def test_a_saved_keras_file_is_exported_like_the_model_itself(tmp_path):
    model = sharp_model("gru", 1)
    path = tmp_path / "mine.keras"
    model.save(path)
    source = read_source(path)
    assert (source.name, source.vocabulary) == ("mine", None)
    assert all(np.array_equal(a, b) for a, b in zip(source.model.get_weights(), model.get_weights(), strict=True))


def test_the_model_file_in_a_run_folder_brings_its_vocabulary(memory_run):
    for path in (memory_run, memory_run / "model.keras"):
        source = read_source(path)
        assert source.vocabulary.symbols == tuple("01234")
        assert source.sample[:5] in {tuple("30123"), tuple("40124")}


@pytest.mark.parametrize(
    ("vocabulary", "labels", "problem"),
    [
        (tuple("abc"), None, "reads 7 symbols, the vocabulary has 3"),
        (tuple("abcdefg"), tuple("xy"), "answers with 7 probabilities, there are 2 labels"),
    ],
)
def test_a_vocabulary_of_the_wrong_size_is_refused(vocabulary, labels, problem, tmp_path):
    with pytest.raises(VocabularyError, match=problem):
        export(
            sharp_model("rnn", 1),
            tmp_path,
            vocabulary=Vocabulary(vocabulary),
            labels=labels and Vocabulary(labels),
            **FEW,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_sample_with_unknown_symbols_is_refused(tmp_path):
    with pytest.raises(UnknownSymbolError, match="'x' is not in the vocabulary"):
        export(sharp_model("rnn", 1), tmp_path, sample="0123x", **FEW)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_done(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="Cannot write to the folder"):
        export(sharp_model("rnn", 1), tmp_path / "file" / "build", **FEW)


def test_where_not_even_numpy_steps_nothing_can_be_proven_and_nothing_is_written(tmp_path, monkeypatch):
    reason = "The backend 'onnxruntime' needs onnxruntime. Install it: pip install 'stepcell[onnx]'"
    monkeypatch.setattr("stepcell.export.parity.device_process.probe", lambda: {"onnxruntime": reason, "numpy": reason})
    with pytest.raises(NoInterpreterError, match=r"stepcell\[onnx\]"):
        export(sharp_model("rnn", 1), tmp_path, formats=["onnx"], **FEW)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_files_of_the_last_one(tmp_path, monkeypatch):
    export(sharp_model("rnn", 1), tmp_path, formats=["onnx"], **FEW)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(
        "stepcell.export.exporter.expected_runs", partial(expected_runs, tolerances={"float32": Tolerance(error=0.0)})
    )
    with pytest.raises(ParityError):
        export(sharp_model("rnn", 1, seed=2), tmp_path, formats=["onnx"], **FEW)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_checking_a_file_against_its_model_gives_what_was_measured(exported_memory, memory_run):
    source = read_source(memory_run)
    results = check(exported_memory.files[0], source.model, sample=source.sample, steps=200)
    assert {parity.backend for parity in results} == {"litert", "tflite"}
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


def test_a_missing_keras_model_is_said_to_be_missing(tmp_path):
    with pytest.raises(SourceError, match="There is no Keras model"):
        read_source(tmp_path / "none.keras")
    with pytest.raises(SourceError, match=r"There is no Keras model at .*model\.keras"):
        read_source(tmp_path)


def test_a_damaged_keras_file_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    sharp_model("rnn", 1).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match="is not a .keras file, or is damaged"):
        load_keras(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(SourceError, match="Keras cannot load"):
        load_keras(path)


def test_the_code_of_a_lambda_layer_is_never_run(tmp_path):
    path = tmp_path / "model.keras"
    layers = [L.Embedding(6, 4), L.Lambda(lambda x: x * 2, output_shape=(None, 4)), L.LSTM(5), L.Dense(6, "softmax")]
    keras.Sequential([keras.Input((None,), dtype="int32"), *layers]).save(path)
    with pytest.raises(SourceError, match="Lambda layer holds arbitrary code, which is not run"):
        load_keras(path)


def test_a_custom_layer_is_named(tmp_path):
    class Doubling(L.Layer):
        def call(self, x):
            return 2 * x

    path = tmp_path / "model.keras"
    layers = [L.Embedding(6, 4), Doubling(), L.LSTM(5), L.Dense(6, "softmax")]
    keras.Sequential([keras.Input((None,), dtype="int32"), *layers]).save(path)
    with pytest.raises(SourceError, match="Doubling"):
        load_keras(path)


def test_a_damaged_run_folder_is_refused(memory_run, tmp_path):
    for path in memory_run.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "run.json").write_text('{"vocabulary": 5}')
    with pytest.raises(SourceError, match="The run folder .* is damaged"):
        read_source(tmp_path)


@pytest.mark.parametrize("steps", [None, 8])
def test_a_model_with_a_one_hot_layer_is_exported(steps, tmp_path):
    layers = [L.CategoryEncoding(5, output_mode="one_hot"), L.LSTM(6, return_sequences=True), L.Dense(5, "softmax")]
    model = keras.Sequential([keras.Input((steps,), dtype="int32"), *layers])
    assert len(export(model, tmp_path, **FEW).parity) == 9


def test_an_unrolled_model_is_exported(tmp_path):
    layers = [L.Embedding(5, 3), L.GRU(6, unroll=True), L.Dense(5, "softmax")]
    export(keras.Sequential([keras.Input((8,), dtype="int32"), *layers]), tmp_path, **FEW)


def test_a_model_with_a_named_output_is_exported(tmp_path):
    source = keras.Input((None,), dtype="int32")
    output = L.Dense(5, "softmax")(L.GRU(6)(L.Embedding(5, 3)(source)))
    export(keras.Model(source, {"next": output}), tmp_path, formats=["onnx"], **FEW)


def test_the_carried_state_of_a_nested_model_is_neither_used_nor_moved(tmp_path):
    lstm = L.LSTM(4, stateful=True, return_sequences=True)
    inner = keras.Sequential([keras.Input(batch_shape=(1, None, 3)), lstm])
    source = keras.Input(batch_shape=(1, None), dtype="int32")
    model = keras.Model(source, L.Dense(5, "softmax")(inner(L.Embedding(5, 3)(source))))
    model(np.ones((1, 4)))
    before = [np.array(state) for state in lstm.states]
    export(model, tmp_path, formats=["onnx"], **FEW)
    assert all(np.array_equal(a, np.array(b)) for a, b in zip(before, lstm.states, strict=True))


def test_a_file_without_the_bias_that_is_all_zero_is_not_refused_as_too_small(tmp_path):
    layers = [L.Embedding(3000, 4), L.LSTM(4), L.Dense(3000, "softmax")]
    export(keras.Sequential([keras.Input((None,), dtype="int32"), *layers]), tmp_path, formats=["tflite"], steps=20)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_a_model_that_computes_in_half_precision_is_refused_with_what_to_do(policy, tmp_path):
    layers = [L.Embedding(5, 3), L.LSTM(4, dtype=policy, name="half"), L.Dense(5, "softmax")]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    with pytest.raises(NotSteppableError, match=r"half \(LSTM\): it computes in b?float16; .* dtype policy float32"):
        export(model, tmp_path / "build", **FEW)
    assert not (tmp_path / "build").exists()


def test_a_quantized_layer_is_refused(tmp_path):
    model = sharp_model("lstm", 1)
    model.layers[0].enable_lora(2)
    with pytest.raises(NotSteppableError, match="LoRA"):
        export(model, tmp_path, **FEW)


def test_a_state_that_grows_without_bound_is_refused(tmp_path):
    ones = keras.initializers.Constant(1.0)
    rnn = L.SimpleRNN(4, activation="relu", kernel_initializer=ones, recurrent_initializer=ones)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), L.Embedding(5, 3, ones), rnn, L.Dense(5, "softmax")])
    with pytest.raises(NotSteppableError, match="grows without bound: h0 is no longer finite after"):
        export(model, tmp_path, steps=1000)


def test_absorb_miswired_alone_is_noticed(tmp_path, monkeypatch):
    from stepcell.export.tflite import convert as tflite

    right = tflite._absorb_graph

    def wrong(step_function, arithmetic):
        def advance(a, ids, state):
            answer, following = step_function.advance(a, ids, state)
            return answer, {**following, "h0": following["c0"], "c0": following["h0"]}

        return right(replace(step_function, advance=advance), arithmetic)

    monkeypatch.setattr(tflite, "_absorb_graph", wrong)
    with pytest.raises(BackendError, match="absorbs the golden sequence of model.tflite to another end"):
        export(sharp_model("lstm", 1), tmp_path, formats=["tflite"], **FEW)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_said_before_anything_is_written(tmp_path):
    (tmp_path / "parity.json").mkdir()
    with pytest.raises(OutputError, match=r"parity\.json: it is a folder"):
        export(sharp_model("rnn", 1), tmp_path, **FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["parity.json"]


def test_formats_are_checked_and_count_once(tmp_path):
    for formats in ([], ["h5"], "h5"):
        with pytest.raises(WrongFormatError, match="one or both of tflite, onnx"):
            export(sharp_model("rnn", 1), tmp_path, formats=formats, **FEW)
    assert len(export(sharp_model("rnn", 1), tmp_path, formats=["onnx", "onnx"], **FEW).files) == 2


def test_a_vocabulary_may_be_any_sequence_of_symbols(tmp_path):
    exported = export(sharp_model("rnn", 1), tmp_path, vocabulary="abcdefg", formats=["onnx"], **FEW)
    assert load(exported.files[0]).vocabulary.symbols == tuple("abcdefg")


def test_other_symbols_for_the_same_ids_translate_the_sample(memory_run, tmp_path):
    source = read_source(memory_run).with_symbols(Vocabulary(("null", "one", "two", "three", "four")), None)
    assert set(source.sample) <= set(source.vocabulary)
    exported = export(
        source.model, tmp_path, vocabulary=source.vocabulary, sample=source.sample, formats=["onnx"], **FEW
    )
    stream = load(exported.files[0]).stream()
    assert [stream.step(s).symbol for s in ("three", "null", "one", "two")] == ["null", "one", "two", "three"]
    original = read_source(memory_run)
    with pytest.raises(StateMismatchError, match="vocabulary 5 symbols: 'null'.* and not 5 symbols: '0'"):
        check(exported.files[0], original.model, vocabulary=original.vocabulary, **FEW)


def test_symbols_that_break_lines_elsewhere_go_through_the_run_folder(tmp_path):
    odd = "\f\v\x1c\x1d\x1e\x85\u2028\u2029\n\r\té🎵\\"
    problem = Text.of(odd * 20)
    run = Run(tmp_path / "run", problem, Network(units=4), Options(max_updates=3))
    run.finish(fit(problem, Network(units=4), Options(max_updates=3)))
    source = read_source(tmp_path / "run")
    assert set(source.sample) <= set(odd)
    exported = export(
        source.model, tmp_path / "build", vocabulary=source.vocabulary, sample=source.sample, formats=["onnx"], **FEW
    )
    assert set(load(exported.files[0]).vocabulary) == set(odd)


def test_a_vocabulary_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "symbols.txt").write_bytes(b"\xef\xbb\xbfa\nb\n")
    assert read_vocabulary(tmp_path / "symbols.txt").symbols == ("a", "b")
    (tmp_path / "symbols.json").write_text('["a", "b"')
    with pytest.raises(VocabularyError, match="is not JSON"):
        read_vocabulary(tmp_path / "symbols.json")


def test_a_zip_that_keras_did_not_write_is_said_to_be_none(exported_memory):
    with pytest.raises(SourceError, match="is not a .keras file"):
        load_keras(exported_memory.files[0])
