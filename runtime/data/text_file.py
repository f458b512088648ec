"""Read files as they are when they are opened, and hash them; what is appended meanwhile is not read."""

from __future__ import annotations

import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import CorpusError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


_GZIP = b"\x1f\x8b"
_OTHERS = {  # first bytes of files that are no text -> what they are, and how to get text
    b"PK\x03\x04": "a zip archive; unpack it, or save an Excel workbook (.xlsx) as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook or another file of Microsoft Office; save it as CSV",
    b"PAR1\x15": "a Parquet file; name its format: --format parquet",
    b"ARROW1\0\0": "an Arrow file; convert it to Parquet or CSV",
    b"SQLite format 3\0": "an SQLite database; export the table: sqlite3 -header -csv FILE 'SELECT * FROM TABLE'",
    b"BZh91AY&SY": "compressed with bzip2; unpack it: bunzip2",
    b"\xfd7zXZ\0": "compressed with xz; unpack it: unxz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it: unzstd",
    b"%PDF-": "a PDF",
    b"\x89HDF": "an HDF5 file; export it as CSV or Parquet",
    b"\x93NUMPY": "an array of numpy; write it as CSV",
}
_TAIL = 1 << 20  # bytes in which the last line end is looked for


class HashingReader(io.RawIOBase):
    """The bytes that a file has when it is opened, hashed while they are read.

    If the file grows meanwhile, a last line that had no end is not read either: it was being written.
    """

    def __init__(self, path: Path) -> None:
        """Open `path`; a pipe is read to its end.

        Raises:
            OSError: The file cannot be opened.
        """
        self._path = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by `close`
        status = os.fstat(self._file.fileno())
        self._size = status.st_size if stat.S_ISREG(status.st_mode) else sys.maxsize
        self._limit = self._size if self._is_compressed() else self._end_of_last_line()
        self._read = 0
        self._hash = sha256()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read the next bytes into `buffer`.

        Raises:
            CorpusError: The file has become shorter.
        """
        if self._read == self._limit and not self.has_grown:
            self._limit = self._size
        view = memoryview(buffer).cast("B")[: self._limit - self._read]
        count = self._file.readinto(view) or 0
        if not count and len(view) and self._size < sys.maxsize:
            raise CorpusError(
                f"{self._path} has become shorter while it was read. Wait until nothing writes to it, or copy it first."
            )
        self._hash.update(view[:count])
        self._read += count
        return count

    @property
    def sha256(self) -> str:
        """Hash of all bytes read so far, in hex."""
        return self._hash.hexdigest()

    @property
    def has_grown(self) -> bool:
        """Whether the file is longer now than when it was opened."""
        return self._size < sys.maxsize and os.fstat(self._file.fileno()).st_size > self._size

    def remarks(self) -> tuple[str, ...]:
        """Return a remark if the file has grown, else nothing."""
        return (f"it grew while it was read: only its first {self._read:,} bytes count",) if self.has_grown else ()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _is_compressed(self) -> bool:
        if self._size == sys.maxsize:
            return False
        start = self._file.read(len(_GZIP))
        self._file.seek(0)
        return start == _GZIP

    def _end_of_last_line(self) -> int:
        if self._size in (0, sys.maxsize):
            return self._size
        first = max(0, self._size - _TAIL)
        self._file.seek(first)
        end = self._file.read(self._size - first).rfind(b"\n") + 1
        self._file.seek(0)
        return first + end if end else self._size


def digest(path: Path) -> str:
    """Return the sha256 of a file in hex.

    Raises:
        OSError: It cannot be read.
    """
    with HashingReader(path) as file:
        while file.read(_TAIL):
            pass
        return file.sha256


@contextmanager
def open_bytes(path: Path) -> Iterator[tuple[Any, HashingReader]]:
    """Open a file as it is and close it at the end; yield it twice, as `open_text` yields text and file.

    Raises:
        CorpusError: The file cannot be opened or read; also later, while it is read.
    """
    try:
        with HashingReader(path) as file:
            yield file, file
    except OSError as error:
        raise CorpusError(f"Cannot read {path}: {error.strerror or error}.") from error


@contextmanager
def open_text(path: Path, encoding: str, newline: str | None) -> Iterator[tuple[Any, HashingReader]]:
    """Open a text file, unpacked if it is compressed with gzip, and close it at the end.

    Yields:
        The text, with newlines as in `open`, and the file below it.

    Raises:
        CorpusError: The file cannot be opened or read, is no text, or has another encoding; also later, while it is
            read.
    """
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        "".encode(codec)
    except LookupError:
        raise CorpusError(f"There is no encoding {encoding!r}. Common ones: utf-8, latin-1, cp1252, utf-16.") from None
    try:
        with (
            open_bytes(path) as (_, file),
            _decompressed(io.BufferedReader(file)) as content,
            io.TextIOWrapper(content, codec, newline=newline) as text,
        ):
            _refuse_other_files(content, path)
            yield text, file
    except UnicodeDecodeError as error:
        raise CorpusError(_describe(error, path, codec)) from error
    except (EOFError, zlib.error) as error:
        raise CorpusError(f"The compressed data in {path} are cut off or damaged: {error}. Copy it again.") from error


def _decompressed(content: io.BufferedReader) -> Any:
    """Return the content, unpacked if it is compressed; the name of the file does not matter."""
    if content.peek(len(_GZIP))[: len(_GZIP)] != _GZIP:
        return content
    import gzip

    return gzip.GzipFile(fileobj=content)


def _refuse_other_files(content: Any, path: Path) -> None:
    start = content.peek(16)[:16]
    for magic, what in _OTHERS.items():
        if start.startswith(magic):
            raise CorpusError(f"{path} is not text: it is {what}.")


def _describe(error: UnicodeDecodeError, path: Path, encoding: str) -> str:
    """Return the wrong byte, its line, and a guess at the encoding."""
    byte = error.object[error.start]
    where = f"byte 0x{byte:02x} is wrong"
    with (
        suppress(OSError, EOFError, zlib.error),  # what follows in a compressed file may be damaged
        HashingReader(path) as file,
        _decompressed(io.BufferedReader(file)) as content,
    ):
        before = 0
        for number, line in enumerate(content, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as found:
                where = f"byte {before + found.start} is 0x{line[found.start]:02x} (line {number:,})"
                break
            before += len(line)
    is_utf16 = error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
    guess = "utf-16" if is_utf16 else "cp1252" if 0x80 <= byte < 0xA0 else "latin-1"
    name = "UTF-8" if encoding == "utf-8-sig" else encoding
    return f"{path} is not {name}: {where}. Name its encoding, for example --encoding {guess}"
