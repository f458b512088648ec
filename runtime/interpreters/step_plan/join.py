"""Fewer statements that do the same: sums begin products, loops are joined, results are written over dead operands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from .statements import Loop, Product, Row, Softmax, Statement
from .views import Memory, View


def readers_of(statements: Sequence[Statement], memory: Memory) -> list[int]:
    """Return the numbers of the statements that read `memory`."""
    return [n for n, each in enumerate(statements) if any(view.memory is memory for view in each.reads)]


def writers_of(statements: Sequence[Statement], memory: Memory) -> list[int]:
    """Return the numbers of the statements that write `memory`."""
    return [n for n, each in enumerate(statements) if any(view.memory is memory for view in each.writes)]


def needed_only(statements: Sequence[Statement], kept: Iterable[Memory]) -> list[Statement]:
    """Leave out statements whose results nothing reads.

    Args:
        statements: The statements of a step.
        kept: Memory that is read after the step.
    """
    needed, found = set(map(id, kept)), []
    for statement in reversed(statements):
        if any(id(view.memory) in needed for view in statement.writes):
            found.append(statement)
            needed.update(id(view.memory) for view in statement.reads)
    return found[::-1]


def with_starts(statements: Sequence[Statement], kept: Iterable[Memory]) -> list[Statement]:
    """Let products begin with what is added to them: a bias, another product, a row of a table.

    Args:
        statements: The statements of a step.
        kept: Memory that is read after the step.
    """
    found, needed = list(statements), set(map(id, kept))
    place = 0
    while place < len(found):
        place = place + 1 if not _start_with(found, place, needed) else place
    return found


def _start_with(found: list[Statement], place: int, needed: set[int]) -> bool:
    """Remove the addition at `place` if a product can begin with one of its operands."""
    addition = found[place]
    if not (isinstance(addition, Loop) and len(addition.body) == 1 and addition.body[0].kind == "add"):
        return False
    assignment = addition.body[0]
    if not assignment.result.is_plain:
        return False
    for product_view, other in (assignment.operands, assignment.operands[::-1]):
        memory = product_view.memory
        writers = writers_of(found, memory)
        if len(writers) != 1 or id(memory) in needed or readers_of(found, memory) != [place]:
            continue
        product = found[writers[0]]
        if not isinstance(product, Product) or product.start is not None:
            continue
        alike = product_view.is_whole and other.is_plain and other.size == product.result.size
        ready = all(number < writers[0] for number in writers_of(found, other.memory))
        if alike and ready:
            found[writers[0]] = replace(product, start=other, result=assignment.result)
            del found[place]
            return True
    return False


def rows_first(statements: Sequence[Statement]) -> list[Statement]:
    """Put the rows of tables that an input names before everything else, so that products can begin with them."""
    first = [each for each in statements if isinstance(each, Row) and each.id.memory.port]
    return [*first, *(each for each in statements if each not in first)]


def with_joined_loops(statements: Sequence[Statement]) -> list[Statement]:
    """Join loops of one shape, where no element that one of them writes is needed elsewhere in between."""
    found: list[Statement] = []
    for statement in statements:
        place = _place_to_join(found, statement) if isinstance(statement, Loop) else None
        if place is None:
            found.append(statement)
        else:
            before = found[place]
            assert isinstance(before, Loop)
            assert isinstance(statement, Loop)
            found[place] = replace(before, body=before.body + statement.body)
    return found


def _place_to_join(found: Sequence[Statement], loop: Loop) -> int | None:
    for place in range(len(found) - 1, -1, -1):
        other = found[place]
        if isinstance(other, Loop) and other.shape == loop.shape and _may_be_joined(other, loop):
            return place
        if _depends(other, loop):
            return None
    return None


def _may_be_joined(first: Loop, second: Loop) -> bool:
    """Tell whether what one of them writes is read or written by the other at the same place of the loop, or not."""
    pairs = [(write, view) for write in first.writes for view in (*second.reads, *second.writes)]
    pairs += [(write, view) for write in second.writes for view in first.reads]
    return all(not write.overlaps(view) or write.same_elements(view) for write, view in pairs)


def _depends(first: Statement, second: Statement) -> bool:
    """Tell whether the order of two statements matters."""
    pairs = [(write, view) for write in first.writes for view in (*second.reads, *second.writes)]
    pairs += [(write, view) for write in second.writes for view in first.reads]
    return any(write.overlaps(view) for write, view in pairs)


def in_place(statements: Sequence[Statement], variables: Collection[int]) -> list[Statement]:
    """Write results over operands that are not needed any more, element by element: a step then needs less memory.

    Args:
        statements: The statements of a step.
        variables: Memory that a loop keeps in variables, by its id; it stays.
    """
    found = list(statements)
    for place in range(len(found)):
        for result in found[place].writes:
            if id(result.memory) in variables:
                continue
            for operand in _element_by_element(found[place]):
                if id(operand.memory) in variables:
                    continue
                if _may_replace(found, place, operand, result):
                    found = [_moved(each, result.memory, operand.memory, operand.offset) for each in found]
                    break
                if _may_replace_whole(found, place, operand, result):
                    found = [_moved(each, operand.memory, result.memory, 0) for each in found]
                    break
    return found


def _element_by_element(statement: Statement) -> tuple[View, ...]:
    """Return the operands whose elements a statement reads only for the result at the same place."""
    if isinstance(statement, (Loop, Softmax)):
        return statement.reads
    return (statement.start,) if isinstance(statement, Product) and statement.start is not None else ()


def _may_replace(found: Sequence[Statement], place: int, operand: View, result: View) -> bool:
    """Tell whether `result`, first written at `place`, may be where `operand` is."""
    old, new = operand.memory, result.memory
    if not (old.is_scratch and new.is_scratch and old is not new and old.dtype == new.dtype):
        return False
    if not result.is_whole or result.size != operand.size or not operand.is_plain:
        return False
    if writers_of(found, new) != [place] or any(number < place for number in readers_of(found, new)):
        return False
    statement = found[place]
    same_place = all(
        view.same_elements(operand) or not view.overlaps(operand) for view in (*statement.reads, *statement.writes)
    )
    if isinstance(statement, Loop):
        written = next(n for n, each in enumerate(statement.body) if each.result.memory is new)
        same_place &= not any(v.overlaps(operand) for each in statement.body[written + 1 :] for v in each.operands)
    afterwards = any(view.overlaps(operand) for later in found[place + 1 :] for view in (*later.reads, *later.writes))
    return same_place and not afterwards and not _is_row(found, old)


def _may_replace_whole(found: Sequence[Statement], place: int, operand: View, result: View) -> bool:
    """Tell whether the memory of `operand` may be that of `result`, an output, from its beginning on."""
    old, new = operand.memory, result.memory
    if not (old.is_scratch and new.port and old.dtype == new.dtype):
        return False
    if not (operand.is_whole and result.is_whole and old.size == new.size) or _is_row(found, old):
        return False
    if writers_of(found, new) != [place] or any(number < place for number in readers_of(found, new)):
        return False
    statement = found[place]
    if isinstance(statement, Loop) and len(statement.body) > 1:
        return False
    return max(readers_of(found, old)) == place and len(writers_of(found, old)) == 1


def _is_row(found: Sequence[Statement], memory: Memory) -> bool:
    return any(isinstance(each, Row) and each.result.memory is memory for each in found)


def _moved(statement: Statement, old: Memory, new: Memory, offset: int) -> Statement:
    return statement.moved(lambda view: view.moved_to(new, offset) if view.memory is old else view)
