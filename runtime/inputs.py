"""What a model reads, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .arrays import AnyArray, Ids


@dataclass(frozen=True)
class Inputs:
    """What a model reads over T steps, T >= 1.

    Attributes:
        ids: Symbol ids of shape (T,); zeros for a model that reads no symbol.
        features: Name -> array of shape (T, ...).
    """

    ids: Ids
    features: Mapping[str, AnyArray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return T."""
        return len(self.ids)

    def __getitem__(self, steps: slice | AnyArray) -> Inputs:
        """Return those of some of the steps."""
        return Inputs(self.ids[steps], {name: array[steps] for name, array in self.features.items()})

    def features_at(self, step: int) -> dict[str, AnyArray] | None:
        """Return the features of one step by name, None where the model has none."""
        return {name: array[step] for name, array in self.features.items()} or None
