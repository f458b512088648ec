"""Parts of a TFLite graph, a `schema.ModelT`: operators and constants are found and appended by these."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from ..runtime.arrays import AnyArray


def is_operator(code: Any, builtin: int) -> bool:
    """Tell whether an operator code of a model is that of `builtin`."""
    return bool(max(code.builtinCode, code.deprecatedBuiltinCode) == builtin)


def operator_code(model: Any, builtin: int, version: int = 1) -> int:
    """Return the index of the operator code of `builtin`, appended if the model has none yet; its version rises."""
    for index, code in enumerate(model.operatorCodes):
        if is_operator(code, builtin):
            code.version = max(code.version, version)
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def content_of(model: Any, tensor: Any) -> AnyArray:
    """Return the bytes of a constant, uint8 of shape (N,); none for a tensor that is computed."""
    data = model.buffers[tensor.buffer].data
    return np.empty(0, np.uint8) if data is None else np.frombuffer(bytes(bytearray(data)), np.uint8)


def constant_buffer(model: Any, values: AnyArray) -> int:
    """Append a buffer with `values`; return its index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1
