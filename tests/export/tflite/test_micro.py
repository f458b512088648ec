"""Files for TensorFlow Lite Micro: proven on it like every other file, and a fault in one is noticed."""

from __future__ import annotations

import json

import keras
import pytest
from support.broken_export import build_broken, expected_of, miswired, prove
from support.keras_models import STANDARD, sharp_model

from stepcell.export import ParityError, export
from stepcell.export.exporter import prepare
from stepcell.export.ops.precision import TFLM
from stepcell.export.parity import device_process
from stepcell.export.parity.device_process import DeviceProcesses, micro_backends
from stepcell.runtime import NoInterpreterError, load, read_model_file
from stepcell.runtime.common.errors import WrongFormatError

pytestmark = pytest.mark.tflite_micro
L = keras.layers


@pytest.fixture(scope="module")
def prepared():
    return prepare(sharp_model("lstm", 1))


@pytest.mark.parametrize("fault", ["h and c swapped", "never fed back", "only h fed back"])
def test_a_state_that_goes_the_wrong_way_is_noticed(prepared, tmp_path, fault):
    built = build_broken(prepared, lambda advance: miswired(advance, fault), TFLM, tmp_path)
    with DeviceProcesses() as device, pytest.raises(ParityError, match=r"differ by .* of the range"):
        prove(built, expected_of(prepared, steps=50), device, ["tflm"])


@pytest.mark.slow
def test_only_the_files_of_the_target_are_written_and_the_manifest_says_the_positions(tmp_path):
    exported = export(
        sharp_model("lstm", 1, units=40), tmp_path, name="memory", target="tflm", quantize=["int8"], steps=200,
        allow_inaccurate=["int8"],
    )  # fmt: skip
    names = ["model.tflm.tflite", "model.int8.tflm.tflite", "model.tflm.h", "model.int8.tflm.h", "parity.json"]
    assert [path.name for path in exported.files] == names
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    for name in names[:2]:
        manifest = read_model_file(tmp_path / name).manifest
        assert manifest.micro.inputs == ("symbol", "h0", "c0")
        assert manifest.micro.outputs == ("probabilities", "next_h0", "next_c0")
        proven = {each["backend"] for each in manifest.parity} - {"native"}
        assert proven == set(micro_backends()) - {"native"} >= {"tflm"}
        assert f"#define memory_ARENA_BYTES {manifest.micro.arena} " in (tmp_path / name).with_suffix(".h").read_text()
    report = json.loads((tmp_path / "parity.json").read_text())
    assert any("TensorFlow Lite Micro steps it in an arena of" in note for note in report["notes"])


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_a_quantised_file_with_swapped_states_is_refused(tmp_path, precision):
    prepared = prepare(sharp_model("lstm", 1, units=20))
    built = build_broken(prepared, lambda advance: miswired(advance, "h and c swapped"), TFLM, tmp_path, precision)
    with DeviceProcesses() as device:
        refusal = prove(built, expected_of(prepared, steps=50), device, ["tflm"]).refusal
    assert f"model.{precision}.tflm.tflite is farther from Keras than {precision} may be" in refusal


def test_precisions_that_it_does_not_have_and_unknown_targets_are_refused(tmp_path):
    model = sharp_model("lstm", 1)
    with pytest.raises(WrongFormatError, match="cannot be stored as 'float16'; give one or both of int8, int16"):
        export(model, tmp_path, target="tflm", quantize=["float16"])
    with pytest.raises(WrongFormatError, match="int16 is of --target tflm alone"):
        export(model, tmp_path, quantize=["int16"])
    with pytest.raises(WrongFormatError, match="no target 'esp'"):
        export(model, tmp_path, target="esp")


def test_without_the_interpreter_nothing_is_written(tmp_path, monkeypatch):
    without = {**device_process.probe(), "tflm": "it needs tflite-micro: pip install 'stepcell[tflm]'"}
    monkeypatch.setattr(device_process, "probe", lambda: without)
    with pytest.raises(NoInterpreterError, match=r"proven on it, and it does not work here.*stepcell\[tflm\]"):
        export(sharp_model("lstm", 1), tmp_path / "out", target="tflm")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru", "stack", "convolution", "wide", "vectors", "sensor", "masked", "window"])
def test_models_of_every_kind_are_exported_for_it(tmp_path, name):
    standard = STANDARD[name]
    exported = export(standard.build(), tmp_path, target="tflm", steps=300, **{**standard.options, "quantize": []})
    assert max(each.max_abs_error for each in exported.parity if each.backend == "tflm") < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_few_bits_keep_the_answers_of_a_trained_model(tmp_path, memory_run, precision):
    from stepcell.export import read_source

    source = read_source(memory_run)
    exported = export(source.model, tmp_path, vocabulary=source.vocabulary, target="tflm", quantize=[precision],
                      sample=source.sample)  # fmt: skip
    carried = [each for each in exported.parity if each.quantization == precision and each.start != "each"]
    assert min(each.argmax_agreement for each in carried) > 0.999
    stream = load(tmp_path / f"model.{precision}.tflm.tflite", backend="tflm").stream()
    assert [stream.step(symbol).symbol for symbol in "3012"] == ["0", "1", "2", "3"]
