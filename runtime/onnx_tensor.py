"""Weights and attributes of .onnx files: `TensorProto` and `AttributeProto` of onnx.proto."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np

from .arrays import AnyArray
from .protobuf import Message

# `TensorProto.DataType`, by number.
TYPES = (
    "undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16",
    "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16",
)  # fmt: skip
_EXTERNAL = 1  # TensorProto.DataLocation
# Types whose numbers stand one by one in the field `int32_data`, where they do not stand as bytes in `raw_data`.
_IN_INT32 = ("int32", "uint8", "int8", "uint16", "int16", "bool", "float16")
_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS = 1, 2, 3, 4, 6, 7  # AttributeProto.AttributeType
Attribute: TypeAlias = "int | float | str | tuple[int, ...] | tuple[float, ...] | OnnxTensor | None"


def type_name(number: int) -> str:
    """Return the name of a `TensorProto.DataType`."""
    return TYPES[number] if 0 <= number < len(TYPES) else f"type {number}"


@dataclass(frozen=True)
class OnnxTensor:
    """A constant.

    Attributes:
        name: Its name, which is unique in its graph.
        type: "float32", "int64", ...
        shape: Its shape.
        external: Its content stands in another file.
        message: The message it comes from.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    external: bool
    message: Message

    def content(self) -> AnyArray:
        """Return its numbers.

        Raises:
            ValueError: They do not fill its shape, stand in another file, or are of a type that numpy does not have.
        """
        if self.external or self.type not in TYPES[1:-1] or self.type == "string":
            raise ValueError(f"the weight {self.name!r} is of type {self.type}{', in another file' * self.external}")
        dtype = np.dtype(self.type).newbyteorder("<")
        raw = self.message.octets(9)
        numbers = np.frombuffer(raw[-1], dtype) if raw else self._listed(dtype)
        if min(self.shape, default=0) < 0 or numbers.size != prod(self.shape):
            raise ValueError(f"the weight {self.name!r} has shape {self.shape} and {numbers.size} elements")
        return numbers.reshape(self.shape)

    def _listed(self, dtype: Any) -> AnyArray:
        if self.type == "float32":
            return np.array(self.message.floats(4), np.float32)
        if self.type == "int64":
            return np.array(self.message.numbers(7), np.int64)
        if self.type in _IN_INT32:
            stored = np.array(self.message.numbers(5), np.int64)
            return stored.astype(np.uint16).view(np.float16) if self.type == "float16" else stored.astype(dtype)
        raise ValueError(f"the weight {self.name!r} lists its numbers as {self.type}")


def read_tensor(message: Message) -> OnnxTensor:
    """Return the constant in a `TensorProto`."""
    shape = tuple(message.numbers(1))
    return OnnxTensor(message.text(8), type_name(message.number(2)), shape, message.number(14) == _EXTERNAL, message)


def read_attribute(message: Message) -> Attribute:
    """Return the value of an `AttributeProto`; None for kinds that no operator of a step has, graphs among them."""
    kind = message.number(20)
    if kind == _FLOAT:
        return next(reversed(message.floats(2)), 0.0)
    if kind == _INT:
        return message.number(3)
    if kind == _STRING:
        return message.text(4)
    if kind == _TENSOR:
        return next((read_tensor(tensor) for tensor in reversed(message.messages(5))), None)
    if kind == _FLOATS:
        return tuple(message.floats(7))
    return tuple(message.numbers(8)) if kind == _INTS else None
