"""tf_keras proves what is made of a file of Keras 2, and faults are found. One process of it answers all tests here."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from stepcell.export import ParityError, SourceError, export, read_source
from stepcell.export.sources.provenance import Provenance, provenance_of, record
from stepcell.export.sources.referee import one_process, random_sequences


@pytest.fixture(scope="module", autouse=True)
def referee():
    with one_process() as process:
        yield process


FILES = [
    ("symbols.h5", None),
    ("symbols.json", "symbols.weights.h5"),
    ("symbols.json", "symbols_checkpoint"),
    ("functional.h5", None),
    ("functional.keras", None),
    ("saved_model", None),
    ("old_gru.h5", None),
    ("cudnn.h5", None),
]


FAST = "cudnn.h5"
GRID = [pytest.param(*each, marks=() if each[0] == FAST else pytest.mark.slow) for each in FILES]


@pytest.mark.parametrize(("file", "weights"), GRID)
def test_a_rebuilt_model_equals_tf_keras(file, weights, keras2):
    source = read_source(keras2 / file, weights and keras2 / weights)
    proof = provenance_of(source.model).proof
    assert proof.reference.startswith("tf_keras 2.")
    assert proof.sequences == 3
    assert proof.max_error <= 1e-6


def test_an_input_of_floats_that_a_table_reads_gets_ids():
    source = keras.Input((None,))  # float32, as people write it
    model = keras.Model(source, keras.layers.Dense(2)(keras.layers.Embedding(7, 3)(source)))
    table = {"class_name": "Embedding", "config": {"name": "e", "input_dim": 7}}
    config = {"class_name": "Functional", "config": {"name": "m", "layers": [table]}}
    drawn = np.concatenate([inputs[0].ravel() for inputs in random_sequences(model, config)])
    assert set(drawn.tolist()) <= set(range(7))
    assert len(set(drawn.tolist())) > 2


@pytest.mark.slow
def test_weights_in_the_wrong_places_are_found_and_the_layer_is_named(keras2):
    model = read_source(keras2 / "functional.h5").model
    layer = model.get_layer("inner").layers[1]
    gamma, beta, *statistics = layer.get_weights()
    layer.set_weights([beta, gamma, *statistics])
    with pytest.raises(
        ParityError, match="(?s)functional.h5 rebuilt in Keras 3.*differ by .*first in the layer 'inner'"
    ):
        _ = provenance_of(model).proof


def test_the_gates_of_keras_3_are_found(keras2):
    model = read_source(keras2 / "symbols.h5").model
    model.layers[1].cell.recurrent_activation = keras.activations.hard_sigmoid
    with pytest.raises(ParityError, match="first in the layer 'lstm'"):
        _ = provenance_of(model).proof


def test_an_export_names_tf_keras_as_the_reference(keras2, tmp_path):
    model = read_source(keras2 / "symbols.h5").model
    exported = export(model, tmp_path, formats=["onnx"], steps=200)
    report = json.loads(exported.files[-1].read_bytes())
    assert report["reference"].startswith("tf_keras 2.")
    assert report["rebuilt"]["sequences"] == 3
    assert "reference: tf_keras 2." in exported.notes[0]


@pytest.mark.slow
def test_nothing_is_written_of_a_model_that_tf_keras_contradicts(keras2, tmp_path):
    model = read_source(keras2 / "symbols.h5").model
    model.layers[-1].set_weights([w * 1.001 for w in model.layers[-1].get_weights()])
    with pytest.raises(ParityError, match="first in the layer"):
        export(model, tmp_path / "out", formats=["onnx"], steps=200)
    assert not (tmp_path / "out").exists()


def test_a_referee_that_cannot_read_the_file_says_so(keras2, tmp_path):
    source = read_source(keras2 / "symbols.h5")

    def fail():
        raise SourceError("tf_keras cannot read the model")

    record(source.model, Provenance(fail))
    with pytest.raises(SourceError, match="tf_keras cannot read"):
        export(source.model, tmp_path / "out", formats=["onnx"], steps=200)
    assert not (tmp_path / "out").exists()
