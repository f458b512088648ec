"""How a stream is saved and goes on later: methods of `Stream`.

What they need is imported when they are called: most streams are never saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import SavedStateError

if TYPE_CHECKING:
    from .saved_state import SavedStreams
    from .stream import Stream

_ALONE = ""  # the key of a stream that is saved by itself


def to_bytes(stream: Stream) -> bytes:
    """Return where the stream is, as bytes that any engine can read; the README has their layout.

    Raises:
        StateMismatchError: A number of the state is not finite: nobody could go on from there.
    """
    return _saved(stream).to_bytes()


def from_bytes(stream: Stream, content: bytes, *, ignore_fingerprint: bool = False) -> None:
    """Go on where a stream was when `to_bytes` was called on it.

    Args:
        stream: The stream to move.
        content: What `to_bytes` returned.
        ignore_fingerprint: Take it from another model file too, if that has the same names and shapes: the same network
            in another format or precision.

    Raises:
        SavedStateError: It is something else, damaged, newer, of another model, or holds several streams. The stream
            has not moved.
        StateMismatchError: Names or shapes are not those of the model, or a number is not finite. The stream has not
            moved.
    """
    from .saved_state import parse_saved_streams

    _go_on(stream, parse_saved_streams(content, "The saved state"), "The saved state", ignore_fingerprint)


def save(stream: Stream, path: str | Path) -> None:
    """Write `to_bytes()` to a file; a crash or power cut leaves the old one there or the new one, never a part.

    Args:
        stream: The stream; it does not move.
        path: Where to write.

    Raises:
        StateMismatchError: As `to_bytes` does. What stood at `path` still stands there.
        OutputError: It cannot be written. What stood at `path` still stands there.
    """
    _saved(stream).to_file(path)


def restore(stream: Stream, path: str | Path, *, ignore_fingerprint: bool = False) -> None:
    """Go on where a stream was when it was saved.

    Args:
        stream: The stream to move.
        path: What `save` wrote.
        ignore_fingerprint: As for `from_bytes`.

    Raises:
        StateNotFoundError: There is no such file, or it cannot be read. The stream has not moved.
        SavedStateError, StateMismatchError: As `from_bytes` does. The stream has not moved.
    """
    from .saved_state import read_saved_streams

    _go_on(stream, read_saved_streams(path), Path(path).name, ignore_fingerprint)


def _saved(stream: Stream) -> SavedStreams:
    from .saved_state import SavedStreams

    return SavedStreams.of(stream.file.manifest, {_ALONE: stream.snapshot()})


def _go_on(stream: Stream, saved: SavedStreams, name: str, ignore_fingerprint: bool) -> None:
    if set(saved.streams) != {_ALONE}:
        raise SavedStateError(
            f"{name} holds {len(saved.streams)} streams by key and not one by itself. Step them with: "
            "stepcell predict MODEL --key FIELD --state FILE"
        )
    stream.go_to(saved.checked(stream.file, name, ignore_fingerprint=ignore_fingerprint)[_ALONE])
