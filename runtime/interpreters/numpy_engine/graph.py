"""What a file computes in one step, whatever format it came from: operations on named values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...common.arrays import AnyArray


class CalculationError(ValueError):
    """A graph that cannot be calculated here. The text completes a sentence: "numpy cannot load FILE: ..."."""


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        kind: Which one; a key of `operations.OPERATIONS`.
        inputs: Names of values; "" where an optional one is left out.
        outputs: Names of values.
        options: What the operation is told besides.
        origin: What the file calls it, for messages.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""


@dataclass(frozen=True)
class Source:
    """An input: the value that holds it, its dtype, and its shape with None where a dimension is open (None: all)."""

    value: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Calculation:
    """A graph without branches and loops.

    Attributes:
        inputs: Name of an input -> where it goes in.
        outputs: Name of an output -> the value it is.
        constants: Value -> its content. Weights stored in 8 or 16 bits are float32 here.
        operations: In an order in which they can be computed.
    """

    inputs: Mapping[str, Source]
    outputs: Mapping[str, str]
    constants: Mapping[str, AnyArray]
    operations: tuple[Operation, ...]


def unknown(names: list[str]) -> CalculationError:
    """Return the error that names the operators which are not known here."""
    return CalculationError(f"it does not know the operators {', '.join(sorted(set(names)))}")
