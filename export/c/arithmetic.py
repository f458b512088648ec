"""How a step in C computes: float32 as the file does, or with int8 weights, or with tables; and the same in numpy.

A program in float64 with the same int8 weights is right for the C. How far from it the C may be is measured on one in
float32 that rounds as the C does: factors of int8 weights to 16 bits, functions to their tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.format.manifest import Manifest
from ...runtime.format.model_file import ModelFile
from ...runtime.format.tensor_specs import SYMBOL
from ...runtime.interpreters.numpy_backend import step_program
from ...runtime.interpreters.numpy_engine import Program
from ...runtime.interpreters.numpy_engine.calls import Call, calls_of
from ...runtime.interpreters.numpy_engine.recorder import Record, is_constant
from ...runtime.interpreters.step_plan.int8 import Int8Weights, to_int8
from ...runtime.interpreters.step_plan.statements import is_product_of_row, is_row_of_table
from ...runtime.interpreters.step_plan.unfold import factors_of
from ...runtime.worker.messages import RunResult, RunSpec
from . import tables


@dataclass(frozen=True)
class Arithmetic:
    """How the C of a step computes.

    Attributes:
        int8: Weights of products and tables are int8; what they are multiplied with has 16 bits.
        tables: Hyperbolic tangent, logistic and softmax are looked up, for a core without FPU.
    """

    int8: bool = False
    tables: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether it computes as the file says, but for the rounding of float32."""
        return not (self.int8 or self.tables)

    @property
    def names(self) -> list[str]:
        """The names of what differs from float32 as in the file: "int8", "no FPU"."""
        return [name for name, chosen in (("int8", self.int8), ("no FPU", self.tables)) if chosen]

    @property
    def option(self) -> str:
        """The option that makes it coarse."""
        return "--quantize int8" if self.int8 else "--no-fpu"


EXACT = Arithmetic()


def exact_program(file: ModelFile, arithmetic: Arithmetic = EXACT) -> Program:
    """Return the step in float64, with the weights of the C."""
    program = step_program(file, np.float64)
    return changed_program(program, replace(arithmetic, tables=False), rounds=False)


def rounded_program(file: ModelFile, arithmetic: Arithmetic = EXACT) -> Program:
    """Return the step in float32, rounding what the C rounds."""
    program = step_program(file)
    return changed_program(program, arithmetic, rounds=True)


def run_program(program: Program, manifest: Manifest, spec: RunSpec) -> RunResult:
    """Step the symbols of `spec` by numpy calls."""
    main, *others = (name for name in manifest.graph_outputs() if not name.startswith("next_"))
    outputs: dict[str, list[AnyArray]] = {name: [] for name in (main, *others)}
    states: dict[str, list[AnyArray]] = {tensor.name: [] for tensor in manifest.state}
    last = len(spec.inputs) - 1
    for step in range(len(spec.inputs)):
        if step == 0 or spec.each:
            for name in states:
                program.inputs[name][...] = spec.state[name][step if spec.each else 0]
        if SYMBOL in program.inputs:
            program.inputs[SYMBOL][...] = spec.inputs.ids[step]
        for name, values in spec.inputs.features.items():
            program.inputs[name][...] = values[step]
        program.run()
        for name, rows in outputs.items():
            rows.append(program.outputs[name][0].copy())
        for tensor in manifest.state:
            following = program.outputs[tensor.next]
            if spec.each or step == last:
                states[tensor.name].append(following[0].copy())
            if not spec.each:
                program.inputs[tensor.name][...] = following
    kept = spec.kept_steps
    return RunResult(
        np.array(outputs[main])[kept],
        {name: np.array(rows) for name, rows in states.items()},
        None,
        {name: np.array(outputs[name])[kept] for name in others},
    )


def changed_program(program: Program, arithmetic: Arithmetic, *, rounds: bool) -> Program:
    """Return a program with int8 weights or tables; `rounds`: what int8 weights are multiplied with has 16 bits."""
    if arithmetic.is_exact:
        return program
    calls = [call for record in program.records for call in _calls(record, arithmetic, rounds)]
    return replace(program, calls=tuple(calls))


def _calls(record: Record, arithmetic: Arithmetic, rounds: bool) -> list[Call]:
    if arithmetic.tables and record.kind in ("logistic", "tanh", "softmax"):
        return [_lookup(record)]
    if arithmetic.int8 and record.kind == "matmul" and is_product_of_row(record):
        return [_product(record, rounds)]
    if arithmetic.int8 and record.kind == "take" and is_row_of_table(record) and _is_real(record.operands[0]):
        return [_row(record, rounds)]
    if record.parts:
        return [call for part in record.parts for call in _calls(part, arithmetic, rounds)]
    return calls_of(record)


def _lookup(record: Record) -> Call:
    (x,), out = record.operands, record.result
    function: Any = {"logistic": tables.logistic, "tanh": tables.tanh}.get(record.kind)

    def call() -> None:
        out[...] = function(x) if function else tables.softmax(x, record.options["axis"])

    return call


def _product(record: Record, rounds: bool) -> Call:
    (x, weights), out = record.operands, record.result
    quantised = to_int8(np.asarray(weights, np.float32))
    real = _in_full(quantised, weights)

    def call() -> None:
        out[...] = (_in_16_bits(x, quantised.levels) if rounds else x) @ real

    return call


def _in_full(quantised: Int8Weights, weights: AnyArray) -> AnyArray:
    found: AnyArray = quantised.numbers.astype(weights.dtype) * quantised.scales
    return found


def _in_16_bits(x: AnyArray, levels: int) -> AnyArray:
    top = np.abs(x).max(initial=0)
    if not top > 0:
        return x
    rounded: AnyArray = np.rint(x * (levels / top)) * (top / levels)
    return rounded


def _row(record: Record, rounds: bool) -> Call:
    (table, ids), out = record.operands, record.result
    rows = np.asarray(table.reshape(len(table), -1), np.float32)
    factors = factors_of(rows)
    if factors is None:
        real = _in_full(to_int8(rows), table).reshape(table.shape)
        return lambda: real.take(ids, 0, out)
    looked_up, quantised = _in_full(to_int8(factors.rows), table), to_int8(factors.weights)
    weights = _in_full(quantised, table)

    def call() -> None:
        x = looked_up[int(ids.reshape(-1)[0])]
        found = (_in_16_bits(x, quantised.levels) if rounds else x) @ weights + factors.start
        out[...] = found.reshape(out.shape)

    return call


def _is_real(table: AnyArray) -> bool:
    return is_constant(table) and table.dtype.kind == "f"
