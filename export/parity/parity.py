"""The record of one measurement: how far one file on one runtime is from Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any

from ...runtime.common.arrays import Floats

STEPS = 10_000
INITIAL, RANDOM, EACH = "initial", "random", "each"


@dataclass(frozen=True)
class InUnits:
    """The error of one value, in its own units.

    Attributes:
        output: Name of the output.
        index: Which of its numbers.
        error: Largest difference from Keras.
        range: The largest value less the smallest, as Keras answers.
    """

    output: str
    index: int
    error: float
    range: float

    @property
    def share(self) -> float:
        """The error as a share of the range; infinite where the value does not change."""
        return self.error / self.range if self.range else inf if self.error else 0.0

    def describe(self) -> str:
        """Return the number that it is about."""
        return f"{self.output}[{self.index}]"

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        figures = {"error": _rounded(self.error), "range": float(f"{self.range:.4g}")}
        return {"output": self.output, "index": self.index, **figures}


@dataclass(frozen=True)
class Parity:
    """How far one file on one runtime is from Keras, over one sequence.

    Differences are shares of the range of a number (of a probability 1; see `scale.py`), unless they say otherwise.

    Attributes:
        backend: Name of the backend.
        runtime: Interpreter and version.
        format: "tflite", "onnx" or "sequence.onnx" (a graph of whole sequences).
        start: "initial" or "random": the state before the first step, carried from there (random numbers, or a state
            that the model reaches where Keras lets none in); "each": every step began from a given state.
        steps: Symbols stepped.
        max_abs_error: Largest difference of an output.
        max_state_error: Largest difference of a state tensor: after the last step where the state was carried, after
            any step for "each".
        first_step: The first step, from 1, at which anything is off by more than the tolerance; None: nowhere.
        first_tensor: The tensor that is farthest off at that step.
        argmax_agreement: Share of steps at which both name the same most likely symbol; None: all outputs are values.
        nll_change: Mean negative log-probability of the symbol that follows (of Keras's most likely one where the
            output is not the next symbol), the file's minus Keras's, in nats; None: the main output is of values.
        rounding: Largest difference of float32 from float64 arithmetic on this sequence, in numpy; float32 is rounded
            as other programs may round it.
        error_first_tenth: Mean over the first tenth of the steps of the largest difference of a probability.
        error_last_tenth: The same over the last tenth: where errors pile up it is larger.
        quantization: Precision of the weights.
        missed: Everything beyond the tolerance of this precision, as far as this run can tell; see `check`.
        other_ways: Name of another way to step the file ("two phases", "a batch") -> the largest difference from the
            first; those that the file and the runtime have.
        microseconds: Processor time of a step; None: not measured.
        value_noise: Relative error of values: root mean square difference over the standard deviation of the value, the
            largest of all; None: no output is of values.
        errors: The largest difference of a probability at each step, float of shape (T,); where not all are compared,
            at the next one that is.
        in_units: Of outputs that are values: the error of each number in its own units (of many the worst).
        compared: Steps whose outputs were compared, where those of all would fill the memory; None: all of them.
    """

    backend: str
    runtime: str
    format: str
    start: str
    steps: int
    max_abs_error: float
    max_state_error: float
    first_step: int | None
    first_tensor: str | None
    argmax_agreement: float | None
    nll_change: float | None
    rounding: float
    error_first_tenth: float
    error_last_tenth: float
    quantization: str
    missed: tuple[str, ...]
    other_ways: Mapping[str, float]
    microseconds: float | None = field(compare=False)
    errors: Floats = field(compare=False, repr=False)
    value_noise: float | None = None
    compared: int | None = None
    in_units: tuple[InUnits, ...] = ()

    @property
    def error(self) -> float:
        """The largest difference of all."""
        return max(self.max_abs_error, self.max_state_error)

    @property
    def how(self) -> str:
        """The state before each step, in words."""
        return "each from a given state" if self.start == EACH else f"carried from the {self.start} state"

    @property
    def holds(self) -> bool:
        """Tell whether the file is proven as far as this sequence can prove it."""
        return not self.missed

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object, the same in every run: no time, and two digits, as more are noise.

        None is left out.
        """
        figures = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("missed", "microseconds", "errors")
        }
        figures = {name: figure for name, figure in figures.items() if figure is not None}
        rounded = {
            name: _rounded(value) if isinstance(value, float) and name != "argmax_agreement" else value
            for name, value in figures.items()
        }
        rounded["in_units"] = [each.to_json() for each in self.in_units]
        rounded["other_ways"] = {name: _rounded(error) for name, error in self.other_ways.items()}
        if not self.in_units:
            del rounded["in_units"]
        return {**rounded, "within_gate": self.holds}


def _rounded(value: float) -> float:
    return float(f"{value:.1e}")
