"""The step of a window as a batch of staggered rows; `stagger` translates its layers.

A state tensor of the file is (B, N, ...). A layer is computed for all N rows only if a state depends on it and its
input is not the same in all of them; else once, with the values of row 0, which answers.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from ...runtime.format.manifest import StateTensor
from ..ops import Ops, Value, Weights
from .plan import Node


def stacked(state: Sequence[StateTensor], length: int) -> tuple[StateTensor, ...]:
    """Return the state of `length` rows, each of them in its state after a reset."""
    return tuple(
        replace(tensor, shape=(length, *tensor.shape)).starting_from(np.repeat(tensor.initial_value(), length, axis=0))
        for tensor in state
    )


def advance_rows(
    a: Ops,
    nodes: Sequence[Node],
    state: Sequence[StateTensor],
    values: Mapping[int, Value],
    before: Mapping[str, Value],
    outputs: Sequence[int],
) -> tuple[dict[int, Value], dict[str, Value]]:
    """Take a step of all rows.

    Args:
        a: The arithmetic.
        nodes: The layers of one row.
        state: The state of all rows; the last row after a reset is how a row begins.
        values: The inputs by number, of shape (B, ...).
        before: Name -> the state before, (B, N, ...).
        outputs: Numbers of the values to return.

    Returns:
        The outputs of row 0 by number, (B, ...), and the next state.
    """
    length = state[0].shape[0]
    rows_before = {tensor.name: a.reshape(before[tensor.name], tensor.shape[1:]) for tensor in state}
    after: dict[str, Value] = {}
    once = dict(values)  # number -> the value of row 0, or of all rows, (B, ...)
    rows: dict[int, Value] = {}  # number -> the values of all rows where they differ, (B N, ...)

    def of_row_0(number: int) -> None:
        if number not in once:
            shape = _known(rows[number])
            once[number] = a.row(a.reshape(rows[number], [length, *shape]), 0)

    in_all = _read_by_states(nodes)
    for node in nodes:
        read = [*node.sources, *([] if node.mask is None else [node.mask])]
        differ = [isinstance(source, int) and source in rows for source in read]
        if not node.layer.state and not (node.output in in_all and any(differ)):
            for source in read:
                if isinstance(source, int):
                    of_row_0(source)
            once[node.output], _ = node.run(a, once, {})
            continue
        given, mask = node.read(a, ChainMap(rows, once))
        given = [x if own else _repeated(a, x, length) for x, own in zip(given, differ, strict=False)]
        if mask is not None and not differ[-1]:
            mask = _repeated(a, mask, length)
        rows[node.output], moved = node.step(a, given, mask, rows_before)
        after.update(moved)
    for number in outputs:
        of_row_0(number)
    following = {
        tensor.name: a.shift(a.reshape(after[tensor.name], tensor.shape), tensor.initial_value()[0, -1:])
        for tensor in state
    }
    return {number: once[number] for number in outputs}, following


def _read_by_states(nodes: Sequence[Node]) -> set[int]:
    """Return the numbers of the values that a state depends on."""
    read: set[int] = set()
    for node in reversed(nodes):
        if node.layer.state or node.output in read:
            sources = [*node.sources, *([] if node.mask is None else [node.mask])]
            read.update(source for source in sources if isinstance(source, int))
    return read


def _repeated(a: Ops, x: Value, length: int) -> Value:
    """Return x, (B, ...), for each of `length` rows, (B N, ...)."""
    shape = _known(x)
    return a.reshape(a.reshape(x, [1, *shape]) * a.constant(_ones(length, len(shape))), shape)


@cache
def _ones(length: int, rank: int) -> Weights:
    return np.ones((length, *[1] * rank), np.float32)


def _known(x: Value) -> tuple[int, ...]:
    """Return the shape of `x` without its batch."""
    return tuple(int(size) for size in x.shape[1:])
