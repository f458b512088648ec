"""Names for the types of arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[np.int32]  # ids of symbols
Float32: TypeAlias = NDArray[np.float32]  # what interpreters compute with
Floats: TypeAlias = NDArray[np.floating[Any]]  # float32 or float64
Indices: TypeAlias = NDArray[np.int64]  # positions in something that may be long
Times: TypeAlias = NDArray[np.float64]  # in seconds, or in whatever unit an order was given in
Flags: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]
