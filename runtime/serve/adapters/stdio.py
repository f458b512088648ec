"""Records from stdin, and answers to stdout."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import BinaryIO

from ...common.errors import InputError
from ..lines import CHUNK, LineBuffer, LongLineError
from .base import Answered, Cursor, Inbox, InboxClosedError, Incoming, Json, Outcome


class Stdin:
    """Reads records from stdin, one per line. It cannot be read again, so that there is no position."""

    name, can_wait = "stdin", False

    def __init__(self, file: BinaryIO) -> None:
        """Read from `file`, which has not been read from."""
        self._file = file
        self._buffer = LineBuffer()
        self._stopped = False

    def start(self, inbox: Inbox, position: Json) -> None:
        """See `Source.start`."""
        Thread(target=self._read, args=(inbox,), name="stdin", daemon=True).start()

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """See `Source.committed`; there is nobody to tell."""

    def stop(self) -> None:
        """See `Source.stop`."""
        self._stopped = True

    def close(self) -> None:
        """See `Source.close`; a thread that waits for a line ends with the process."""

    def _read(self, inbox: Inbox) -> None:
        try:
            while not self._stopped:
                content = os.read(self._file.fileno(), CHUNK)
                if content:
                    self._buffer.add(content)
                else:
                    self._buffer.finish()
                records = self._lines()
                if records:
                    inbox.put(self, records)
                if not content:
                    inbox.end(self)
                    return
        except InboxClosedError:
            pass
        except (OSError, ValueError) as error:
            inbox.fail(self, InputError(f"Cannot read stdin: {error}."))

    def _lines(self) -> list[Incoming]:
        records = []
        while True:
            try:
                line = self._buffer.next()
            except LongLineError as error:
                self._buffer.skip()
                number = self._buffer.number + self._buffer.is_skipping
                records.append(Incoming(b"", number=number, error=str(error)))
                continue
            if line is None:
                return records
            records.append(Incoming(line.content, number=line.number))


class Stdout:
    """Writes answers to stdout, one per line, a group in one piece.

    What was written is taken for delivered. After a crash the answers of the last group may come again.
    """

    name = "stdout"

    def __init__(self, file: BinaryIO) -> None:
        """Write to `file`."""
        self._file, self._group = file, 0
        self._is_file = False

    def start(self, cursor: Cursor) -> None:
        """See `Output.start`."""
        self._group = cursor.group
        with suppress(OSError, ValueError):
            self._is_file = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)

    def deliver(self, group: int, answers: Sequence[Answered]) -> None:
        """See `Output.deliver`."""
        self._file.write(b"".join(text.encode(errors="replace") + b"\n" for _, text in answers))
        self._file.flush()
        self._group = group

    def cursor(self) -> Cursor:
        """See `Output.cursor`."""
        return Cursor(self._group)

    def close(self) -> None:
        """Let the answers in a file survive a power failure."""
        if self._is_file:
            with suppress(OSError):
                os.fsync(self._file.fileno())
