"""A model that is coming, beside the one that serves: stepped with the same inputs, and compared."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...common.errors import SavedStateError, StepcellError
from ...streams.prediction import Prediction
from ...streams.snapshot import Snapshot
from ...streams.stream import Stream
from ..stepper import Input
from .coming import PUT_COMING, Coming
from .store import Statement
from .streams import StoredStreams

_LEAST = 1e-12  # a probability below it counts as this one in a divergence


@dataclass
class Comparison:
    """How far the answers of two models are from each other.

    Attributes:
        compared: Answers that were compared.
        different: Those whose likeliest symbols differ.
        difference: Mean absolute difference of a number of the main output, summed over the answers.
        divergence: Kullback-Leibler divergence of the new one from the old one in nats, likewise; 0 for outputs that do
            not sum to 1.
    """

    compared: int = 0
    different: int = 0
    difference: float = 0.0
    divergence: float = 0.0

    def add(self, old: Prediction, new: Prediction, output: str) -> None:
        """Compare two answers, whose output is of a kind that `Manifest.output` names."""
        before, after = old.values.astype(np.float64), new.values.astype(np.float64)
        self.compared += 1
        self.difference += float(np.abs(before - after).mean())
        if output != "linear":
            self.different += int(before.argmax() != after.argmax())
        if output == "softmax":
            self.divergence += float((before * np.log(np.maximum(before, _LEAST) / np.maximum(after, _LEAST))).sum())

    def to_json(self, output: str) -> dict[str, Any]:
        """Return it as it stands in a record of the event."""
        found: dict[str, Any] = {"compared": self.compared}
        if not self.compared:
            return found
        if output != "linear":
            found["different"] = round(self.different / self.compared, 6)
        found["difference"] = float(f"{self.difference / self.compared:.4g}")
        if output == "softmax":
            found["divergence"] = float(f"{self.divergence / self.compared:.4g}")
        return found


class SideBySide:
    """Steps the streams of a model that is coming with what is fed to those of the model that serves.

    Attributes:
        comparison: The answers of both, once all streams are caught up.
        failure: Why the new model cannot go on; None: it can.
    """

    def __init__(self, coming: Coming, old: StoredStreams, most: int) -> None:
        """Begin with nothing compared.

        Args:
            coming: The streams that are caught up.
            old: Those of the model that serves.
            most: How many of them are kept in memory.
        """
        self.comparison = Comparison()
        self.failure: StepcellError | None = None
        self._coming, self._old, self._most = coming, old, most
        self._output = coming.model.manifest.output
        self._stream = Stream(coming.model.pool, Snapshot(coming.start({})))
        self._now: OrderedDict[str, Snapshot] = OrderedDict()  # where streams are that have moved

    def step(self, key: str, inputs: Sequence[Input], prediction: Prediction | None) -> None:
        """Step a stream with what was fed to the old model; see `Stepper.on_step`."""
        if self.failure is not None or not self._coming.has(key):
            return
        try:
            answer = self._step(key, inputs)
        except StepcellError as error:
            self.failure = error
            return
        if self._coming.is_complete and answer is not None and prediction is not None:
            self.comparison.add(prediction, answer, self._output)

    def _step(self, key: str, inputs: Sequence[Input]) -> Prediction | None:
        seen = self._old.stream.symbols_seen - len(inputs)
        if seen == 0:
            static = self._coming.model.manifest.static
            before: Snapshot | None = Snapshot(self._coming.start(self._old.stream.state if static else {}))
        else:
            before = self._known(key)
        if before is None or before.symbols_seen != seen:
            return None  # it is caught up at the end
        self._stream.go_to(before)
        answer: Prediction | None = None
        for symbol, features in inputs:
            answer = self._stream.step(symbol, features)
        self._now[key] = self._stream.snapshot()
        self._now.move_to_end(key)
        return answer

    def statements(self, moved: Mapping[str, tuple[Snapshot, Mapping[str, Any]]]) -> list[Statement]:
        """Return what keeps the streams, in the transaction that keeps those of the old model.

        Args:
            moved: The streams of the old model that have moved, with their notes.
        """
        rows = []
        try:
            for key, (old, note) in moved.items():
                if not self._coming.has(key):
                    continue
                found = self._known(key) if old.symbols_seen else Snapshot(self._coming.start(old.state))
                if found is not None and found.symbols_seen == old.symbols_seen:
                    self._now[key] = found
                    rows.append(self._coming.row(key, found, note))
        except StepcellError as error:  # a state that is not finite; the new model is refused
            self.failure = error
        return [(PUT_COMING, rows)] if rows else []

    def settle(self) -> None:
        """Say that what has moved is kept."""
        while len(self._now) > self._most:
            self._now.popitem(last=False)

    def _known(self, key: str) -> Snapshot | None:
        found = self._now.get(key)
        if found is None:
            try:
                found = self._coming.find(key)
            except SavedStateError:  # a damaged row of the old model, copied as it is
                return None
        return found
