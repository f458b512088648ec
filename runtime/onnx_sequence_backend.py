"""onnxruntime on a graph of whole sequences: many symbols in one call, or one after the other like any other file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .arrays import Float32, Ids
from .backend import State
from .finite import require_finite
from .manifest import Manifest
from .onnxruntime_backend import OnnxRuntimeBackend

_MOST_AT_ONCE = 1024  # symbols in one call: a year of history must not fill the memory with its answers


class OnnxSequenceBackend(OnnxRuntimeBackend):
    """A step is a sequence of one symbol, through memory that stays bound; longer ones go through the graph at once.

    How matrices are multiplied depends on the length of a sequence, so the last digits of an answer do too.
    """

    def __init__(self, session: Any, manifest: Manifest) -> None:
        """Wrap `session`. The resident state is the initial one."""
        super().__init__(session, manifest)
        self._session = session
        self._names = [tensor.name for tensor in manifest.state]
        self._ports = [manifest.answer, *(tensor.next for tensor in manifest.state)]

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        for _ in self._parts(ids):
            pass

    def run(self, ids: Ids) -> Float32:
        """See `Backend.run`."""
        return np.concatenate(list(self._parts(ids)))

    def _parts(self, ids: Ids) -> Iterator[Float32]:
        """Go through `ids` part by part and yield the answers to each, (T, K); the state moves at the end."""
        state: State = self.read_state()
        for first in range(0, len(ids), _MOST_AT_ONCE):
            answers, state = self._sequence(ids[first : first + _MOST_AT_ONCE], state)
            require_finite([answers, *state.values()], self.manifest)
            yield answers
        self.write_state(state)
        self._answer[:] = answers[-1]

    def _sequence(self, ids: Ids, state: State) -> tuple[Float32, dict[str, Float32]]:
        """Return the answers to `ids` from `state`, (T, K), and the state after them."""
        answers, *following = self._session.run(self._ports, {"symbols": ids[:, None], **state})
        return answers[:, 0], dict(zip(self._names, following, strict=True))
