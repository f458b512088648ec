"""TensorFlow Lite Micro, as the package tflite-micro has it: the interpreter of microcontrollers, on this machine.

It steps files that were exported for it. Every input is written before each step: its planner lays outputs and
intermediate results over the inputs.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from ..common.errors import BackendError, DamagedFileError
from ..common.terminal import capture_stderr
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from ..format.tensor_specs import SYMBOL, MicroGraph
from .base import ArrayBackend, Backend, initial_state
from .finite import require_finite

_ALIGNMENT = 16  # bytes, of all that is in an arena
_BESIDE = 64 << 10  # bytes of an arena beside the tensors of a graph
_LARGEST_ARENA = 1 << 30
_LACKING = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
_TAKEN = re.compile(r"Arena allocation total (\d+) bytes")
_MEANT_FOR_ITS_AUTHORS = "Too many buffers"  # it plans its memory in several ways, until there is room


def open_backend(name: str, file: ModelFile, shared: object = None) -> Backend:
    """Load `file` into TensorFlow Lite Micro.

    Args:
        name: "tflm".
        file: A verified .tflite file.
        shared: Nothing is shared.

    Raises:
        ImportError: tflite-micro is not installed.
        DamagedFileError: The graph does not have the types or shapes that the manifest promises.
        BackendError: It lacks something in the graph.
    """
    assert file.manifest.micro is not None, "no other file has this backend"
    interpreter = open_interpreter(name, file.payload)
    _check_ports(interpreter, file, file.manifest.micro)
    return MicroBackend(interpreter, file.manifest, file.manifest.micro)


def open_interpreter(name: str, payload: bytes, arena: int | None = None) -> Any:
    """Return an interpreter with the graph `payload` in so many bytes; None: as many as it may need.

    Raises:
        BackendError: It lacks something in the graph, or the arena is too small; the reason is that of the interpreter.
    """
    from tflite_micro import runtime

    size = min(_LARGEST_ARENA, 16 * len(payload) + _BESIDE) if arena is None else arena
    with capture_stderr() as said:
        try:
            return runtime.Interpreter.from_bytes(payload, arena_size=size)
        except RuntimeError as error:
            reasons = [line.strip().rstrip(".") for line in said() if _MEANT_FOR_ITS_AUTHORS not in line]
            lacking = dict.fromkeys(found[1] for line in reasons if (found := _LACKING.search(line)))
            if lacking:
                raise BackendError(f"TensorFlow Lite Micro has no operator {', '.join(lacking)}") from error
            raise BackendError(". ".join(dict.fromkeys([*filter(None, reasons), str(error)]))) from error


def smallest_arena(file: ModelFile) -> int:
    """Return the bytes of the smallest arena in which `file` is loaded and stepped once, to 16 bytes.

    Raises:
        ImportError, BackendError: As `open_backend`.
    """
    micro = file.manifest.micro
    assert micro is not None, "it was exported for TensorFlow Lite Micro"

    def fits(blocks: int) -> bool:
        try:
            interpreter = open_interpreter("", file.payload, _ALIGNMENT * blocks)
            MicroBackend(interpreter, file.manifest, micro).peek(0)
        except BackendError:
            return False
        return True

    # In an arena that is smaller than what it takes for good, some operators crash. More is needed only for a while.
    enough = -(-_bytes_taken(open_interpreter("", file.payload)) // _ALIGNMENT)
    too_few = enough - 1
    while not fits(enough):
        too_few, enough = enough, 2 * enough
        if _ALIGNMENT * enough > _LARGEST_ARENA:
            raise BackendError(f"{file.name} fits into no arena of {_LARGEST_ARENA:,} bytes.")
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if fits(middle):
            enough = middle
        else:
            too_few = middle
    return _ALIGNMENT * enough


def _bytes_taken(interpreter: Any) -> int:
    """Return the bytes of its arena that an interpreter has taken for good."""
    with capture_stderr() as said:
        interpreter.print_allocations()
        return max(int(found[1]) for line in said() if (found := _TAKEN.search(line)))


def _check_ports(interpreter: Any, file: ModelFile, micro: MicroGraph) -> None:
    """Compare the types and shapes of inputs and outputs with the manifest, by their positions."""
    for names, wanted, details in (
        (micro.inputs, file.manifest.graph_inputs(), interpreter.get_input_details),
        (micro.outputs, file.manifest.graph_outputs(), interpreter.get_output_details),
    ):
        for position, name in enumerate(names):
            found = details(position)
            actual = np.dtype(found["dtype"]), tuple(int(size) for size in found["shape"][1:])
            dtype, shape = wanted[name]
            if actual != (np.dtype(dtype), shape):
                raise DamagedFileError(
                    f"{file.name} is not as its manifest says: {name} at position {position} is {actual[0]} "
                    f"{list(actual[1])}, the manifest promises {np.dtype(dtype)} {list(shape)}. Export the model again."
                )


class MicroBackend(ArrayBackend):
    """Steps one stream: writes all inputs, computes, and copies all outputs."""

    def __init__(self, interpreter: Any, manifest: Manifest, micro: MicroGraph) -> None:
        """Step an interpreter with the graph of `manifest`. The resident state is the initial one."""
        features = {each.name: np.zeros((1, *each.shape), each.dtype) for each in manifest.features}
        outputs = {output.name: np.zeros(output.size, np.float32) for output in manifest.extra_outputs}
        super().__init__(manifest, np.zeros(manifest.output_size, np.float32), features, outputs)
        self._interpreter, self._micro = interpreter, micro
        self._symbol = np.zeros(1, np.int32)
        self._fed: dict[str, AnyArray] = {SYMBOL: self._symbol, **self._features}
        self.write_state(initial_state(manifest.state))

    def peek(self, id: int) -> None:
        """See `Backend.peek`.

        Raises:
            BackendError: The interpreter failed.
            NotFiniteError: An answer or a next state is not finite.
        """
        self._symbol[0] = id
        fed = {**self._fed, **self._state}
        interpreter = self._interpreter
        try:
            for position, name in enumerate(self._micro.inputs):
                interpreter.set_input(fed[name], position)
            interpreter.invoke()
            found = {name: interpreter.get_output(at) for at, name in enumerate(self._micro.outputs)}
        except (RuntimeError, ValueError, IndexError) as error:
            raise BackendError(f"TensorFlow Lite Micro failed on {self.manifest.name}: {error}") from error
        require_finite(found.values(), self.manifest)
        self._answer[...] = found[self.manifest.answer][0]
        for name, array in self._extra_outputs.items():
            array[...] = found[name][0]
        self._next = {tensor.name: found[tensor.next] for tensor in self.manifest.state}
