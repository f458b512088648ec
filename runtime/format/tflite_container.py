"""Where the manifest lives in a .tflite file: a zip archive appended to it.

Appended archives are TFLite's own convention for "associated files": every interpreter ignores them, and any zip
program lists them.
"""

from __future__ import annotations

import io
import struct
import zipfile

from .manifest_reader import LARGEST_MANIFEST

MANIFEST_NAME = "stepcell.json"
CHECKSUM_NAME = "stepcell.json.sha256"
_TIME_STAMP = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold: equal manifests must give equal files
_UNIX = 3
# What zipfile raises on bytes that are no archive, or a damaged one, found by damaging some in 200,000 ways:
# RuntimeError, or a subclass, for an entry that is encrypted, holds patch data or asks for a later version of zip
# (unknown compression is refused before anything is read); ValueError for names that are not UTF-8 and offsets before
# the file, OverflowError for offsets beyond all files; struct.error where one is appended to.
_UNREADABLE = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, OverflowError, struct.error)


def is_tflite(content: bytes) -> bool:
    """Tell whether `content` begins as a TFLite file does."""
    return content[4:8] == b"TFL3"


def append_manifest(payload: bytes, manifest: bytes, checksum: bytes) -> bytes:
    """Return `payload` followed by an archive that holds `manifest` and its `checksum`."""
    file = io.BytesIO(payload)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for name, content in ((MANIFEST_NAME, manifest), (CHECKSUM_NAME, checksum)):
            entry = zipfile.ZipInfo(name, _TIME_STAMP)
            entry.create_system = _UNIX
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return file.getvalue()


def split_manifest(content: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return (payload, manifest, checksum), or None where there is no archive with a manifest.

    Raises:
        ValueError: There is an archive, but it is not as `append_manifest` writes it.
    """
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
        same = append_manifest(payload, manifest, checksum) == content
    except _UNREADABLE:  # the payload ends in parts of another archive
        same = False
    if not same:
        raise ValueError("its archive has been changed")
    return payload, manifest, checksum


def appended_files(content: bytes) -> list[zipfile.ZipInfo]:
    """Return the entries of the archive behind a graph, whoever appended it; none where none can be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.infolist()
    except _UNREADABLE:
        return []
