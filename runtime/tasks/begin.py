"""Begin a sequence as in training: a model of whole sequences is fed the end symbol first."""

from __future__ import annotations

import numpy as np

from ..streams.static import after_reset
from ..streams.stream import Stream


def begin_sequence(stream: Stream, first: str | None = None) -> bool:
    """Feed the end symbol to a stream that is in its initial state, if its model has one.

    Training puts the end symbol between two sequences, so each begins with it. This is the one rule of predict,
    generate, score, calibrate and evaluate.

    Args:
        stream: The stream to move.
        first: The symbol that comes first; if it is the end symbol itself, nothing is fed. None: not known.

    Returns:
        Whether the stream has moved.

    Raises:
        BackendError, NotFiniteError: As `Stream.step` does. The stream has not moved.
    """
    if not can_begin(stream) or first == stream.file.manifest.trained_data.end:
        return False
    data = stream.file.manifest.trained_data
    stream.step(data.end, data.boundary or None)
    return True


def can_begin(stream: Stream) -> bool:
    """Return whether a stream is in its initial state, and its model has an end symbol to begin with."""
    manifest = stream.file.manifest
    if manifest.trained_data.end is None or stream.symbols_seen or stream.prediction is not None:
        return False
    state = stream.state
    initial = after_reset(manifest, state)  # an assigned state is no beginning
    return all(np.array_equal(state[name], initial[name]) for name in initial)
