"""What is known about models that were rebuilt from old files: how each is proven, and what was changed.

A model that was rebuilt goes through `export` like any other; `export` asks here whether it needs another proof first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from ..layers.keras_graph import KerasModel


@dataclass(frozen=True)
class Proof:
    """The comparison of a rebuilt model with the Keras that its file is of.

    Attributes:
        reference: Name and version of the reference: "tf_keras 2.21.0".
        sequences: How many sequences were compared.
        max_error: The largest difference of a number of an output, relative to the largest number of that output where
            it is above 1.
    """

    reference: str
    sequences: int
    max_error: float

    def describe(self) -> str:
        """Return the proof as a sentence."""
        return (
            f"reference: {self.reference}; the model rebuilt in Keras 3 differs from it by {self.max_error:.2g} on "
            f"{self.sequences} sequences"
        )


@dataclass(frozen=True)
class Provenance:
    """What is known about a rebuilt model.

    Attributes:
        compare: Compares it with the Keras of its file; raises ParityError.
        notes: What was changed, in sentences.
    """

    compare: Callable[[], Proof]
    notes: tuple[str, ...] = ()

    @cached_property
    def proof(self) -> Proof:
        """The proof, made at the first access.

        Raises:
            ParityError: The model does not answer as the Keras of its file.
            SourceError: That Keras cannot read the file.
        """
        return self.compare()


_KNOWN: WeakKeyDictionary[Any, Provenance] = WeakKeyDictionary()


def record(model: KerasModel, provenance: Provenance) -> None:
    """Remember the provenance of `model` as long as it lives."""
    _KNOWN[model] = provenance


def provenance_of(model: KerasModel) -> Provenance | None:
    """Return what is known about `model`; None: it is Keras's own."""
    return _KNOWN.get(model)
