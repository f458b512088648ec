"""SavedModel folders: the metadata of Keras and a checkpoint, read as data."""

from __future__ import annotations

import json
import shutil

import pytest

from stepcell.export import SourceError, read_source


def copied(keras2, tmp_path):
    return shutil.copytree(keras2 / "saved_model", tmp_path / "saved")


def field(number, content):
    """A field of a protocol buffer with bytes in it."""
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def metadata_of(folder):
    """The JSON of the outermost model in keras_metadata.pb of the fixture."""
    content = (folder / "keras_metadata.pb").read_bytes()
    start = content.index(b'{"name": "sequential"')
    return json.JSONDecoder().raw_decode(content[start:].decode(errors="replace"))[0]


def test_a_graph_without_a_keras_model_is_refused(tmp_path):
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "saved_model.pb").write_bytes(field(2, field(7, field(1, field(4, field(1, b"_other"))))))
    with pytest.raises(SourceError, match="is a SavedModel without a Keras model"):
        read_source(tmp_path / "graph")


def test_metadata_in_the_graph_is_read_as_before_tensorflow_2_5(keras2, tmp_path):
    folder = copied(keras2, tmp_path)
    root = field(1, b"_tf_keras_sequential") + field(3, json.dumps(metadata_of(folder)).encode())
    (folder / "saved_model.pb").write_bytes(field(2, field(7, field(1, field(4, root)))))
    (folder / "keras_metadata.pb").unlink()
    assert read_source(folder).name == "saved"


def test_a_model_without_a_configuration_is_refused(keras2, tmp_path):
    folder = copied(keras2, tmp_path)
    metadata = {**metadata_of(folder), "config": None}
    root = field(3, b"root") + field(5, json.dumps(metadata).encode())
    (folder / "keras_metadata.pb").write_bytes(field(1, root))
    with pytest.raises(SourceError, match="a model without a configuration .a subclass of keras.Model"):
        read_source(folder)


def test_missing_weights_are_said_to_be_missing(keras2, tmp_path):
    folder = copied(keras2, tmp_path)
    (folder / "variables" / "variables.index").unlink()
    with pytest.raises(SourceError, match=r"has no weights: .*variables\.index is missing"):
        read_source(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0f", b"\x0a\x05abc"]
)
def test_damaged_metadata_is_refused(content, keras2, tmp_path):
    folder = copied(keras2, tmp_path)
    (folder / "keras_metadata.pb").write_bytes(content)
    with pytest.raises(SourceError, match="is a damaged SavedModel|without a Keras model"):
        read_source(folder)


def test_a_damaged_checkpoint_is_refused(keras2, tmp_path):
    folder = copied(keras2, tmp_path)
    index = folder / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[:200])
    with pytest.raises(SourceError, match="is damaged or is of another model"):
        _ = read_source(folder).model
