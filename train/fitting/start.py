"""The start of a training that goes on from an earlier one, and what came of it. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...runtime.common.arrays import Float32
from ..problems.problem import Streams


@dataclass(frozen=True, eq=False)
class Start:
    """The start of a training from an earlier network.

    Attributes:
        weights: Its weights, as `BuiltNetwork.weights` returns them.
        earlier: The streams that were held out from it; None: they cannot be read.
        evaluation: Which evaluation of its training they are, "carried" or "per_sequence".
        note: Why there are no `earlier` streams, or a remark on them; "": none.
        learned: How much of the data that are held out now it has learned from, in words; "": nothing.
    """

    weights: tuple[Float32, ...]
    earlier: Streams | None = None
    evaluation: str = ""
    note: str = ""
    learned: str = ""


@dataclass(frozen=True, eq=False)
class Transfer:
    """What a training from an earlier network has gained and forgotten.

    Attributes:
        start: Its start.
        new_before: Score on the data held out now, by the earlier network.
        new_after: The same after training; None: the evaluation was cut short.
        earlier_before: Score on the data that were held out from the earlier training, by its network; None: not known.
        earlier_after: The same after training; None: not known, or cut short.
    """

    start: Start
    new_before: Any
    new_after: Any = None
    earlier_before: Any = None
    earlier_after: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return all scores and notes as a JSON object."""
        pairs = {
            "new_data": (self.new_before, self.new_after, self.start.learned),
            "earlier_data": (self.earlier_before, self.earlier_after, self.start.note),
        }
        return {
            name: {
                "before": before and before.to_json(),
                "after": after and after.to_json(),
                **({"note": note} if note else {}),
            }
            for name, (before, after, note) in pairs.items()
        }
