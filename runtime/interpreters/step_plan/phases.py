"""A step in two phases: first all that does not depend on what is read, so that it can be done before that is known."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from .statements import Product, Statement, loop
from .views import Memory, View


def in_two_phases(
    statements: Sequence[Statement], read: Collection[Memory], answers: Collection[Memory]
) -> tuple[list[Statement], list[Statement]]:
    """Return the statements that depend on the state alone, and all others, each in their order.

    A product that begins with something that is read is done from zeros, and that is added in the second phase.

    Args:
        statements: The statements of a step; each memory is written once at most at each place.
        read: What a step reads beside the state.
        answers: What keeps its content between two steps.
    """
    dependent = set(map(id, read))
    first: list[Statement] = []
    second: list[Statement] = []
    for statement in statements:
        if isinstance(statement, Product) and statement.start is not None:
            start, x = statement.start, statement.x
            if id(start.memory) in dependent and id(x.memory) not in dependent:
                size = statement.result.size
                alone = View(Memory("float32", size), 0, (size,), (1,))
                first.append(replace(statement, start=None, result=alone))
                flat = [View(each.memory, each.offset, (size,), (1,)) for each in (start, statement.result)]
                second.append(loop("add", [alone, flat[0]], flat[1]))
                dependent.add(id(statement.result.memory))
                continue
        written = [view.memory for view in statement.writes]
        if any(id(v.memory) in dependent for v in statement.reads) or any(each in answers for each in written):
            dependent.update(map(id, written))
            second.append(statement)
        else:
            first.append(statement)
    return first, second


def handed_on(first: Sequence[Statement], second: Sequence[Statement]) -> list[View]:
    """Return views of all memory that the first phase writes and the second reads."""
    read = {id(view.memory) for each in second for view in each.reads}
    found = {id(v.memory): v.memory for each in first for v in each.writes if id(v.memory) in read}
    return [View(memory, 0, (memory.size,), (1,)) for memory in found.values()]
