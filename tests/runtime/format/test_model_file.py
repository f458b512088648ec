"""Model files: what is packed comes back, and what has been touched does not."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st
from support.manifests import manifests
from support.models import DATA

from stepcell.runtime import (
    BackendError,
    DamagedFileError,
    ForeignFileError,
    ModelFileError,
    ModelFileNotFoundError,
    load,
    read_model_file,
)
from stepcell.runtime.format.model_file import FORMATS, ONNX, TFLITE, pack, unpack
from stepcell.runtime.format.tflite_graph import read_tflite_graph
from stepcell.runtime.interpreters.golden import replay_golden
from stepcell.runtime.interpreters.registry import open_backend

FILES = {TFLITE: DATA / "memory.tflite", ONNX: DATA / "memory.onnx"}


@given(manifests(), st.sampled_from(FORMATS), st.binary(max_size=64))
def test_a_packed_manifest_comes_back(manifest, format, noise):
    payload = FILES[ONNX].read_bytes()[:2] + b"\x1a" + bytes([len(noise)]) + noise if format == ONNX else b"x" + noise
    file = unpack(pack(payload, manifest, format), f"a.{format}")
    assert file.payload == payload
    assert replace(file.manifest, fingerprint="") == manifest


@pytest.mark.parametrize("path", [*sorted(DATA.glob("*.tflite")), *sorted(DATA.glob("*.onnx"))], ids=lambda p: p.name)
def test_a_checked_in_file_is_read_and_packed_to_the_same_bytes(path):
    content = path.read_bytes()
    file = unpack(content, path.name)
    assert pack(file.payload, file.manifest, file.format) == content


def test_a_file_is_packed_to_the_same_bytes_on_windows(monkeypatch):
    content = FILES[TFLITE].read_bytes()
    file = unpack(content, "memory.tflite")
    with monkeypatch.context() as patch:
        patch.setattr("sys.platform", "win32")
        assert pack(file.payload, file.manifest, TFLITE) == content


def test_a_manifest_without_a_graph_before_it_is_refused():
    manifest = unpack(FILES[TFLITE].read_bytes(), "memory.tflite").manifest
    with pytest.raises(DamagedFileError, match="its archive begins outside the file"):
        unpack(pack(b"", manifest, TFLITE), "memory.tflite")


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=300)
@given(st.data())
def test_no_flipped_bit_goes_unnoticed(format, data):
    content = bytearray(FILES[format].read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ModelFileError):
        unpack(bytes(content), FILES[format].name)


@pytest.mark.parametrize("format", FORMATS)
def test_no_flipped_bit_near_the_manifest_goes_unnoticed(format):
    whole = FILES[format].read_bytes()
    payload = len(unpack(whole, FILES[format].name).payload)
    for position in [*range(payload - 50, payload + 100), *range(len(whole) - 400, len(whole))]:
        content = bytearray(whole)
        content[position] ^= 1
        with pytest.raises(ModelFileError):
            unpack(bytes(content), FILES[format].name)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=100)
@given(st.data())
def test_a_file_cut_short_is_refused(format, data):
    content = FILES[format].read_bytes()
    with pytest.raises(ModelFileError):
        unpack(content[: data.draw(st.integers(0, len(content) - 1))], FILES[format].name)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("addition", [b"\0", b"PK", b"more"])
def test_a_file_with_something_behind_it_is_refused(format, addition):
    with pytest.raises(ModelFileError):
        unpack(FILES[format].read_bytes() + addition, FILES[format].name)


def test_a_file_with_a_part_of_its_archive_twice_is_refused():
    """Found by benchmarks/fuzz.py: the directory of an archive in front of it, whose offsets lead out of the file."""
    content = FILES[TFLITE].read_bytes()
    directory = content[content.index(b"PK\x01\x02") :]
    with pytest.raises(DamagedFileError, match="its archive has been changed"):
        unpack(content[:3000] + directory + content[3000:], "memory.tflite")


@pytest.mark.parametrize(
    ("place", "byte", "message"),
    [
        (6, 99, "its archive cannot be read. Copy"),  # the entry asks for version 9.9 of zip
        (8, 0x01, "its archive cannot be read: .*encrypted"),
        (8, 0x20, "its archive cannot be read: compressed patched data"),
        (8, 0x40, "its archive cannot be read: strong encryption"),
        (10, 97, "its archive is compressed"),  # in a way that zipfile does not know
    ],
)
def test_an_archive_in_a_way_that_zipfile_does_not_read_is_refused(place, byte, message):
    content = bytearray(FILES[TFLITE].read_bytes())
    content[content.index(b"PK\x01\x02") + place] = byte
    with pytest.raises(DamagedFileError, match=message):
        unpack(bytes(content), "memory.tflite")


@pytest.mark.parametrize("format", FORMATS)
def test_a_damaged_file_says_that_it_is_damaged(format):
    content = bytearray(FILES[format].read_bytes())
    content[1000] ^= 1
    with pytest.raises(DamagedFileError, match=r"memory\.\w+ is damaged: its content has sha256 .* Copy it again"):
        unpack(bytes(content), FILES[format].name)


@pytest.mark.parametrize("format", FORMATS)
def test_the_manifest_of_another_file_is_refused(format):
    file = unpack(FILES[format].read_bytes(), FILES[format].name)
    spliced = pack(file.payload, file.manifest, format).replace(
        file.manifest.fingerprint.encode(), b"0" * len(file.manifest.fingerprint)
    )
    with pytest.raises(DamagedFileError):
        unpack(spliced, FILES[format].name)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_without_a_manifest_is_foreign(format, tmp_path):
    path = tmp_path / f"keyword.{format}"
    path.write_bytes(unpack(FILES[format].read_bytes(), "memory").payload)
    with pytest.raises(ForeignFileError, match=rf"keyword\.{format} carries no stepcell manifest"):
        load(path)


def test_a_file_of_another_kind_is_foreign(tmp_path):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ForeignFileError, match="neither a TFLite nor an ONNX file"):
        load(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(ModelFileNotFoundError, match=r"There is no file .*nothing\.tflite"):
        load(tmp_path / "nothing.tflite")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.tflite")


def test_a_folder_given_for_a_file_is_refused(tmp_path):
    with pytest.raises(ModelFileNotFoundError, match="Cannot read"):
        load(tmp_path)


def test_the_manifest_of_a_tflite_file_is_a_zip_entry_that_any_tool_reads():
    with zipfile.ZipFile(FILES[TFLITE]) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("stepcell.json"))["name"] == "memory"


def test_the_manifest_of_an_onnx_file_is_metadata_that_any_tool_reads():
    model = onnx.load(FILES[ONNX])
    onnx.checker.check_model(model)
    assert json.loads({entry.key: entry.value for entry in model.metadata_props}["stepcell"])["name"] == "memory"


def test_the_names_in_a_tflite_file_are_those_of_the_format():
    payload = read_model_file(FILES[TFLITE]).payload
    interpreter = Interpreter(model_content=payload)
    names = {"inputs": ["c0", "h0"], "outputs": ["next_c0", "next_h0", "probabilities"]}
    (found,) = interpreter.get_signature_list().items()
    assert found == ("step", {**names, "inputs": [*names["inputs"], "symbol"]})
    # `step` is what plain invoke() runs, and where tflite-runtime 2.14 runs XNNPACK.
    assert [(each.name, each.subgraph) for each in read_tflite_graph(payload).signatures] == [("step", 0)]
    details = interpreter.get_signature_runner("step").get_input_details()
    assert details["symbol"]["dtype"] == np.int32
    assert list(details["h0"]["shape_signature"]) == [-1, 20]


def test_the_names_in_an_onnx_file_are_those_of_the_format():
    model = onnx.load(FILES[ONNX])
    assert {value.name for value in model.graph.input} == {"symbol", "h0", "c0"}
    assert {value.name for value in model.graph.output} == {"probabilities", "next_h0", "next_c0"}
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in [*model.graph.input, *model.graph.output]} == {
        "B"
    }


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_is_known_by_its_content_whatever_it_is_called(format, tmp_path):
    for name in ("model", "model.bak", "model.tflite", "model.onnx"):
        path = tmp_path / name
        path.write_bytes(FILES[format].read_bytes())
        assert load(path).stream().step("3").symbol == "0"


@pytest.mark.parametrize(("way", "name"), [("step", "memory.onnx"), ("absorb", "lstm.sequence.onnx")])
def test_an_interpreter_that_fails_in_the_golden_sequence_is_a_backend_error(way, name, monkeypatch):
    file = read_model_file(DATA / name)
    backend = open_backend("onnxruntime", file)

    def broken(*arguments):
        raise RuntimeError("index out of bounds")

    monkeypatch.setattr(backend, way, broken)
    with pytest.raises(BackendError, match=f"failed on the golden sequence of {name}: index out of bounds"):
        replay_golden(backend, file, "onnxruntime")


EARLIER = [
    *product(["earlier.tflite", "pieces.tflite"], ["litert", "tflite", "numpy", "native"]),
    *product(["earlier.onnx"], ["onnxruntime", "numpy", "native"]),
]


@pytest.mark.parametrize(("name", "backend"), EARLIER)
def test_a_file_of_an_earlier_version_answers_as_it_did(name, backend):
    earlier = load(DATA / name, backend=backend)
    now = load((DATA / "memory.tflite").with_suffix(Path(name).suffix), backend=backend)
    assert earlier.manifest.format == 1
    one, other = earlier.stream(), now.stream()
    for symbol in "30123401240123" * 10:
        assert np.abs(one.step(symbol).values - other.step(symbol).values).max() <= 1e-6
    assert earlier.streams(3).step("340").shape == (3, 5)
    assert earlier.stream().absorb("3012").symbol == "3"


def test_a_sealed_file_whose_weights_are_in_another_file_is_refused(tmp_path, monkeypatch):
    file = read_model_file(DATA / "memory.onnx")
    model = onnx.load_from_string(file.payload)
    weight = next(each for each in model.graph.initializer if each.raw_data)
    (tmp_path / "weights.bin").write_bytes(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DamagedFileError, match="weights of it are in another file, which no checksum covers"):
        unpack(pack(model.SerializeToString(), file.manifest, ONNX), "model.onnx")
