"""Lines that come through a pipe, from a terminal, or from anything else that is read once."""

from __future__ import annotations

import os
from typing import BinaryIO

from .interruption import Interruption
from .line import Line, LineBuffer

_CHUNK = 1 << 16


class PipedLines:
    """Gives the lines of a file object; a last line without an end counts as well."""

    def __init__(self, file: BinaryIO, interruption: Interruption) -> None:
        """Begin with the first line; nothing may have been read from `file` before."""
        self._file, self._interruption, self._buffer = file, interruption, LineBuffer()
        self._descriptor: int | None
        try:
            self._descriptor = file.fileno()
        except OSError:  # it is in memory
            self._descriptor = None
        self._has_ended = False

    @property
    def has_ended(self) -> bool:
        """See `Lines.has_ended`."""
        return self._has_ended

    def close(self) -> None:
        """See `Lines.close`; the file stays open for whoever opened it."""

    def take_back(self) -> None:
        """See `Lines.take_back`."""
        self._buffer.take_back()

    def next(self, patience: float | None) -> Line | None:
        """See `Lines.next`."""
        while True:
            line = self._buffer.next()
            if line is not None:
                return line
            if self._has_ended:
                return None
            if self._descriptor is None:
                content = self._file.read(_CHUNK)
            elif self._interruption.wait_for(self._descriptor, patience):
                content = os.read(self._descriptor, _CHUNK)
            else:
                return None
            if not content:
                self._has_ended = True
                return self._buffer.last()
            self._buffer.add(content)
