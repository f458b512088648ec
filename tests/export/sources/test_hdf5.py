"""HDF5 files are data: what refers to other files, what is no number and what is too large is refused unread."""

from __future__ import annotations

import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from stepcell.export import SourceError, read_source


def spoiled(keras2, tmp_path, spoil):
    path = tmp_path / "model.h5"
    shutil.copy(keras2 / "symbols.h5", path)
    with h5py.File(path, "a") as file:
        spoil(file)
    return path


def external_link(file):
    file["model_weights/lstm/far"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file):
    file["model_weights/lstm/soft"] = h5py.SoftLink("/model_weights/dense")


def external_storage(file):
    file.create_dataset("model_weights/far", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (4,))
    file.create_virtual_dataset("model_weights/joined", layout)


def pickled(file):
    file.create_dataset("model_weights/object", data=np.array([b"cos\nsystem\n"], h5py.special_dtype(vlen=bytes)))


def text(file):
    file["model_weights/text"] = np.array([b"abc"], "S3")


def enormous(file):
    file.create_dataset("model_weights/large", (1 << 40,), "f4", chunks=(1 << 10,))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (external_link, "far is an external link"),
        (soft_link, "soft is a soft link"),
        (external_storage, r"takes its numbers from another file .external storage"),
        (virtual, "a virtual dataset"),
        (pickled, "holds no numbers"),
        (text, "holds no numbers"),
        (enormous, "more than 67,108,864 bytes unpacked"),
    ],
)
def test_what_is_no_plain_number_inside_the_file_is_refused(spoil, said, keras2, tmp_path):
    with pytest.raises(SourceError, match=f"model.h5 is not read: .*{said}"):
        read_source(spoiled(keras2, tmp_path, spoil))


def test_weights_are_checked_as_models_are(keras2, tmp_path):
    path = spoiled(keras2, tmp_path, external_link)
    with pytest.raises(SourceError, match="is not read: .* is an external link"):
        read_source(keras2 / "symbols.json", path)


def test_a_group_inside_itself_ends(keras2, tmp_path):
    def around(file):
        file["model_weights/lstm/again"] = file["model_weights"]

    read_source(spoiled(keras2, tmp_path, around))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_is_cut_off_is_said_to_be_damaged(share, keras2, tmp_path):
    content = (keras2 / "symbols.h5").read_bytes()
    (tmp_path / "model.h5").write_bytes(content[: int(share * len(content))])
    with pytest.raises(SourceError, match="is a damaged HDF5 file"):
        read_source(tmp_path / "model.h5")


@pytest.mark.parametrize(
    "config", ["{", "[]", "5", '{"class_name": "Sequential"}', "[" * 100_000, '{"a": ' + "9" * 5000]
)
def test_a_damaged_configuration_is_refused(config, keras2, tmp_path):
    def damage(file):
        del file.attrs["model_config"]
        file.attrs["model_config"] = config

    if len(config) > 60_000:  # more than an attribute holds
        (tmp_path / "model.json").write_text('{"class_name": ' + config)
        with pytest.raises(SourceError, match="holds no configuration of a Keras model"):
            read_source(tmp_path / "model.json", keras2 / "symbols.h5")
        return
    with pytest.raises(SourceError, match="holds no configuration of a Keras model"):
        read_source(spoiled(keras2, tmp_path, damage))


def test_refusals_need_no_tensorflow(keras2, tmp_path):
    path = spoiled(keras2, tmp_path, external_link)
    code = f"""
import sys
from stepcell.export import SourceError, read_source
read_source({str(keras2 / "symbols.h5")!r})
read_source({str(keras2 / "saved_model")!r})
try:
    read_source({str(path)!r})
except SourceError as error:
    print(sorted({{"tensorflow", "keras", "tf_keras"}} & set(sys.modules)))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["[]"]
