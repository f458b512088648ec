"""Lines that come through a pipe, from a terminal, or from anything else that is read once."""

from __future__ import annotations

import os
from typing import BinaryIO

from .buffered_lines import BufferedLines
from .interruption import Interruption

_CHUNK = 1 << 16


class PipedLines(BufferedLines):
    """Gives the lines of a file object; a last line without an end counts as well."""

    def __init__(self, file: BinaryIO, interruption: Interruption) -> None:
        """Begin with the first line; nothing may have been read from `file` before."""
        super().__init__()
        self._file, self._interruption = file, interruption
        self._descriptor: int | None
        try:
            self._descriptor = file.fileno()
        except OSError:  # it is in memory
            self._descriptor = None

    def close(self) -> None:
        """See `Lines.close`; the file stays open for whoever opened it."""

    def _read_on(self, patience: float | None) -> bool:
        if self._descriptor is None:
            content = self._file.read(_CHUNK)
        elif self._interruption.wait_for(self._descriptor, patience):
            content = os.read(self._descriptor, _CHUNK)
        else:
            return False
        self._buffer.add(content)
        if not content:
            self._buffer.finish()
            self._has_ended = True
        return True
