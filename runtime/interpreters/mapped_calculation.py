"""The calculation of a graph that stepcell did not make, with the inputs and outputs of a step around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from ..format.io_mapping import LARGEST_INTEGER, WIDE_TYPES, TensorSpec
from ..format.manifest import StateTensor
from ..format.model_file import ModelFile
from ..format.tensor_specs import SYMBOL
from .graph_runners import io_mapping_of, require_ports
from .numpy_engine import Calculation, CalculationError
from .numpy_engine.graph import Operation, Source


def with_step_around(inner: Calculation, file: ModelFile) -> Calculation:
    """Return the calculation of a step of `file`, which has a mapping; `inner` is that of its graph.

    Its inputs and outputs have the names, types and shapes of the manifest: ids become one-hot vectors, shapes those of
    the graph, logits probabilities, and integers of a state float32, as `MappedBackend` does it. An integer that
    float32 does not hold becomes a NaN, so that the step fails.

    Raises:
        CalculationError: An input or output stands for numbers of 8 or 16 bits, or an input has no number.
        DamagedFileError: The graph does not have the inputs that the manifest names.
    """
    mapping, manifest = io_mapping_of(file), file.manifest
    ports = (*mapping.inputs, *mapping.read_outputs)
    rounded = dict.fromkeys(f"{port.name} ({port.dtype})" for port in ports if port.scale)
    if rounded:
        raise CalculationError(
            f"its inputs and outputs are rounded to few bits, which is not done here: {', '.join(rounded)}"
        )
    require_ports(mapping.inputs, {name: (each.dtype, each.shape or ()) for name, each in inner.inputs.items()}, file)
    around = _Around(inner)
    if mapping.symbol is not None:
        around.symbol(mapping.symbol, len(manifest.vocabulary))
    for feature in manifest.features:
        around.feature(feature.name, feature.shape, mapping.features[feature.name])
    for constant in mapping.constants:
        around.fill(constant.tensor, constant.value)
    missing = sorted(set(inner.inputs) - {port.name for port in mapping.inputs})
    if missing:
        raise CalculationError(f"nothing is known of its inputs {', '.join(missing)}")
    around.write(mapping.output, manifest.answer, (manifest.output_size,), softmax=mapping.logits)
    for output in manifest.extra_outputs:
        around.write(mapping.outputs[output.name], output.name, (output.size,))
    for tensor in manifest.state:
        around.state(tensor, *mapping.state[tensor.name])
    return Calculation(
        around.inputs, around.outputs, around.constants, (*around.before, *inner.operations, *around.after)
    )


class _Around:
    """Collects the inputs, outputs and operations around a calculation."""

    def __init__(self, inner: Calculation) -> None:
        self.inner = inner
        self.inputs: dict[str, Source] = {}
        self.outputs: dict[str, str] = {}
        self.constants: dict[str, AnyArray] = dict(inner.constants)
        self.before: list[Operation] = []
        self.after: list[Operation] = []

    def symbol(self, port: TensorSpec, symbols: int) -> None:
        """Read the id of a symbol."""
        id = self._input(SYMBOL, (), "int32")
        if port.dtype != "float32":
            self._into(port, id)
            return
        vector = "one-hot symbol"
        given = (
            self._constant(np.array(symbols)),
            self._constant(np.array(1, np.float32)),
            self._constant(np.array(0, np.float32)),
        )
        self.before.append(Operation("one_hot", (id, *given), (vector,), {}, "the symbol"))
        self._into(port, vector)

    def feature(self, name: str, shape: Sequence[int], port: TensorSpec) -> None:
        """Read numbers, which an integer input takes rounded."""
        value = self._input(name, shape, "float32")
        self._into(port, value if port.dtype in ("float32", "bool") else self._rounded(value, port))

    def state(self, tensor: StateTensor, source: TensorSpec, target: TensorSpec) -> None:
        """Read a state, and write the next one."""
        self._into(source, self._input(tensor.name, tensor.shape, "float32"))
        after = self.inner.outputs[target.name]
        after = self._held_exactly(after, target) if target.dtype in WIDE_TYPES else after
        self._write(after, target, tensor.next, tensor.shape)

    def fill(self, port: TensorSpec, value: Any) -> None:
        """Let an input have the same numbers in each step."""
        numbers = np.broadcast_to(np.array(value, port.dtype).reshape(-1), (port.size,))
        self.constants[self.inner.inputs[port.name].value] = numbers.reshape(port.shape)

    def write(self, port: TensorSpec, name: str, shape: Sequence[int], *, softmax: bool = False) -> None:
        """Write an output of the manifest."""
        self._write(self.inner.outputs[port.name], port, name, shape, softmax=softmax)

    def _write(self, value: str, port: TensorSpec, name: str, shape: Sequence[int], *, softmax: bool = False) -> None:
        found = f"output {name}"
        self.outputs[name] = found
        steps: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
            ("reshape", (self._constant(np.array([1, *shape])),), {}),
            ("cast", (), {"to": "float32"}),
        ]
        steps += [("softmax", (), {"axis": -1})] if softmax else []
        for number, (kind, more, options) in enumerate(steps):
            result = found if number == len(steps) - 1 else f"{found}, {kind}"
            self.after.append(Operation(kind, (value, *more), (result,), options, f"the output {port.name}"))
            value = result

    def _input(self, name: str, shape: Sequence[int], dtype: str) -> str:
        value = f"input {name}"
        self.inputs[name] = Source(value, dtype, (1, *shape))
        return value

    def _into(self, port: TensorSpec, value: str) -> None:
        target, cast = self.inner.inputs[port.name].value, f"{value}, cast"
        self.before += [
            Operation("cast", (value,), (cast,), {"to": port.dtype}, f"the input {port.name}"),
            Operation("reshape", (cast, self._constant(np.array(port.shape))), (target,), {}, f"the input {port.name}"),
        ]

    def _rounded(self, value: str, port: TensorSpec) -> str:
        """Return numbers rounded to the nearest integer, halves away from zero, within the limits of `port`."""
        low, high = _limits(port.dtype)
        found = self.before, f"the input {port.name}"
        negative = self._then(*found, "less", value, self._number(0))
        half = self._then(*found, "select", negative, self._number(-0.5), self._number(0.5))
        moved = self._then(*found, "add", value, half)  # a cast leaves out what is behind the point
        return self._then(*found, "clip", moved, low=low, high=high)

    def _held_exactly(self, value: str, port: TensorSpec) -> str:
        """Return integers as float32, NaN where float32 does not hold them."""
        found = self.after, f"the output {port.name}"
        limit = np.array(LARGEST_INTEGER, port.dtype)
        above = self._then(*found, "greater", value, self._constant(limit))
        below = self._then(*found, "less", value, self._constant(-limit))
        beyond = self._then(*found, "or", above, below)
        numbers = self._then(*found, "cast", value, to="float32")
        return self._then(*found, "select", beyond, self._number(np.nan), numbers)

    def _then(self, operations: list[Operation], reason: str, kind: str, *operands: str, **options: Any) -> str:
        """Add an operation and return the name of its result."""
        result = f"{reason}, {kind}"
        operations.append(Operation(kind, operands, (result,), options, reason))
        return result

    def _number(self, number: float) -> str:
        return self._constant(np.array(number, np.float32))

    def _constant(self, content: AnyArray) -> str:
        name = f"around {len(self.constants)}"
        self.constants[name] = content
        return name


def _limits(dtype: str) -> tuple[float, float]:
    """Return the lowest and the highest float32 that is an integer of a type."""
    limits = np.iinfo(dtype)
    high = np.float32(limits.max)
    return float(limits.min), float(high if int(high) <= limits.max else np.nextafter(high, np.float32(0)))
