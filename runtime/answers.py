"""What many streams answered at once, by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from .arrays import Float32
from .manifest import Manifest
from .prediction import Prediction, prediction_of


class Answers(Mapping[str, Prediction]):
    """What the members of a fleet answered: key -> prediction, made when it is asked for.

    Attributes:
        probabilities: The main output of each, float32 of shape (N, K), in the order of the keys; yours to keep.
        outputs: Name -> what a further output of the model answered, float32 (N, size), likewise.
    """

    def __init__(self, keys: list[str], answers: Mapping[str, Float32], manifest: Manifest) -> None:
        """Wrap the rows of `answers`, the main output first: name -> float32 of shape (N, size)."""
        self._keys, self._answers, self._manifest = keys, answers, manifest
        self.probabilities = answers[manifest.answer]
        self.outputs = {output.name: answers[output.name] for output in manifest.others}

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self._keys)}

    def __getitem__(self, key: str) -> Prediction:
        """Return the prediction of the member `key`."""
        row = self._rows[key]
        return prediction_of({name: array[row] for name, array in self._answers.items()}, self._manifest)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keys)
