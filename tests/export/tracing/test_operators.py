"""Operators that a format does not have are named; neither converter is believed."""

from __future__ import annotations

import keras
import pytest
from support.keras_models import with_random_weights

from stepcell.export import NotSteppableError, build_step_function
from stepcell.export.onnx.convert import onnx_payload
from stepcell.export.tflite.convert import tflite_payload

L, ops = keras.layers, keras.ops


def model_with(function):
    source = keras.Input((None, 4))
    x = function(L.GRU(4, return_sequences=True)(source))
    return build_step_function(with_random_weights(keras.Model(source, L.Dense(3, activation="softmax")(x))))


def test_an_operator_that_onnx_does_not_have_is_named():
    with pytest.raises(NotSteppableError, match=r"opset 17 has no operator for Erfinv.*--format tflite"):
        onnx_payload(model_with(lambda x: ops.erfinv(ops.tanh(x) * 0.5)))


@pytest.mark.slow
def test_an_operator_that_tflite_does_not_have_is_named():
    with pytest.raises(NotSteppableError, match=r"TFLite has no operator for Erfinv.*--format onnx"):
        tflite_payload(model_with(lambda x: ops.erfinv(ops.tanh(x) * 0.5)))


@pytest.mark.slow
def test_the_exact_gelu_is_one_operator_of_tflite():
    _, operators = tflite_payload(model_with(lambda x: L.Lambda(keras.activations.gelu)(x)))
    assert "GELU" in operators
