"""A calculation made ready to run: arrays that stay where they are, and the records of what is done to them.

Merges what is done to the parts of one tensor: the three sigmoids of an LSTM become one.

On tensors as small as those of a step a numpy call costs the same however many numbers it works on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...common.arrays import AnyArray
from . import blas
from .calls import Call, calls_of
from .graph import Calculation, CalculationError, Operation
from .operations import OPERATIONS
from .recorder import Record, Tape, constant, is_constant

_MERGEABLE = ("logistic", "tanh", "relu")  # one operand, element by element


def merged(operations: Sequence[Operation]) -> list[Operation]:
    """Return `operations`, with those of one kind done together that at least half of the parts of a split go through.

    They are done to the whole tensor before it is split again; each number comes out as before.
    """
    result: list[Operation] = []
    replaced: set[int] = set()
    for place, operation in enumerate(operations):
        if place in replaced:
            continue
        result.append(operation)
        if operation.kind != "split":
            continue
        for kind in _MERGEABLE:
            users = {
                other.inputs[0]: number
                for number, other in enumerate(operations)
                if other.kind == kind and other.inputs[0] in operation.outputs
            }
            if len(users) < 2 or 2 * len(users) < len(operation.outputs):
                continue
            whole, *how = operation.inputs
            name = f"{kind} of {operation.outputs[0]}"
            parts = tuple(
                operations[users[part]].outputs[0] if part in users else f"{name}, part {number}"
                for number, part in enumerate(operation.outputs)
            )
            result.append(Operation(kind, (whole,), (name,), origin=operation.origin))
            result.append(Operation("split", (name, *how), parts, operation.options, operation.origin))
            replaced.update(users.values())
    return result


@dataclass(frozen=True)
class Program:
    """A step, ready to run.

    Attributes:
        inputs: Name -> the array to write an input to, before a run.
        outputs: Name -> the array that an output is in, after a run: in one piece, and not in the memory of an input.
        records: What a run does.
        calls: The numpy calls that do it.
    """

    inputs: Mapping[str, AnyArray]
    outputs: Mapping[str, AnyArray]
    records: tuple[Record, ...]
    calls: tuple[Call, ...]

    def run(self) -> None:
        """Compute the outputs from the inputs."""
        usual = blas.threads()
        if usual > 1:
            blas.set_threads(1)
        try:
            for call in self.calls:
                call()
        finally:
            if usual > 1:
                blas.set_threads(usual)


def build_program(
    calculation: Calculation, shapes: Mapping[str, tuple[int, ...]], floats: Any = np.float32, *, merge: bool = True
) -> Program:
    """Make `calculation` ready to run. What is the same in every run is computed here, once.

    Args:
        calculation: What to compute.
        shapes: Name of each input -> its shape.
        floats: What floats are computed in: float32, or float64 for a referee.
        merge: Do together what is done to the parts of a split: fewer calls. Where the records become loops of another
            language, the parts are better.

    Raises:
        CalculationError: Shapes or types do not fit, or depend on the input.
    """
    tape = Tape(floats)
    values: dict[str, AnyArray | None] = {"": None}
    for name, content in calculation.constants.items():
        values[name] = constant(content, tape.floats if content.dtype in (np.float16, np.float32) else content.dtype)
    inputs = {}
    for name, source in calculation.inputs.items():
        dtype = tape.floats if source.dtype == "float32" else np.dtype(source.dtype)
        inputs[name] = values[source.value] = tape.new(shapes[name], dtype)
    for operation in merged(calculation.operations) if merge else calculation.operations:
        _add(operation, values, tape)
    outputs: dict[str, AnyArray] = {}
    for name, value in calculation.outputs.items():
        output = values.get(value)
        if output is None:
            raise CalculationError(f"nothing computes its output {name!r}")
        # What is only a view of an input would change as soon as the next input is written.
        own = output.flags.c_contiguous and not any(np.may_share_memory(output, each) for each in inputs.values())
        outputs[name] = output if own else tape.copy(output, output.shape, output.dtype)
    calls = tuple(call for record in tape.records for call in calls_of(record))
    return Program(inputs, outputs, tuple(tape.records), calls)


def _add(operation: Operation, values: dict[str, AnyArray | None], tape: Tape) -> None:
    """Record `operation`, or compute it at once where all it takes is constant."""
    before = len(tape.records)
    try:
        arguments = [values[name] for name in operation.inputs]
        while arguments and arguments[-1] is None:
            arguments.pop()
        with np.errstate(all="ignore"):
            made = OPERATIONS[operation.kind](tape, *arguments, **operation.options)
            results = [made] if isinstance(made, np.ndarray) else list(made)
            if all(argument is None or is_constant(argument) for argument in arguments):
                for record in tape.records[before:]:
                    for call in calls_of(record):
                        call()
                del tape.records[before:]
                results = [constant(result) for result in results]
    except KeyError as error:
        raise CalculationError(f"nothing computes the value {error} that its {operation.origin} takes") from error
    except CalculationError as error:
        raise CalculationError(f"{error} ({operation.origin})") from error
    except Exception as error:  # of numpy: shapes, types or numbers that do not fit
        raise CalculationError(f"its {operation.origin} cannot be computed: {error}") from error
    if len(results) < len(operation.outputs):
        raise CalculationError(f"its {operation.origin} has {len(operation.outputs)} results instead of {len(results)}")
    values.update({name: result for name, result in zip(operation.outputs, results, strict=False) if name})
