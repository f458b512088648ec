"""A file as a source of records: its lines, also those that are appended, and those of rotated files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

from ...common.errors import InputError, StepcellError
from ..file_lines import FileLines
from ..input_offset import FilePart, InputOffset
from ..lines import LONGEST, LineBuffer
from ..signals import SignalGuard
from .base import Inbox, InboxClosedError, Incoming, Json, Outcome

_BOM = b"\xef\xbb\xbf"
_AT_ONCE = 256  # records, so that other sources have their turn
_BUSY, _SHORT_PAUSE = 1.0, 0.005  # seconds after a line in which to look for the next one so often
_PATIENCE = 5.0  # seconds for the thread to end


class FileSource:
    """Reads records from the lines of a file as `stepcell predict --input` does.

    The position of a record is the `InputOffset` of the line after it, so that a service goes on with that line, in
    whichever file it is now. A record whose line is too long has an error in place of its content.
    """

    can_wait = False  # nobody would write the line again

    def __init__(self, path: Path, tell: Callable[[str], None], *, follow: bool = False) -> None:
        """Name the file.

        Args:
            path: The file. A followed file may be created later.
            tell: Takes remarks for the user; called in the thread of the source.
            follow: Wait for more at the end of the file. Otherwise a last line without an end is left unread.
        """
        self.name = f"file:{path.absolute()}"
        self._path, self._tell, self._follow = path, tell, follow
        self._is_stopped = Event()
        self._came = 0.0  # when the last lines came
        self._thread: Thread | None = None

    def start(self, inbox: Inbox, position: Json) -> None:
        """See `Source.start`.

        Raises:
            InputError: There is no such file, and it is not followed.
        """
        if not self._follow and position is None and not self._path.exists():
            raise InputError(f"There is no file {self._path} to read records from. --follow waits for it.")
        self._thread = Thread(target=self._run, args=(inbox, InputOffset.from_json(position)), name=self.name)
        self._thread.daemon = True  # it may be reading from a disk that does not answer
        self._thread.start()

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """Do nothing: the positions are kept in the store."""

    def stop(self) -> None:
        """See `Source.stop`."""
        self._is_stopped.set()

    def close(self) -> None:
        """See `Source.close`."""
        self.stop()
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def _run(self, inbox: Inbox, offset: InputOffset | None) -> None:
        try:
            lines = FileLines(
                self._path, SignalGuard(sleep=self._sleep), self._tell, follow=self._follow, whole_lines=True,
                offset=offset, new_buffer=CutLineBuffer,
            )  # fmt: skip
            lines.on_new_content = partial(self._keep_beginning, inbox, lines)
            with closing(lines):
                if offset is None or lines.begins_anew:
                    self._keep_beginning(inbox, lines)
                while (found := lines.next_part()) is not None:
                    self._came = time.monotonic()
                    records = [_record(found[0], *line) for line in found[1]]
                    for first in range(0, len(records), _AT_ONCE):
                        inbox.put(self, records[first : first + _AT_ONCE])
        except (_StoppedError, InboxClosedError):
            return
        except StepcellError as error:
            inbox.fail(self, error)
        except OSError as error:
            inbox.fail(self, InputError(f"Cannot read {self._path}: {error.strerror or error}."))
        else:
            inbox.end(self)

    def _keep_beginning(self, inbox: Inbox, lines: FileLines) -> None:
        """Let the store know of a file before its first line: a kill and a rotation may come earlier than that."""
        inbox.put(self, [Incoming(b"", position=dict(vars(lines.offset())))])

    def _sleep(self, seconds: float) -> None:
        is_busy = time.monotonic() - self._came < _BUSY
        if self._is_stopped.wait(min(seconds, _SHORT_PAUSE) if is_busy else seconds):
            raise _StoppedError


class CutLineBuffer(LineBuffer):
    """Split what was read into lines; of a line that is too long keep as much as shows that it is."""

    def __init__(self, position: int = 0, number: int = 0) -> None:
        """Begin at an offset."""
        super().__init__(position, number)
        self._cut = 0  # bytes of the unfinished line that are not kept

    @property
    def unfinished(self) -> int:
        """Number of bytes after the last line end."""
        return len(self._rest) + self._cut

    def add(self, content: bytes) -> None:
        """Append what was read."""
        *finished, rest = (self._rest + content).split(b"\n")
        for line in finished:
            self._lines.append((line[: LONGEST + 1], len(line) + 1 + self._cut))
            self._cut = 0
        self._rest = rest[: LONGEST + 1]
        self._cut += len(rest) - len(self._rest)

    def finish(self) -> None:
        """Make a line of what follows the last line end."""
        if self._rest:
            self._lines.append((self._rest, len(self._rest) + self._cut))
            self._rest, self._cut = b"", 0


class _StoppedError(Exception):
    """The source takes no more records."""


def _record(part: FilePart, number: int, content: bytes, end: int) -> Incoming:
    """Return the record of a line. Its position, which takes time, is made where it is kept."""
    position: Any = partial(_position, part, end, number)
    if len(content) > LONGEST:
        error = f"Line {number} is longer than {LONGEST:,} bytes."
        return Incoming(b"", None, number, position, None, error)
    return Incoming(content.removeprefix(_BOM) if number == 1 else content, None, number, position)


def _position(part: FilePart, end: int, line: int) -> Json:
    return dict(vars(part.offset(end, line)))
