"""Begin a sequence as in training: a model of whole sequences is fed the end symbol first."""

from __future__ import annotations

from ..streams.stream import Stream


def begin(stream: Stream, first: str | None = None) -> bool:
    """Feed the end symbol to a stream that has seen nothing since its reset, if its model has one.

    Training puts the end symbol between two sequences, so it is also the beginning of each. This is the one rule of
    predict, generate, score, calibrate and evaluate.

    Args:
        stream: The stream to move.
        first: The symbol that comes first; if it is the end symbol itself, nothing is fed. None: not known.

    Returns:
        Whether the stream has moved.

    Raises:
        BackendError, NotFiniteError: As `Stream.step` does. The stream has not moved.
    """
    data = stream.file.manifest.trained_data
    if data.end is None or first == data.end or stream.symbols_seen or stream.prediction is not None:
        return False
    stream.step(data.end, data.boundary or None)
    return True
