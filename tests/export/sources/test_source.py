"""Sources of an export: run folders, .keras files, vocabularies and states, and the refusal of damaged ones."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from support.keras_models import sharp_model

from stepcell.export import SourceError, load_keras, read_source, read_state_file
from stepcell.export.model_files import build_file
from stepcell.export.prepare import prepare
from stepcell.runtime import Vocabulary, load
from stepcell.train import Network, Options, Run, Text, fit

L = keras.layers


def test_a_saved_keras_file_is_read_like_the_model_itself(tmp_path):
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
    with pytest.raises(SourceError, match="has no readable model.weights.h5"):
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


def test_a_zip_that_keras_did_not_write_is_said_to_be_none(exported_memory):
    with pytest.raises(SourceError, match="is not a .keras file"):
        load_keras(exported_memory.files[0])


def test_a_source_is_read_without_tensorflow(memory_run):
    code = f"""
import sys
from stepcell.export import read_source
source = read_source({str(memory_run)!r})
print(source.name, len(source.vocabulary), "tensorflow" in sys.modules, "keras" in sys.modules)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["memory", "5", "False", "False"]


def test_other_symbols_for_the_same_ids_translate_the_sample(memory_run, tmp_path):
    source = read_source(memory_run).with_symbols(Vocabulary(("null", "one", "two", "three", "four")), None)
    assert set(source.sample) <= set(source.vocabulary)
    built = build_file(prepare(source.model, vocabulary=source.vocabulary), "onnx", "float32", tmp_path)
    stream = load(built.path).stream()
    assert [stream.step(s).symbol for s in ("three", "null", "one", "two")] == ["null", "one", "two", "three"]


@pytest.mark.slow
def test_symbols_that_break_lines_elsewhere_go_through_the_run_folder(tmp_path):
    odd = "\f\v\x1c\x1d\x1e\x85\u2028\u2029\n\r\té🎵\\"
    problem = Text.of(odd * 20)
    run = Run(tmp_path / "run", problem, Network(units=4), Options(max_updates=3))
    run.finish(fit(problem, Network(units=4), Options(max_updates=3)))
    source = read_source(tmp_path / "run")
    assert set(source.sample) <= set(odd)
    built = build_file(prepare(source.model, vocabulary=source.vocabulary), "onnx", "float32", tmp_path)
    assert set(load(built.path).vocabulary) == set(odd)


def test_a_keras_file_that_unpacks_to_much_more_than_it_holds_is_refused_unread(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes((1 << 26) + 1))
    with pytest.raises(SourceError, match=r"is no model: model.weights.h5 unpacks to 67,108,865 bytes, of"):
        read_source(path)


@pytest.mark.parametrize("place", [6, 8, 10, 42])  # version, flags, method, offset
def test_a_keras_file_whose_directory_lies_is_refused(place, tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    content = bytearray(path.read_bytes())
    start = content.find(b"PK\x01\x02") + place
    content[start : start + 2] = b"\x63\x63"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="is not a .keras file, or is damaged"):
        read_source(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", b'{"vocabulary": ' + b"[" * 100_000),
        ("run.json", b'{"vocabulary": ["a", ' + b"9" * 5000 + b"]}"),
        ("sample.jsonl", b""),
        ("sample.jsonl", b'{"symbol": "a", "x": [1' + b"0" * 400 + b"]}\n"),
        ("sample.jsonl", b'{"symbol": "a", "x": [NaN]}\n'),
        ("sample.txt", b"\xff\n"),
    ],
)
def test_a_damaged_file_of_a_run_folder_is_refused(name, content, tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    (tmp_path / "run.json").write_text('{"vocabulary": ["a", "b"]}')
    (tmp_path / "sample.txt").write_text("a\nb\n")
    assert read_source(tmp_path).sample == ("a", "b")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match="The run folder .* is damaged"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.array(["a"]), "no finite numbers: h0"),
        (np.array([1.0, np.nan]), "no finite numbers: h0"),
        (np.zeros((1 << 26) // 8 + 1), "unpacked it has 67,1.* bytes, more than any state"),
    ],
)
def test_arrays_that_are_no_state_are_refused(array, problem, tmp_path):
    np.savez_compressed(tmp_path / "start.npz", h0=array)
    with pytest.raises(SourceError, match=f"holds no state .{problem}"):
        read_state_file(tmp_path / "start.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x93NUMPY\x01\x00 broken"])
def test_a_damaged_state_file_is_said_to_hold_none(content, tmp_path):
    (tmp_path / "start.npz").write_bytes(content)
    with pytest.raises(SourceError, match="holds no state"):
        read_state_file(tmp_path / "start.npz")
    with pytest.raises(SourceError, match="There is no file"):
        read_state_file(tmp_path / "none.npz")
