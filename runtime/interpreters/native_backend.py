"""The compiled engine as an interpreter: steps files of both formats by the plan that C code is printed from, too.

The state, the scratch memory and the answers of a stream lie in one piece of memory; weights are shared. A step is one
call of C, which computes, checks and then moves the state. `low_latency` streams leave what does not depend on the next
symbol for after the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids
from ..common.errors import BackendError, NoInterpreterError, WrongBackendError
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from ..format.tensor_specs import SYMBOL
from .base import Backend, BackendBase, State, initial_state
from .finite import not_finite, outputs_to_check
from .native.layout import aligned
from .native.program import MOVE, OPERATION, PIECE, REPEATED, Assembler
from .numpy_backend import step_program
from .numpy_engine import CalculationError
from .step_plan.plan import plan_program
from .step_plan.views import View


class Kind(NamedTuple):
    """A kind of processor that the engine has been compiled for, and that this one is.

    Attributes:
        number: Of the kind.
        name: "AVX2", for example.
        halves: Whether its products take weights of float16.
    """

    number: int
    name: str
    halves: int


try:
    from .native import _engine, require_current

    require_current(Path(_engine.__file__))
except ImportError as error:
    KINDS: tuple[Kind, ...] = ()
    _reason = str(error)
else:
    _reason = ""
    KINDS = tuple(Kind(*kind) for kind in _engine.KINDS)

PROCESSOR = KINDS[0] if KINDS else None  # what the engine runs on: the fastest of those that this processor is
IDLE, _PENDING = -1, -2  # as in engine.c: nothing is left for later, or something is still to be done
_NO_SUCH_ROW, _NOT_FINITE = 1, 2  # as in program.h


@dataclass(frozen=True)
class Compiled:
    """What the streams of a file share.

    Attributes:
        operations: The operations, addresses in the memory of a stream from 0 on.
        moving: Which of their addresses these are, (N, 4).
        moves: What is copied after a step, both addresses from 0 on.
        prepared: How many of the operations depend on the state alone.
        places: Name of an input, an output or a state -> where it is in the memory of a stream.
        size: Bytes of that memory.
        kept: Arrays with what is at fixed addresses.
    """

    operations: AnyArray
    moving: AnyArray
    moves: AnyArray
    prepared: int
    places: Mapping[str, int]
    size: int
    kept: list[AnyArray]


def open_backend(name: str, file: ModelFile, shared: Compiled | None = None) -> NativeBackend:
    """Make the verified `file` ready to step; `name` is "native"; `shared` is that of another backend, if there is one.

    Raises:
        NoInterpreterError: The engine has not been compiled here.
        WrongBackendError: The file has operations that the engine does not have; all of them are named.
        DamagedFileError: The graph does not have the names, types or shapes that the manifest promises.
    """
    return NativeBackend(shared or _compiled(file, two_phases=False), file.manifest)


def open_two_phase_backend(name: str, file: ModelFile, shared: Compiled | None = None) -> Backend:
    """Make `file` ready to step in two phases; see `open_backend`.

    Raises:
        As `open_backend` does.
        WrongBackendError: Nothing of its step can be done beforehand.
    """
    compiled = shared or _compiled(file, two_phases=True)
    if not compiled.prepared:
        raise WrongBackendError(f"Nothing of a step of {file.name} can be done beforehand. Leave out low_latency.")
    return NativeBackend(compiled, file.manifest, later=True)


def require_engine() -> Kind:
    """Return what the engine runs on.

    Raises:
        NoInterpreterError: The engine has not been compiled here.
    """
    if PROCESSOR is None:
        raise NoInterpreterError(
            "The backend 'native' needs the compiled engine, and this installation of stepcell is without it "
            f"({_reason}). Install a C compiler (Debian: sudo apt install gcc libc6-dev python3-dev) and stepcell "
            "again, in a checkout: pip install --force-reinstall --no-deps . Or compile it in the checkout: make native"
        )
    return PROCESSOR


def refusal(file: ModelFile) -> str | None:
    """Return why the engine does not step a file; None: it does."""
    try:
        _compiled(file, two_phases=False)
    except WrongBackendError as error:
        return str(error)
    return None


def _compiled(file: ModelFile, *, two_phases: bool) -> Compiled:
    processor = require_engine()
    assert (OPERATION.itemsize, REPEATED.itemsize) == (_engine.OPERATION_BYTES, _engine.REPEATED_BYTES)
    manifest = file.manifest
    try:
        plan = plan_program(step_program(file, merge=False), manifest, two_phases=two_phases)
        bytes = manifest.quantization in ("int8", "int16")  # others are computed in float32
        assembler = Assembler(plan, halves=bool(processor.halves), bytes=bytes)
    except CalculationError as error:
        raise WrongBackendError(
            f"The compiled engine does not step {file.name}: {error}. Leave out backend='native', or --backend native."
        ) from error
    layout = assembler.layout
    looked_at = outputs_to_check(manifest)
    for name, view in plan.outputs.items():
        if name in looked_at:
            assembler.check(view)
        elif name == manifest.answer:  # the first number of a softmax tells of all of them
            assembler.check(View(view.memory, view.offset, (1,), (1,)))
    for state in plan.state:
        if state.tensor.next in looked_at:
            assembler.check(state.after)
    operations, moving = assembler.operations()
    moves = [
        (layout.address(each.before).number, layout.address(each.after).number, 4 * each.before.size)
        for each in plan.state
        if not each.tensor.given
    ]
    places = {name: layout.address(view).number for name, view in plan.features.items()}
    places |= {name: layout.address(view).number for name, view in plan.outputs.items()}
    places |= {each.tensor.next: layout.address(each.after).number for each in plan.state}
    places |= {each.tensor.name: layout.address(each.before).number for each in plan.state}
    symbol = layout.address(plan.symbol or layout.new(1)).number
    return Compiled(
        operations, moving, np.array(moves, MOVE), assembler.prepared, {**places, SYMBOL: symbol}, layout.size,
        assembler.kept(),
    )  # fmt: skip


class NativeBackend(BackendBase):
    """The operations of a file, on memory of their own."""

    def __init__(self, compiled: Compiled, manifest: Manifest, *, later: bool = False) -> None:
        """Allocate the memory of a stream. The resident state is the initial one.

        Args:
            compiled: The operations.
            manifest: The manifest of the file.
            later: Leave what depends on the state alone for later; see `settle`.
        """
        memory = aligned(np.zeros(compiled.size, np.uint8))
        self._memory, begin = memory, memory.ctypes.data
        operations, moves = compiled.operations.copy(), compiled.moves.copy()
        for name, moving in zip(("out", "a", "b", "c"), compiled.moving.T, strict=True):
            operations[name][moving] += np.uint64(begin)
        for name in ("target", "source"):
            moves[name] += np.uint64(begin)
        self._engine = _engine.Engine(
            operations.ctypes.data, len(operations), compiled.prepared if later else 0, moves.ctypes.data, len(moves),
            begin + compiled.places[SYMBOL], len(manifest.vocabulary) or 1, require_engine().number, later,
            (memory, operations, moves, compiled),
        )  # fmt: skip

        def array(name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> AnyArray:
            first, size = compiled.places[name], prod(shape) * np.dtype(dtype).itemsize
            found: AnyArray = memory[first : first + size].view(dtype).reshape(shape)
            return found

        super().__init__(
            manifest,
            array(manifest.answer, (manifest.output_size,)),
            {feature.name: array(feature.name, (1, *feature.shape), feature.dtype) for feature in manifest.features},
            {output.name: array(output.name, (1, output.size)) for output in manifest.extra_outputs},
        )
        self.shared = compiled
        self._state = {tensor.name: array(tensor.name, (1, *tensor.shape)) for tensor in manifest.state}
        self._later = later
        self.write_state(initial_state(manifest.state))

    @property
    def steps(self) -> int:
        """See `Backend`; the engine counts."""
        return self._engine.steps

    @steps.setter
    def steps(self, steps: int) -> None:
        self._engine.steps = steps

    @property
    def engine(self) -> Any:
        """The engine, which steps by itself where nothing but symbols is read; else None. See `NativeStream`."""
        return None if self.manifest.features else self._engine

    @property
    def pending(self) -> int:
        """`IDLE`; `_PENDING`; or the id whose answer is there, although it has not been stepped."""
        return self._engine.pending

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self._require(self._engine.step(id))

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        self._require(self._engine.peek(id))

    def expect(self, id: int) -> None:
        """Compute the answer to `id` ahead of its step; it overwrites the last answer."""
        self._require(self._engine.expect(id))

    def settle(self) -> None:
        """Compute what a step has left for later; the resident state stays."""
        self._engine.settle()

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`; other threads run meanwhile."""
        self._run(ids, 0)

    def run(self, ids: Ids) -> Float32:
        """See `Backend.run`; other threads run meanwhile."""
        answers = np.empty((len(ids), self._answer.size), np.float32)
        self._run(ids, answers.ctypes.data)
        return answers

    def _run(self, ids: Ids, answers: int) -> None:
        ids = np.ascontiguousarray(ids, np.int32)
        answer = self._answer
        self._require(self._engine.run(ids.ctypes.data, len(ids), answers, answer.ctypes.data, answer.nbytes))

    def pieces(self, arrays: Mapping[str, AnyArray]) -> AnyArray:
        """Return what `step_rows` takes, for arrays (B, ...) of a batch that stay where they are.

        Args:
            arrays: Name of an input, an output, a state or a next state -> the array.
        """
        begin = self._memory.ctypes.data
        rows = [(begin + self.shared.places[n], a.ctypes.data, a[:1].nbytes) for n, a in arrays.items()]
        return np.array(rows, PIECE)

    def step_rows(self, ids: Ids, before: AnyArray, after: AnyArray) -> None:
        """Step each stream of a batch once; other threads run meanwhile.

        Args:
            ids: int32 of shape (B,).
            before: The `pieces` that a step reads.
            after: Those that it writes. They may hold what is not finite.
        """
        addresses = ids.ctypes.data, len(ids), before.ctypes.data, len(before), after.ctypes.data, len(after)
        self._require(self._engine.run_rows(*addresses))

    def _require(self, status: int) -> None:
        """Raise unless `status` says that all went well."""
        if status == _NOT_FINITE:
            raise not_finite(self.manifest)
        if status == _NO_SUCH_ROW:
            raise BackendError("an id is beyond the end of a table")

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: array.copy() for name, array in self._state.items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        for name, array in self._state.items():
            array[...] = state[name]
        if self._later:
            self._engine.pending = _PENDING
