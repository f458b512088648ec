"""Containers: where the manifest is in a file of each format, written and found without an interpreter.

A .tflite file has it in a zip archive behind the graph. This is TFLite's own convention for "associated files": every
interpreter ignores them, and any zip program lists them. A .onnx file has it in two entries of `metadata_props`: the
file is one protobuf message, `ModelProto`, and a field that is appended to its bytes is added to the message.
"""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Protocol

from .manifest_reader import LARGEST_MANIFEST
from .protobuf import BYTES, VARINT, bytes_field, fields

MANIFEST_NAME, CHECKSUM_NAME = "stepcell.json", "stepcell.json.sha256"  # in a .tflite file
_ONNX_NAMES = ("stepcell", "stepcell.sha256")
_TIME_STAMP = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold: equal manifests must give equal files
_UNIX = 3
# What zipfile raises on bytes that are no archive, or a damaged one, found by damaging some in 200,000 ways:
# RuntimeError, or a subclass, for an entry that is encrypted, holds patch data or asks for a later version of zip
# (unknown compression is refused before anything is read); ValueError for names that are not UTF-8 and offsets before
# the file, OverflowError for offsets beyond all files; struct.error where one is appended to.
_UNREADABLE = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, OverflowError, struct.error)
# Field numbers of onnx.proto: ModelProto.ir_version, ModelProto.metadata_props, StringStringEntryProto.key and .value.
_IR_VERSION, _METADATA_PROPS, _KEY, _VALUE = 1, 14, 1, 2


class Container(Protocol):
    """The place of the manifest in the files of one format."""

    def matches(self, content: bytes) -> bool:
        """Tell whether `content` begins as a file of this format does."""

    def append_manifest(self, payload: bytes, manifest: bytes, checksum: bytes) -> bytes:
        """Return the file: `payload` with `manifest` and its `checksum`."""

    def split_manifest(self, content: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Return payload, manifest and checksum; None if there is no manifest.

        Raises:
            ValueError: There is one, but not as `append_manifest` writes it.
        """


class TfliteContainer:
    """The manifest behind the graph of a .tflite file."""

    def matches(self, content: bytes) -> bool:
        """See `Container`."""
        return is_tflite(content)

    def append_manifest(self, payload: bytes, manifest: bytes, checksum: bytes) -> bytes:
        """See `Container`."""
        file = io.BytesIO(payload)
        with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
            for name, content in ((MANIFEST_NAME, manifest), (CHECKSUM_NAME, checksum)):
                entry = zipfile.ZipInfo(name, _TIME_STAMP)
                entry.create_system = _UNIX
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, content)
        return file.getvalue()

    def split_manifest(self, content: bytes) -> tuple[bytes, bytes, bytes] | None:
        """See `Container`."""
        entries = appended_files(content)
        names = [entry.filename for entry in entries]
        if MANIFEST_NAME not in names:
            if not entries and MANIFEST_NAME.encode() in content:
                raise ValueError("its archive cannot be read")
            return None
        if names != [MANIFEST_NAME, CHECKSUM_NAME]:
            raise ValueError("its archive holds other files")
        if any(e.compress_type != zipfile.ZIP_STORED or e.file_size > LARGEST_MANIFEST for e in entries):
            raise ValueError("its archive is compressed or too large")
        start = entries[0].header_offset
        if not 0 < start < len(content):
            raise ValueError("its archive begins outside the file")
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                manifest, checksum = (archive.read(entry) for entry in entries)
        except _UNREADABLE as error:
            raise ValueError(f"its archive cannot be read: {error}") from error
        payload = content[:start]
        try:
            same = self.append_manifest(payload, manifest, checksum) == content
        except _UNREADABLE:  # the payload ends in parts of another archive
            same = False
        if not same:
            raise ValueError("its archive has been changed")
        return payload, manifest, checksum


class OnnxContainer:
    """The manifest in the metadata of a .onnx file."""

    def matches(self, content: bytes) -> bool:
        """See `Container`; the first field is `ir_version`."""
        return content[:1] == bytes([_IR_VERSION << 3 | VARINT])

    def append_manifest(self, payload: bytes, manifest: bytes, checksum: bytes) -> bytes:
        """See `Container`."""
        entries = zip(_ONNX_NAMES, (manifest, checksum), strict=True)
        inner = [bytes_field(_KEY, name.encode()) + bytes_field(_VALUE, value) for name, value in entries]
        return payload + b"".join(bytes_field(_METADATA_PROPS, entry) for entry in inner)

    def split_manifest(self, content: bytes) -> tuple[bytes, bytes, bytes] | None:
        """See `Container`."""
        payload: list[bytes] = []
        found: dict[str, bytes] = {}
        for number, kind, start, inner, end in fields(content):
            name, value = _entry(content[inner:end]) if (number, kind) == (_METADATA_PROPS, BYTES) else ("", b"")
            if name not in _ONNX_NAMES:
                payload.append(content[start:end])
            elif name in found:
                raise ValueError("it holds two manifests")
            else:
                found[name] = value
        manifest, checksum = map(found.get, _ONNX_NAMES)
        return None if manifest is None else (b"".join(payload), manifest, checksum or b"")


def is_tflite(content: bytes) -> bool:
    """Tell whether `content` begins as a .tflite file does."""
    return content[4:8] == b"TFL3"


def appended_files(content: bytes) -> list[zipfile.ZipInfo]:
    """Return the entries of the archive behind a graph, of stepcell or another tool; none if it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.infolist()
    except _UNREADABLE:
        return []


def _entry(content: bytes) -> tuple[str, bytes]:
    """Return name and value of an entry of `metadata_props`; "" as the name if it is incomplete."""
    values = {number: content[inner:end] for number, kind, _, inner, end in fields(content) if kind == BYTES}
    return (values[_KEY].decode(errors="replace"), values[_VALUE]) if {_KEY, _VALUE} <= values.keys() else ("", b"")
