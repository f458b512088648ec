"""Arrays that may be larger than memory: small ones in memory, large ones mapped from files that have no name.

Such a file vanishes with the process, also one that is killed. Pages of a mapped file count as memory of the process
while they are mapped; `release` gives them back, and they are read again when they are needed.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..common.arrays import AnyArray
from ..common.errors import CorpusError

BLOCK = 1 << 21  # rows that are worked on at once
IN_MEMORY = 1 << 24  # bytes of the largest array in memory
_LARGE_FILES = Path("/var/tmp")


def blocks(length: int, size: int = 0) -> Iterator[slice]:
    """Yield the slices that cut `length` rows into blocks of `size`, by default `BLOCK`."""
    size = size or BLOCK
    return (slice(first, min(first + size, length)) for first in range(0, length, size))


def new_array(shape: tuple[int, ...], dtype: Any) -> AnyArray:
    """Return an array whose content is not defined, in memory or in a file, by its size.

    Raises:
        CorpusError: There is no room on the disk.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.empty(shape, dtype)
    file = _open_file()
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # a write to a mapped file cannot report a full disk
        else:
            file.truncate(size)
    except OSError as error:
        raise _no_room(size, error) from error
    return _mapped(file, shape, dtype)


def release(*arrays: AnyArray | None) -> None:
    """Give back the memory of arrays that are mapped from files; their content stays."""
    for array in arrays:
        base: Any = array
        while base is not None and not isinstance(base, mmap.mmap):
            base = base.base if isinstance(base, np.ndarray) else base.obj if isinstance(base, memoryview) else None
        if base is not None and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)


class Column:
    """Numbers that come block by block, in memory until they are many, then in a file."""

    def __init__(self, dtype: Any, width: int | None = None) -> None:
        """Begin without rows; each has `width` numbers. None: each is a number."""
        self._dtype, self._shape = np.dtype(dtype), () if width is None else (width,)
        self._parts: list[AnyArray] = []
        self._file: IO[bytes] | None = None
        self._length = self._waiting = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    def append(self, values: AnyArray) -> None:
        """Append rows.

        Raises:
            CorpusError: There is no room on the disk.
        """
        self._parts.append(np.ascontiguousarray(values, self._dtype))
        self._length += len(values)
        self._waiting += self._parts[-1].nbytes
        if self._waiting > IN_MEMORY or (self._file is not None and self._waiting > IN_MEMORY // 16):
            self._write()

    def array(self) -> AnyArray:
        """Return all rows.

        Raises:
            CorpusError: There is no room on the disk.
        """
        shape = (self._length, *self._shape)
        if self._file is None:
            together: AnyArray = np.concatenate([np.empty((0, *self._shape), self._dtype), *self._parts])
            return together.reshape(shape)
        self._write()
        return _mapped(self._file, shape, self._dtype)

    def _write(self) -> None:
        self._file = self._file or _open_file()
        try:
            for part in self._parts:
                self._file.write(part.data)
            self._file.flush()
        except OSError as error:
            raise _no_room(self._waiting, error) from error
        self._parts, self._waiting = [], 0


def _folder() -> str:
    """Return the folder of the files; `tempfile` alone would take another one in silence if that cannot be written."""
    named = os.environ.get("TMPDIR")
    return named or (str(_LARGE_FILES) if os.access(_LARGE_FILES, os.W_OK) else tempfile.gettempdir())


def _open_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(prefix="stepcell-", dir=_folder())
    except OSError as error:
        raise CorpusError(
            f"Data that are larger than memory are kept in {_folder()} meanwhile, where no file can be made "
            f"({error.strerror or error}). Set TMPDIR to a folder on a disk with room."
        ) from error


def _mapped(file: IO[bytes], shape: tuple[int, ...], dtype: Any) -> AnyArray:
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    content = mmap.mmap(file.fileno(), size)  # it keeps the file open
    array: AnyArray = np.frombuffer(content, dtype).reshape(shape)
    return array


def _no_room(size: int, error: OSError) -> CorpusError:
    return CorpusError(
        f"Data that are larger than memory are kept in {_folder()} meanwhile, which has no room for "
        f"{max(size / 1e6, 1):,.0f} MB more ({error.strerror or error}). Set TMPDIR to a folder on a disk with more "
        "room."
    )
