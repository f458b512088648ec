"""The calculation of a graph that stepcell did not make, with the inputs and outputs of a step around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from ..format.io_mapping import TensorSpec
from ..format.model_file import ModelFile
from ..format.tensor_specs import SYMBOL
from .graph_runners import io_mapping_of, require_ports
from .numpy_engine import Calculation, CalculationError
from .numpy_engine.graph import Operation, Source


def with_step_around(inner: Calculation, file: ModelFile) -> Calculation:
    """Return the calculation of a step of `file`, which has a mapping; `inner` is that of its graph.

    Its inputs and outputs have the names, types and shapes of the manifest: ids become one-hot vectors, shapes those of
    the graph, logits probabilities, and integers of a state float32, as `MappedBackend` does it.

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
        around.read(feature.name, feature.shape, mapping.features[feature.name])
    for tensor in manifest.state:
        around.read(tensor.name, tensor.shape, mapping.state[tensor.name][0])
    for constant in mapping.constants:
        around.fill(constant.tensor, constant.value)
    missing = sorted(set(inner.inputs) - {port.name for port in mapping.inputs})
    if missing:
        raise CalculationError(f"nothing is known of its inputs {', '.join(missing)}")
    around.write(mapping.output, manifest.answer, (manifest.output_size,), softmax=mapping.logits)
    for output in manifest.extra_outputs:
        around.write(mapping.outputs[output.name], output.name, (output.size,))
    for tensor in manifest.state:
        around.write(mapping.state[tensor.name][1], tensor.next, tensor.shape)
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

    def read(self, name: str, shape: Sequence[int], port: TensorSpec) -> None:
        """Read an input of the manifest."""
        self._into(port, self._input(name, shape, "float32"))

    def fill(self, port: TensorSpec, value: Any) -> None:
        """Let an input have the same numbers in each step."""
        numbers = np.broadcast_to(np.array(value, port.dtype).reshape(-1), (port.size,))
        self.constants[self.inner.inputs[port.name].value] = numbers.reshape(port.shape)

    def write(self, port: TensorSpec, name: str, shape: Sequence[int], *, softmax: bool = False) -> None:
        """Write an output of the manifest."""
        found = f"output {name}"
        self.outputs[name] = found
        steps: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
            ("reshape", (self._constant(np.array([1, *shape])),), {}),
            ("cast", (), {"to": "float32"}),
        ]
        steps += [("softmax", (), {"axis": -1})] if softmax else []
        value = self.inner.outputs[port.name]
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

    def _constant(self, content: AnyArray) -> str:
        name = f"around {len(self.constants)}"
        self.constants[name] = content
        return name
