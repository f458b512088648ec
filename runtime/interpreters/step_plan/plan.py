"""The plan of a step: its statements, what goes in and out, and where everything lies in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...format.manifest import Manifest, StateTensor
from ...format.model_file import ModelFile
from ...format.tensor_specs import SYMBOL
from ..numpy_backend import step_program
from ..numpy_engine import Program
from .int8 import Int8Product, Int8Row, with_int8_weights
from .join import in_place, needed_only, rows_first, with_joined_loops, with_starts
from .phases import handed_on, in_two_phases
from .statements import After, Loop, Matmul, Product, Row, Statement, loop, statements_of
from .unfold import with_unfolded_tables
from .views import Memories, Memory, View

_ALIGNED = 4  # elements: a piece of memory begins at a multiple


@dataclass(frozen=True)
class StateView:
    """One tensor of the state in a step.

    Attributes:
        tensor: The tensor.
        before: It before the step.
        after: It after the step, in memory of the step: a step that fails has not moved it.
    """

    tensor: StateTensor
    before: View
    after: View


@dataclass(frozen=True)
class MemoryUse:
    """The memory of a step printed as C, in bytes.

    Attributes:
        constants: Weights and tables; in flash.
        state: Of one stream.
        work: Scratch memory, shared by all streams.
    """

    constants: int
    state: int
    work: int


@dataclass(frozen=True)
class StepPlan:
    """A step, ready to be printed or run.

    Attributes:
        statements: What it does, in order.
        symbol: The view of the id of the symbol; None: it reads none.
        features: Name -> the view of a feature, in the order of the manifest.
        outputs: Name -> the view of an output, all of its memory; the main one first.
        state: The tensors of the state, in the order of the manifest.
        offsets: Scratch memory -> where it begins, in elements, among that of its dtype.
        scratch: Dtype -> elements of scratch memory that a step needs.
        variables: Memory of which a loop needs one element at a time.
        prepared: How many of the statements, the first ones, depend on the state alone; 0 unless two phases were
            asked for. What they have computed stays until the end of the step.
    """

    statements: tuple[Statement, ...]
    symbol: View | None
    features: Mapping[str, View]
    outputs: Mapping[str, View]
    state: tuple[StateView, ...]
    offsets: Mapping[int, int]
    scratch: Mapping[str, int]
    variables: frozenset[int]
    prepared: int = 0

    @property
    def static(self) -> tuple[StateView, ...]:
        """The states that are given for each stream: static inputs."""
        return tuple(each for each in self.state if each.tensor.given)

    def offset_of(self, memory: Memory) -> int:
        """Return where scratch memory begins."""
        return self.offsets[id(memory)]

    def is_variable(self, memory: Memory) -> bool:
        """Tell whether `memory` is a variable of a loop."""
        return id(memory) in self.variables

    def memory_use(self) -> MemoryUse:
        """Return the bytes that it needs."""
        weights = sum(each.stored_bytes for each in self.statements if isinstance(each, Product))
        weights += sum(each.numbers.nbytes for each in self.statements if isinstance(each, Int8Row))
        weights += sum(each.scales.nbytes for each in self.statements if isinstance(each, (Int8Product, Int8Row)))
        constants = sum(memory.content.nbytes for memory in self.constants() if memory.content is not None)
        work = sum(np.dtype(dtype).itemsize * size for dtype, size in self.scratch.items())
        return MemoryUse(weights + constants, sum(4 * each.before.size for each in self.state), work)

    def multiplications(self) -> int:
        """Return the number of multiplications in the products of a step."""
        single = sum(each.weights.size for each in self.statements if isinstance(each, Product))
        many = sum(each.result.size * each.x.shape[-1] for each in self.statements if isinstance(each, Matmul))
        return single + many

    def constants(self) -> list[Memory]:
        """Return the memory that is the same in every step, without the weights of products."""
        found = {id(v.memory): v.memory for each in self.statements for v in each.reads if v.memory.content is not None}
        return list(found.values())


def plan_step(file: ModelFile, *, int8: bool = False) -> StepPlan:
    """Return the plan of one step of a file, for one stream, with as few weights as possible.

    Args:
        file: The file.
        int8: Bring the weights of products and tables to 8 bits; see `int8.py`.

    Raises:
        CalculationError: It has operations that no statement does; they are named. Or it has too large products for
            int8 weights.
        DamagedFileError, FlatbufferError, OnnxGraphError: As `step_program`.
    """
    return plan_program(step_program(file, merge=False), file.manifest, small=True, int8=int8)


def plan_program(
    program: Program, manifest: Manifest, *, two_phases: bool = False, small: bool = False, int8: bool = False
) -> StepPlan:
    """Return the plan of `program`, a step of a model with `manifest`.

    Args:
        program: The step.
        manifest: Of the model.
        two_phases: See `StepPlan.prepared`.
        small: Take the factors of a table that are smaller than it; see `unfold.py`.
        int8: As for `plan_step`.
    """
    memories = Memories()
    inputs = {name: memories.view(array) for name, array in program.inputs.items()}
    for name, view in inputs.items():
        view.memory.port = name
    statements = statements_of(program.records, memories)
    after = {tensor.next: memories.view(program.outputs[tensor.next]) for tensor in manifest.state}
    kept = [view.memory for view in after.values()]
    outputs = {}
    for name, array in program.outputs.items():
        if name in after:
            continue
        view = memories.view(array)
        if not view.is_whole or not view.memory.is_scratch or any(view.memory is memory for memory in kept):
            whole = View(Memory("float32", view.size), 0, (view.size,), (1,))
            statements.append(loop("copy", [_flat(view)], whole))
            view = whole
        view.memory.port = name
        outputs[name] = view
    needed = [*kept, *(view.memory for view in outputs.values())]
    statements = needed_only(statements, needed)
    statements = rows_first(statements)
    statements = with_unfolded_tables(statements) if small else statements
    statements = with_int8_weights(statements) if int8 else statements
    statements = with_starts(statements, needed)
    first: list[Statement] = []
    if two_phases:
        read = [view.memory for name, view in inputs.items() if name not in {tensor.name for tensor in manifest.state}]
        first, statements = in_two_phases(statements, read, [view.memory for view in outputs.values()])
        first = with_joined_loops(first)
    statements = with_joined_loops(statements)
    stays = handed_on(first, statements)
    statements = [*first, *statements]
    variables = _variables(statements, [*kept, *(view.memory for view in stays)])
    # The memory of a next state may become part of another, so it is found again behind the statements.
    count = len(statements)
    statements = in_place([*statements, *map(After, [*after.values(), *stays])], variables)
    found = [each.view for each in statements[count:] if isinstance(each, After)]
    states = dict(zip(after, found, strict=False))
    del statements[count:]
    offsets, scratch = _layout(statements, found, variables)
    answers = [name for name in manifest.graph_outputs() if name in outputs]
    return StepPlan(
        statements=tuple(statements),
        symbol=inputs.get(SYMBOL),
        features={feature.name: inputs[feature.name] for feature in manifest.features},
        outputs={name: outputs[name] for name in answers},
        state=tuple(StateView(t, inputs[t.name], states[t.next]) for t in manifest.state),
        offsets=offsets,
        scratch=scratch,
        variables=frozenset(variables),
        prepared=len(first),
    )


def _flat(view: View) -> View:
    return View(view.memory, view.offset, (view.size,), (1,)) if view.is_plain else view


def _variables(statements: Sequence[Statement], states: Sequence[Memory]) -> set[int]:
    """Return the scratch memory that one loop alone uses, at one place for each element."""
    uses: dict[int, list[tuple[int, View]]] = {}
    for number, statement in enumerate(statements):
        for view in (*statement.reads, *statement.writes):
            if view.memory.is_scratch:
                uses.setdefault(id(view.memory), []).append((number, view))
    states_of = {id(memory) for memory in states}
    return {
        memory
        for memory, found in uses.items()
        if memory not in states_of
        and len({number for number, _ in found}) == 1
        and isinstance(statements[found[0][0]], Loop)
        and all(view.same_elements(found[0][1]) for _, view in found)
    }


def _layout(
    statements: Sequence[Statement], states: Sequence[View], variables: set[int]
) -> tuple[dict[int, int], dict[str, int]]:
    """Return where scratch memory begins, and how much there is: memory is used again after its last reader."""
    times: dict[int, tuple[Memory, int, int]] = {}
    rows = {id(each.result.memory) for each in statements if isinstance(each, Row)}
    uses = [(number, view) for number, each in enumerate(statements) for view in (*each.reads, *each.writes)]
    uses += [(len(statements), view) for view in states]
    for number, view in uses:
        memory = view.memory
        if memory.is_scratch and id(memory) not in variables and id(memory) not in rows:
            _, first, last = times.get(id(memory), (memory, number, number))
            times[id(memory)] = memory, min(first, number), max(last, number)
    offsets: dict[int, int] = {}
    scratch: dict[str, int] = {}
    placed: list[tuple[str, int, int, int, int]] = []  # dtype, begin, end, first and last statement
    for memory, first, last in sorted(times.values(), key=lambda each: (-each[0].size, each[1])):
        size = -(-memory.size // _ALIGNED) * _ALIGNED
        taken = sorted((b, e) for d, b, e, f, t in placed if d == memory.dtype and f <= last and first <= t)
        begin = 0
        for other_begin, other_end in taken:
            if begin + size <= other_begin:
                break
            begin = max(begin, other_end)
        placed.append((memory.dtype, begin, begin + size, first, last))
        offsets[id(memory)] = begin
        scratch[memory.dtype] = max(scratch.get(memory.dtype, 0), begin + size)
    return offsets, scratch
