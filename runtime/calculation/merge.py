"""Merges what is done to the parts of one tensor: the three sigmoids of an LSTM become one.

On tensors as small as those of a step a numpy call costs the same however many numbers it works on.
"""

from __future__ import annotations

from collections.abc import Sequence

from .graph import Operation

_MERGEABLE = ("logistic", "tanh", "relu")  # one operand, element by element


def merged(operations: Sequence[Operation]) -> list[Operation]:
    """Return `operations`, with those of one kind done together that at least half of the parts of a split go through.

    They are done to the whole tensor before it is split again; each number comes out as before.
    """
    result: list[Operation] = []
    replaced: set[int] = set()
    for place, operation in enumerate(operations):
        if place in replaced:
            continue
        result.append(operation)
        if operation.kind != "split":
            continue
        for kind in _MERGEABLE:
            users = {
                other.inputs[0]: number
                for number, other in enumerate(operations)
                if other.kind == kind and other.inputs[0] in operation.outputs
            }
            if len(users) < 2 or 2 * len(users) < len(operation.outputs):
                continue
            whole, *how = operation.inputs
            name = f"{kind} of {operation.outputs[0]}"
            parts = tuple(
                operations[users[part]].outputs[0] if part in users else f"{name}, part {number}"
                for number, part in enumerate(operation.outputs)
            )
            result.append(Operation(kind, (whole,), (name,), origin=operation.origin))
            result.append(Operation("split", (name, *how), parts, operation.options, operation.origin))
            replaced.update(users.values())
    return result
