"""Models of Keras 2 rebuilt in Keras 3: every format and the meanings that changed, with answers of tf_keras."""

from __future__ import annotations

import json
import shutil

import h5py
import keras
import numpy as np
import pytest

from stepcell.export import SourceError, build_step_function, read_source
from stepcell.export.sources.provenance import provenance_of

EXACT = 1e-6
FILES = [  # model, file, weights
    ("symbols", "symbols.h5", None),
    ("symbols", "symbols.json", "symbols_alone.h5"),
    ("symbols", "symbols.json", "symbols.h5"),
    ("symbols", "symbols.json", "symbols.weights.h5"),
    ("symbols", "symbols.json", "symbols_checkpoint"),
    ("functional", "functional.h5", None),
    ("functional", "functional.keras", None),
    ("stateful", "stateful.h5", None),
    ("stateful", "saved_model", None),
    ("old_gru", "old_gru.h5", None),
    ("cudnn", "cudnn.h5", None),
]


def error_of(model, answers):
    x, y = answers
    return float(np.abs(np.asarray(model(x, training=False)) - y).max())


def changed(path, target, change):
    """Copy the .h5 file `path` to `target` with another configuration."""
    shutil.copy(path, target)
    with h5py.File(target, "a") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)
    return target


@pytest.mark.parametrize(("name", "file", "weights"), FILES)
def test_a_model_of_keras_2_answers_as_tf_keras_did(name, file, weights, keras2, answers):
    source = read_source(keras2 / file, weights and keras2 / weights)
    assert error_of(source.model, answers[name]) <= EXACT
    assert provenance_of(source.model) is not None


def test_the_name_of_a_file_means_nothing(keras2, answers, tmp_path):
    for original, name in (("symbols.h5", "a.keras"), ("functional.keras", "b.h5"), ("symbols.h5", "c")):
        shutil.copy(keras2 / original, tmp_path / name)
        found = read_source(tmp_path / name).model
        assert error_of(found, answers[original.split(".")[0]]) <= EXACT


def test_a_zip_behind_an_h5_file_is_not_read(keras2, answers, tmp_path):
    path = tmp_path / "both.keras"
    path.write_bytes((keras2 / "symbols.h5").read_bytes() + (keras2 / "functional.keras").read_bytes())
    assert error_of(read_source(path).model, answers["symbols"]) <= EXACT


def test_the_gates_of_keras_2_have_a_name_of_their_own(keras2):
    cells = [build_step_function(read_source(keras2 / f).model, values=f != "symbols.h5").cells[0]
             for f in ("symbols.h5", "old_gru.h5", "cudnn.h5")]  # fmt: skip
    assert [cell.recurrent_activation for cell in cells] == ["hard_sigmoid_keras2", "hard_sigmoid_keras2", "sigmoid"]
    assert cells[1].reset_after is False


def test_a_gru_that_says_nothing_of_its_reset_is_the_old_one(keras2, answers, tmp_path):
    """Keras 3 would take reset_after=True and sigmoid for what such a file leaves out."""

    def say_otherwise(config):
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "GRU":
                layer["config"].update(recurrent_activation="sigmoid", reset_after=False)

    path = changed(keras2 / "old_gru.h5", tmp_path / "other.h5", say_otherwise)
    assert error_of(read_source(path).model, answers["old_gru"]) > 1e-3


def test_a_keras_2_model_is_saved_and_read_again_as_one_of_keras_3(keras2, answers, tmp_path):
    read_source(keras2 / "symbols.h5").model.save(tmp_path / "new.keras")
    again = read_source(tmp_path / "new.keras").model
    assert error_of(again, answers["symbols"]) <= EXACT
    assert provenance_of(again) is None


def test_an_h5_file_of_keras_3_has_the_meanings_of_keras_3(tmp_path):
    gru = keras.layers.GRU(3, recurrent_activation="hard_sigmoid", return_sequences=True)
    model = keras.Sequential([keras.Input((None, 2)), gru, keras.layers.Dense(2)])
    model.save(tmp_path / "new.h5")
    model.save_weights(tmp_path / "new.weights.h5")
    (tmp_path / "new.json").write_text(model.to_json())
    x = np.random.default_rng(0).normal(size=(2, 5, 2)).astype("f4")
    for weights in (None, tmp_path / "new.weights.h5"):
        found = read_source(tmp_path / ("new.json" if weights else "new.h5"), weights).model
        assert np.array_equal(found(x), model(x))
        assert provenance_of(found) is None


def test_weights_alone_and_a_configuration_alone_say_what_is_missing(keras2):
    for weights in ("symbols_alone.h5", "symbols.weights.h5", "symbols_checkpoint"):
        with pytest.raises(SourceError, match=r"weights alone.*--weights"):
            read_source(keras2 / weights)
    with pytest.raises(SourceError, match="without its weights. Give them too: --weights FILE"):
        read_source(keras2 / "symbols.json")
    with pytest.raises(SourceError, match="There are no weights at"):
        read_source(keras2 / "symbols.json", keras2 / "none.h5")
    with pytest.raises(SourceError, match="holds a whole model with its weights. Leave out --weights"):
        read_source(keras2 / "symbols.h5", keras2 / "symbols_alone.h5")


def test_weights_of_another_model_are_named(keras2):
    with pytest.raises(SourceError, match="(?s)are not those of the model.*belongs to no layer.*is not among them"):
        _ = read_source(keras2 / "symbols.json", keras2 / "stateful.h5").model


def test_sizes_that_no_weight_has_are_refused_before_they_take_memory(keras2, tmp_path):
    def grow(config):
        config["config"]["layers"][-1]["config"]["units"] = 10**9

    path = changed(keras2 / "symbols.h5", tmp_path / "large.h5", grow)
    with pytest.raises(SourceError, match="units=1,000,000,000, and no saved weight is that large"):
        _ = read_source(path).model


def test_code_and_unknown_classes_are_refused_from_the_configuration(keras2, tmp_path):
    def spoil(config):
        layers = config["config"]["layers"]
        layers[1]["class_name"] = "Lambda"
        layers[2]["class_name"] = "MyLayer"
        layers[3]["config"]["activation"] = "my_activation"

    path = changed(keras2 / "symbols.h5", tmp_path / "code.h5", spoil)
    with pytest.raises(SourceError, match="(?s)arbitrary code, which is not run.*class MyLayer.*my_activation is code"):
        read_source(path)


@pytest.mark.parametrize(
    ("key", "value"), [("time_major", True), ("virtual_batch_size", 4), ("brand_new", 3), ("units", "many")]
)
def test_options_without_a_counterpart_are_refused(key, value, keras2, tmp_path):
    def set_option(config):
        config["config"]["layers"][2]["config"][key] = value

    path = changed(keras2 / "symbols.h5", tmp_path / "option.h5", set_option)
    with pytest.raises(SourceError, match=key if key != "units" else "cannot be rebuilt"):
        _ = read_source(path).model


def test_what_belongs_to_training_keeps_no_model_out(keras2, answers, tmp_path):
    def train(config):
        for layer in config["config"]["layers"]:
            layer["config"]["kernel_regularizer"] = {"class_name": "MyRegularizer", "config": {}}
            layer["config"]["dtype"] = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
        config["config"]["layers"][0]["config"]["dtype"] = "int32"

    path = changed(keras2 / "symbols.h5", tmp_path / "trained.h5", train)
    with h5py.File(path, "a") as file:
        file.attrs["training_config"] = json.dumps({"loss": {"class_name": "MyLoss", "config": {}}})
    assert error_of(read_source(path).model, answers["symbols"]) <= EXACT


def test_a_model_of_keras_1_is_refused_with_what_to_do(keras2, tmp_path):
    shutil.copy(keras2 / "symbols.h5", tmp_path / "first.h5")
    with h5py.File(tmp_path / "first.h5", "a") as file:
        file.attrs["keras_version"] = "1.2.2"
    with pytest.raises(SourceError, match=r"saved by Keras 1\.2\.2. Load and save it with Keras 2"):
        read_source(tmp_path / "first.h5")
