"""Saved states: they bring a stream back to the bit, or are refused by name and move nothing."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import DATA

from stepcell.runtime import (
    DamagedStateError,
    ForeignStateError,
    NewerStateError,
    OtherModelError,
    OutputError,
    SavedStateError,
    SavedStreams,
    Snapshot,
    StateMismatchError,
    StateNotFoundError,
    load,
    read_saved_streams,
)
from stepcell.runtime.streams.saved_state import parse_saved_streams


def where(stream):
    """Where a stream is, to be compared."""
    here = stream.snapshot()
    return [
        None if arrays is None else {name: array.tolist() for name, array in arrays.items()}
        for arrays in (here.state, here.answers)
    ], here.symbols_seen


@pytest.fixture(scope="module")
def onnx():
    return load(DATA / "memory.onnx")


def with_checksum(body):
    return body + sha256(body).digest()


def test_a_saved_stream_goes_on_in_another_process_as_if_nothing_had_happened(model, tmp_path):
    stream, other = model.stream(), load(DATA / model.file.name, backend=model.pool.backend_name).stream()
    stream.absorb("340")
    stream.save(tmp_path / "stream.state")
    other.restore(str(tmp_path / "stream.state"))
    assert where(other) == where(stream)
    assert other.prediction.symbol == stream.prediction.symbol
    assert [other.step(s).probabilities.tolist() for s in "1201"] == [
        stream.step(s).probabilities.tolist() for s in "1201"
    ]


def test_bytes_bring_a_stream_back_and_equal_streams_give_equal_bytes(model):
    stream, other = model.stream(), model.stream()
    assert stream.to_bytes() == other.to_bytes()
    fresh = stream.to_bytes()
    stream.absorb("4012")
    other.from_bytes(stream.to_bytes())
    assert where(other) == where(stream)
    assert stream.to_bytes() == other.to_bytes() != fresh
    other.from_bytes(fresh)
    assert where(other) == where(model.stream())


def test_the_bytes_are_as_the_readme_documents_them(onnx):
    stream = onnx.stream()
    stream.absorb("40")
    here = stream.snapshot()
    fingerprint = bytes.fromhex(onnx.manifest.fingerprint)
    expected = b"stepsave" + struct.pack("<I", 1) + fingerprint + struct.pack("<H", 3)
    for role, name, size in ((0, b"h0", 20), (0, b"c0", 20), (1, b"probabilities", 5)):
        expected += struct.pack("<BH", role, len(name)) + name + b"\x03<f4" + struct.pack("<BI", 1, size)
    expected += struct.pack("<I", 2) + b"{}" + struct.pack("<Q", 1)
    expected += struct.pack("<I", 0) + struct.pack("<QB", 2, 1)
    for array in (here.state["h0"], here.state["c0"], here.answers["probabilities"]):
        expected += struct.pack(f"<{array.size}f", *array.ravel().tolist())
    assert stream.to_bytes() == with_checksum(expected)


def test_a_state_that_was_never_answered_has_no_answer_in_its_bytes(onnx):
    stream = onnx.stream()
    fresh = stream.to_bytes()
    stream.step("3")
    assert len(stream.to_bytes()) - len(fresh) == 4 * 5
    stream.from_bytes(fresh)
    assert stream.prediction is None


def test_every_flipped_byte_and_every_truncation_is_refused_by_name_and_moves_nothing(onnx):
    stream = onnx.stream()
    stream.absorb("40")
    content, before = stream.to_bytes(), where(stream)
    stream_at_rest = onnx.stream()
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        for spoilt in (bytes(flipped), content[:position]):
            with pytest.raises((DamagedStateError, ForeignStateError), match="The saved state is"):
                stream_at_rest.from_bytes(spoilt)
    assert where(stream_at_rest) == where(onnx.stream())
    with pytest.raises(DamagedStateError, match="damaged or cut short"):
        stream.from_bytes(content + b"\0")
    assert where(stream) == before


SPOIL = {
    "ends": lambda body: body[:-1],
    "follows": lambda body: body + b"\0",
    "tensor of an unknown kind": lambda body: body[:46] + b"\x07" + body[47:],
    "another type": lambda body: body.replace(b"<f4", b"<f8", 1),
    "a tensor twice": lambda body: body.replace(b"\x02\x00c0", b"\x02\x00h0"),
    "a name that is not text": lambda body: body.replace(b"\x02\x00c0", b"\x02\x00\xff\xfe"),
    "a note that is not JSON": lambda body: body.replace(b"\x02\x00\x00\x00{}", b"\x02\x00\x00\x00{{"),
    "a note that is no object": lambda body: body.replace(b"\x02\x00\x00\x00{}", b"\x02\x00\x00\x00[]"),
    "absurd sizes": lambda body: body.replace(struct.pack("<BI", 1, 20), struct.pack("<BI", 1, 2**32 - 1), 1),
    "absurd dimensions": lambda body: body.replace(struct.pack("<BI", 1, 20), b"\xff" + bytes(4), 1),
    "absurdly many streams": lambda body: body.replace(b"{}" + struct.pack("<Q", 1), b"{}" + b"\xff" * 8),
    "too many symbols seen": lambda body: body.replace(struct.pack("<QB", 2, 1), struct.pack("<QB", 2**63, 1)),
    "version 0": lambda body: body[:8] + bytes(4) + body[12:],
}


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL)
def test_bytes_with_a_right_checksum_and_wrong_content_are_refused(onnx, spoil):
    stream = onnx.stream()
    stream.absorb("40")
    content = stream.to_bytes()
    spoilt = with_checksum(spoil(content[:-32]))
    assert spoilt != content
    before = where(stream)
    with pytest.raises(DamagedStateError, match="Go on from an earlier copy"):
        stream.from_bytes(spoilt)
    assert where(stream) == before


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300))
def test_whatever_follows_the_magic_there_is_one_kind_of_error(onnx, content, position):
    honest = onnx.stream().to_bytes()[:-32]
    stream = onnx.stream()
    for body in (b"stepsave" + content, honest[:position] + content + honest[position + len(content) :]):
        try:
            stream.from_bytes(with_checksum(body))
        except (SavedStateError, StateMismatchError):
            continue
        assert np.isfinite(stream.state["h0"]).all()


def test_a_newer_version_says_to_upgrade_and_a_foreign_file_what_it_should_have_been(onnx, tmp_path):
    stream = onnx.stream()
    body = stream.to_bytes()[:-32]
    with pytest.raises(NewerStateError, match="version 2; this stepcell reads version 1. Upgrade with: pip"):
        stream.from_bytes(with_checksum(body[:8] + struct.pack("<I", 2) + body[12:]))
    with pytest.raises(ForeignStateError, match=r"memory\.onnx is no saved state"):
        stream.restore(DATA / "memory.onnx")
    with pytest.raises(StateNotFoundError, match="There is no saved state"):
        stream.restore(tmp_path / "none.state")
    with pytest.raises(StateNotFoundError, match="Cannot read"):
        stream.restore(tmp_path)


def test_the_state_of_another_file_of_the_network_passes_only_when_that_is_said(onnx, tmp_path):
    tflite = load(DATA / "memory.tflite")
    stream, other = tflite.stream(), onnx.stream()
    stream.absorb("401")
    other.step("3")
    stream.save(tmp_path / "memory.state")
    before = where(other)
    message = (
        rf"memory\.state was saved with a model of fingerprint {tflite.manifest.fingerprint[:12]}.* ignore_fingerprint"
    )
    with pytest.raises(OtherModelError, match=message):
        other.restore(tmp_path / "memory.state")
    assert where(other) == before
    other.restore(tmp_path / "memory.state", ignore_fingerprint=True)
    assert where(other) == where(stream)
    assert other.step("2").symbol == "4"


def test_a_state_of_other_shapes_is_refused_even_then(onnx):
    saved = SavedStreams.of(onnx.manifest, {"": onnx.stream().snapshot()})
    state = {**saved.streams[""].state, "c0": np.zeros((1, 7), np.float32)}
    wrong = replace(saved, state={"h0": (20,), "c0": (7,)}, streams={"": Snapshot(state)}, fingerprint="00" * 32)
    with pytest.raises(StateMismatchError, match=r"'c0': \(7,\).* memory.onnx wants .*'c0': \(20,\)"):
        onnx.stream().from_bytes(wrong.to_bytes(), ignore_fingerprint=True)


def test_what_is_not_finite_is_neither_saved_nor_restored(onnx, tmp_path):
    stream = onnx.stream()
    stream.step("3")
    stream.save(tmp_path / "good.state")
    here = stream.snapshot()
    poisoned = {**here.state, "c0": np.full((1, 20), np.nan, np.float32)}
    for spoilt in (
        replace(here, state=poisoned),
        replace(here, answers={"probabilities": np.full(5, np.inf, np.float32)}),
    ):
        stream.go_to(spoilt)
        with pytest.raises(StateMismatchError, match="not finite, so nothing was saved"):
            stream.save(tmp_path / "good.state")
    stream.restore(tmp_path / "good.state")
    assert stream.symbols_seen == 1
    content = stream.to_bytes()[:-32]
    for number in (1, 21, 41):  # from the end: the answer, c0, h0
        end = len(content) - 4 * number
        with pytest.raises(StateMismatchError, match="not finite"):
            stream.from_bytes(with_checksum(content[: end - 4] + struct.pack("<f", np.nan) + content[end:]))
    assert where(stream) == where_after("3", onnx)


def where_after(symbols, model):
    stream = model.stream()
    stream.absorb(symbols)
    return where(stream)


def test_several_streams_are_saved_together_and_not_mistaken_for_one(onnx, tmp_path):
    streams = {}
    for key, history in (("a", "30"), ("ü/\n", "4"), ("\ud800", ""), ("", "3")):
        stream = onnx.stream()
        stream.absorb(history)
        streams[key] = stream.snapshot()
    path = tmp_path / "all.state"
    SavedStreams.of(onnx.manifest, streams, {"line": 7}).to_file(path)
    read = read_saved_streams(path)
    assert read.note == {"line": 7}
    found = read.checked(onnx.file, path.name)
    assert list(found) == list(streams)
    for key, snapshot in found.items():
        stream = onnx.stream()
        stream.go_to(snapshot)
        other = onnx.stream()
        other.go_to(streams[key])
        assert where(stream) == where(other)
    with pytest.raises(SavedStateError, match="holds 4 streams by key"):
        onnx.stream().restore(path)
    twice = SavedStreams.of(onnx.manifest, {"a": streams["a"], "b": streams["a"]}).to_bytes()[:-32]
    with pytest.raises(DamagedStateError, match="'a' stands in it twice"):
        parse_saved_streams(with_checksum(twice.replace(b"\x01\0\0\0b", b"\x01\0\0\0a")), "x")


def test_equal_notes_give_equal_bytes_in_whatever_order_they_were_made(onnx):
    one, other = (SavedStreams.of(onnx.manifest, {}, note).to_bytes() for note in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert one == other


def test_a_stream_leaves_the_snapshot_alone_that_it_went_to(onnx):
    start = onnx.stream()
    start.absorb("40")
    snapshot, stream = start.snapshot(), onnx.stream()
    stream.go_to(snapshot)
    snapshot.state["h0"][:] = 9
    snapshot.answers["probabilities"][:] = 9
    assert where(stream) == where(start)


def test_a_save_that_fails_leaves_the_file_of_the_save_before(onnx, tmp_path, monkeypatch):
    path = tmp_path / "stream.state"
    stream = onnx.stream()
    stream.save(path)
    before = path.read_bytes()
    stream.step("3")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left on device"):
            stream.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["stream.state"]


def test_a_save_syncs_the_file_before_it_is_renamed_and_the_folder_after(onnx, tmp_path, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (order.append(name), real(*a))[1])
    onnx.stream().save(tmp_path / "stream.state")
    assert order == ["fsync", "replace", "fsync"]


def test_a_file_system_that_is_read_only_is_an_error_of_ours(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    stream = load(DATA / "memory.tflite").stream()
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OutputError, match="Cannot write .*there.state: Read-only file system"):
        stream.save(tmp_path / "there.state")
