"""Code in an export: C, JavaScript and a page, compared with Keras."""

from __future__ import annotations

import json
import subprocess

import keras
import pytest
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import export
from stepcell.export.c.compiler import find_compiler
from stepcell.runtime.common.errors import WrongFormatError


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(5)
    layers = keras.layers
    inputs = keras.Input((None,))
    x = layers.GRU(6, return_sequences=True)(layers.Embedding(5, 4)(inputs))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x), name="tiny")


def test_code_is_written_beside_model_files_and_stands_in_the_report(model, tmp_path):
    exported = export(model, tmp_path, formats=["onnx", "c", "js", "html"], steps=200)
    names = [path.name for path in exported.files]
    assert names == ["model.onnx", "tiny.h", "tiny.c", "tiny.js", "tiny.html", "parity.json"]
    report = json.loads((tmp_path / "parity.json").read_text())
    assert {entry["format"] for entry in report["parity"]} == {"onnx", "c", "js"}
    assert any(note.startswith("tiny.c: at most") for note in exported.notes)
    program = tmp_path / "selftest"
    command = [find_compiler().path, "-Dtiny_MAIN", str(tmp_path / "tiny.c"), "-lm", "-o", str(program)]
    subprocess.run(command, check=True)
    assert subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.endswith("ok\n")


@pytest.mark.slow
def test_code_alone_is_code_alone(model, tmp_path):
    exported = export(model, tmp_path, formats=["c"], name="cell", steps=200)
    assert [path.name for path in exported.files] == ["cell.h", "cell.c", "parity.json"]
    assert not list(tmp_path.glob("model.*"))


@pytest.mark.slow
def test_c_with_int8_weights_stands_beside_that_of_float32(model, tmp_path):
    exported = export(model, tmp_path, formats=["c"], quantize=["int8"], name="cell", steps=200)
    assert [path.name for path in exported.files] == ["cell.h", "cell.c", "cell_int8.h", "cell_int8.c", "parity.json"]
    assert {(entry.format, entry.quantization) for entry in exported.parity} == {("c", "float32"), ("c", "int8")}
    assert "static const int8_t cell_int8_w" in (tmp_path / "cell_int8.c").read_text()


@pytest.mark.slow
def test_c_without_fpu_takes_tables_with_both_kinds_of_weights(model, tmp_path):
    exported = export(model, tmp_path, formats=["c"], quantize=["int8"], fpu=False, name="cell", steps=200)
    assert {(entry.quantization, entry.runtime.endswith("no FPU")) for entry in exported.parity} == {
        ("float32", True), ("int8", True),
    }  # fmt: skip
    assert 1e-6 < max(entry.max_abs_error for entry in exported.parity if entry.quantization == "float32") < 1e-3
    for name in ("cell", "cell_int8"):
        assert f"{name}_curve_table" in (tmp_path / f"{name}.c").read_text()


def test_c_without_fpu_is_refused_where_no_c_is_written(tmp_path):
    (tmp_path / "m.keras").touch()
    arguments = ["export", str(tmp_path / "m.keras"), "--out", str(tmp_path / "out"), "--no-fpu"]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, "Give --format c too" in done.output) == (2, True)
    assert not (tmp_path / "out").exists()


def test_formats_that_do_not_exist_are_refused_with_those_that_do(model, tmp_path):
    with pytest.raises(WrongFormatError, match="tflite, onnx, c, js, html"):
        export(model, tmp_path, formats=["rust"])
