"""A file is measured on an interpreter of this machine, with features or without."""

from __future__ import annotations

import pytest
from support.models import path_of

from stepcell.runtime.bench.measurement import measure_variants
from stepcell.runtime.worker.measure import measure


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("name", ["memory", "wide", "sensor"])
def test_models_of_symbols_and_of_features_are_measured(name, format):
    found = measure(path_of(name, format), "numpy")
    assert found["golden_error"] <= 1e-5
    assert found["us_per_step"] > 0
    assert measure_variants(path_of(name, format), "numpy", rounds=1, scored=1000).first_us > 0
