"""Types of arrays, and of what may be missing."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[np.int32]  # symbol ids
Float32: TypeAlias = NDArray[np.float32]  # the numbers of interpreters
Floats: TypeAlias = NDArray[np.floating[Any]]  # float32 or float64
Indices: TypeAlias = NDArray[np.int64]  # into arrays that may be long
Keys: TypeAlias = NDArray[np.uint64]
Times: TypeAlias = NDArray[np.float64]  # in seconds, or in the unit of an order column
Flags: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]

# None, from a step without an answer. As typeshed does for groups of a match, it is Any to a type checker: a caller
# that steps an ordinary model, which answers at each step, need not rule out what cannot come. (mypy with None here
# finds the places in our own code that forget it.)
MaybeNone: TypeAlias = Any
