"""What a service knows of a model that is to take over."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol

from ...streams.snapshot import Snapshot
from .engine import Engine
from .store import Statement


class Stage(Enum):
    """What a handover is doing."""

    CATCHING_UP = "catching up"
    SIDE_BY_SIDE = "side by side"
    TAKEN = "taken over"
    REFUSED = "refused"


class Successor(Protocol):
    """A new model on its way to take over.

    Attributes:
        engine: The engine of the new model.
        stage: What it is doing.
    """

    engine: Engine
    stage: Stage

    def statements(self, moved: Mapping[str, tuple[Snapshot, Mapping[str, Any]]]) -> list[Statement]:
        """Return what keeps its streams in the transaction that keeps those of the old model."""

    def settle(self) -> None:
        """Say that these are kept."""

    def status(self) -> dict[str, Any]:
        """Return how far it is, as JSON."""

    def work(self) -> bool:
        """Do a piece of work; return whether there is more that need not wait for records."""

    def give_up(self) -> None:
        """Leave the old model in its place."""
