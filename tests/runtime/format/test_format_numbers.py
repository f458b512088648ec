"""A file has the lowest format number that describes it, and keeps its bytes."""

from dataclasses import replace

import pytest
from support.models import DATA, answering, path_of

from stepcell.runtime import load, read_model_file
from stepcell.runtime.common.errors import NewerFormatError
from stepcell.runtime.format import manifest_reader
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.format.tensor_specs import EVERY_STEP, AnswerTimes, Window

FILES = sorted(path for path in DATA.iterdir() if path.suffix in (".tflite", ".onnx"))
# What a model of an earlier stepcell reads keeps the number that it had.
WIDE = ("started", "wide", "vectors", "sensor", "lstm.sequence")
NUMBERS = {"adopted": 2, "personal": 4, "level": 4, "lstm40.int8.tflm": 4, "sensor.tflm": 4, **dict.fromkeys(WIDE, 3)}
# TFLite graphs with the signature `step` alone; the others read features, were adopted, or were written earlier.
OTHERS = ("wide", "vectors", "sensor", "adopted", "lstm40.int8.tflm", "sensor.tflm", "earlier", "pieces")
SINGLE = {path.stem: 5 for path in FILES if path.suffix == ".tflite" and path.stem not in OTHERS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_checked_in_file_is_written_anew_to_the_same_bytes_and_number(path):
    file = read_model_file(path)
    assert pack(file.payload, file.manifest, file.format) == path.read_bytes()
    assert file.manifest.format == (NUMBERS | SINGLE if path.suffix == ".tflite" else NUMBERS).get(path.stem, 1)
    assert file.manifest.format == file.manifest.to_json()["format"]


@pytest.mark.parametrize(
    "change",
    [
        {"answers": AnswerTimes(2, 1)},
        {"answers": AnswerTimes(1, 2)},
        {"window": Window(5, "rows")},
        {"state": (replace(load(path_of("memory"), backend="numpy").manifest.state[0], given=True),)},
    ],
)
def test_steps_without_an_answer_windows_and_static_inputs_are_format_4(change):
    manifest = read_model_file(path_of("memory", "onnx")).manifest
    assert manifest.answers == EVERY_STEP
    assert manifest.format == 1
    assert replace(manifest, **change).format == 4
    assert replace(manifest, one_signature=True, **change).format == 5


@pytest.mark.parametrize(("format", "number"), [("onnx", 4), ("tflite", 5)])
def test_a_reader_of_format_3_refuses_a_later_one_and_says_what_to_do(format, number, tmp_path, monkeypatch):
    path = answering(tmp_path / f"sparse.{format}", 3, 2)
    monkeypatch.setattr(manifest_reader, "NEWEST_FORMAT", 3)
    with pytest.raises(NewerFormatError, match=rf"sparse\.{format} has format {number}; .*3.*pip install -U stepcell"):
        read_model_file(path)
