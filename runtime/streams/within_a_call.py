"""Calls from within a call: of a signal handler, which may come in the middle of anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..common.errors import BackendError
from ..format.model_file import ModelFile

if TYPE_CHECKING:
    from .stream import Stream


def is_within_step(stream: Stream) -> bool:
    """Tell whether this is called from within a step of `stream` without a lock: by a signal handler."""
    kind = type(stream)
    steps = {way.__code__ for way in (kind.step, kind.step_id, kind.settle)}
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code in steps and frame.f_locals.get("stream") is stream:
            return True
    return False


def within_a_call(file: ModelFile) -> BackendError:
    """Return what to raise where a stream of `file` is used in the middle of a call of one."""
    return BackendError(
        f"A call of a stream of {file.name} is not over yet, and this comes from within it: from a signal handler "
        "perhaps, which can set a flag and leave the rest until after the call. Or from another thread; give each a "
        "stream of its own. This call has moved no stream."
    )
