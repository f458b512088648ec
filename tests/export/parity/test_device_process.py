"""Which interpreters prove a file, where some are not installed."""

from __future__ import annotations

import pytest
from support.keras_models import sharp_model

from stepcell.export import export
from stepcell.export.parity import device_process
from stepcell.runtime import BACKEND_NAMES, NoInterpreterError


@pytest.fixture
def nothing_but_numpy(monkeypatch):
    found = dict.fromkeys(BACKEND_NAMES, "is not installed") | {"numpy": None}
    monkeypatch.setattr(device_process, "probe", lambda: found)


def test_a_file_is_proven_on_numpy_where_nothing_else_is_installed(nothing_but_numpy, tmp_path):
    exported = export(sharp_model("gru", 1), tmp_path, formats=["onnx"], quantize=["float16"], steps=300)
    assert {parity.backend for parity in exported.parity} == {"numpy"}
    assert max(parity.error for parity in exported.parity) < 2e-3


def test_int8_is_not_proven_on_numpy_alone(nothing_but_numpy, tmp_path):
    with pytest.raises(NoInterpreterError, match="measured on an interpreter"):
        export(sharp_model("gru", 1), tmp_path, formats=["tflite"], quantize=["int8"])
    assert list(tmp_path.iterdir()) == []
