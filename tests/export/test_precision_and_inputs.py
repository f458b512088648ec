"""Models as people save them: mixed precision, inputs by name, losses and schedules of their own."""

from __future__ import annotations

import json
import zipfile

import keras
import numpy as np
import pytest

from stepcell.export import SourceError, export, read_source
from stepcell.runtime import load

L = keras.layers


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_model_of_mixed_precision_is_exported_in_float32(policy, tmp_path):
    layers = [L.GRU(3, return_sequences=True, dtype=policy), L.Dense(2, "softmax", dtype="float32")]
    model = keras.Sequential([keras.Input((None, 2)), *layers])
    model.save(tmp_path / "mixed.keras")
    source = read_source(tmp_path / "mixed.keras")
    exported = export(source.model, tmp_path, formats=["onnx"], steps=50)
    note = f"The layers compute in {policy}; exported is float32."
    assert note in exported.notes
    assert note in json.loads(exported.files[-1].read_bytes())["notes"]
    assert source.model.layers[0].compute_dtype != "float32"  # the model itself stays


def test_inputs_by_name_are_inputs_like_others(tmp_path):
    symbol, sensor = keras.Input((None,), dtype="int32", name="symbol"), keras.Input((None, 2), name="sensor")
    x = L.GRU(4, return_sequences=True)(L.Concatenate()([L.Embedding(5, 3)(symbol), sensor]))
    model = keras.Model({"symbol": symbol, "sensor": sensor}, {"next": L.Dense(5, "softmax")(x)})
    exported = export(model, tmp_path, formats=["onnx"], steps=50)
    assert all(entry.holds for entry in exported.parity)


@keras.saving.register_keras_serializable("test_precision_and_inputs")
class Slow(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1

    def get_config(self):
        return {}


def test_losses_metrics_and_schedules_of_ones_own_keep_no_model_out(tmp_path):
    @keras.saving.register_keras_serializable("test_precision_and_inputs")
    def my_loss(truth, given):
        return keras.ops.mean(keras.ops.abs(truth - given))

    model = keras.Sequential([keras.Input((None, 2)), L.GRU(3, return_sequences=True), L.Dense(2)])
    model.compile(keras.optimizers.Adam(Slow()), loss=my_loss, metrics=[my_loss])
    model.save(tmp_path / "compiled.keras")
    registered = keras.saving.get_custom_objects()
    kept = {name: registered.pop(name) for name in list(registered) if "test_precision_and_inputs" in name}
    assert len(kept) == 2
    found = read_source(tmp_path / "compiled.keras").model
    x = np.ones((1, 4, 2), "f4")
    assert np.array_equal(found(x), model(x))


def test_a_layer_of_ones_own_is_refused_without_keras(tmp_path):
    with zipfile.ZipFile(tmp_path / "own.keras", "w") as archive:
        layer = {"module": "my_code", "class_name": "MyLayer", "config": {}, "registered_name": "my_code>MyLayer"}
        archive.writestr("config.json", json.dumps({"module": "keras", "config": {"layers": [layer]}}))
    with pytest.raises(SourceError, match="needs code that is not known here: MyLayer"):
        read_source(tmp_path / "own.keras")


def test_of_outputs_by_name_the_next_symbol_is_the_main_one(tmp_path):
    symbol = keras.Input((None,), dtype="int32", name="symbol")
    x = L.GRU(4, return_sequences=True)(L.Embedding(5, 3)(symbol))
    model = keras.Model(symbol, {"gap": L.Dense(1)(x), "next": L.Dense(5, "softmax")(x)})
    exported = export(model, tmp_path, formats=["onnx"], steps=50)
    prediction = load(exported.files[0]).stream().step("3")
    right = model(np.array([[3]]))
    assert np.allclose(prediction.probabilities, right["next"][0, 0], atol=1e-6)
    assert np.allclose(prediction.outputs["gap"].values, right["gap"][0, 0], atol=1e-6)
