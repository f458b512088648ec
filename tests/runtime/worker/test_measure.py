"""What an interpreter makes of a file on this machine, features read or not."""

from __future__ import annotations

import pytest
from support.models import path_of

from stepcell.runtime.bench.measurement import measure_variants
from stepcell.runtime.worker.measure import measure


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("name", ["memory", "wide", "sensor"])
def test_a_file_is_measured_whatever_it_reads(name, format):
    found = measure(path_of(name, format), "numpy")
    assert found["golden_error"] <= 1e-5
    assert found["us_per_step"] > 0
    assert measure_variants(path_of(name, format), "numpy", rounds=1).first_us > 0
