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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_checked_in_file_is_written_anew_to_the_same_bytes_and_number(path):
    file = read_model_file(path)
    assert pack(file.payload, file.manifest, file.format) == path.read_bytes()
    assert file.manifest.format == NUMBERS.get(path.stem, 1)
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
    manifest = read_model_file(path_of("memory")).manifest
    assert manifest.answers == EVERY_STEP
    assert manifest.format == 1
    assert replace(manifest, **change).format == 4


def test_a_reader_of_format_3_refuses_format_4_and_says_what_to_do(tmp_path, monkeypatch):
    path = answering(tmp_path / "sparse.tflite", 3, 2)
    monkeypatch.setattr(manifest_reader, "NEWEST_FORMAT", 3)
    with pytest.raises(NewerFormatError, match=r"sparse\.tflite has format 4; .*3.*pip install -U stepcell"):
        read_model_file(path)
