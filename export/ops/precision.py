"""Precisions: how the weights of a file are stored, and how far from Keras a file of each may be.

- float32: as Keras has them.
- float16: matrices rounded to 11 binary digits and computed with in float32, as every interpreter does on a CPU. The
  rounding is done here, before any converter sees the weights, so that the referee can round alike. Vectors and
  matrices of less than 256 weights stay float32, and so does what a converter computes from weights.
- int8: 8 bits a weight and a float32 scale for each column of a matrix; what a matrix is multiplied with is brought to
  8 bits at every step (dynamic range). Matrices of less than 1,024 weights, biases and the state stay float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

import numpy as np

from ...runtime.common.arrays import Float32
from ...runtime.common.errors import NotSteppableError, WrongFormatError

FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"
QUANTIZATIONS = (FLOAT16, INT8)  # what can be asked for; float32 is always written
SEQUENCE = "sequence.onnx"  # format: a graph of whole sequences; to containers and interpreters it is ONNX
BYTES_PER_WEIGHT = {FLOAT32: 4, FLOAT16: 2, INT8: 1}
FEWEST_INT8 = 1024  # weights; the TFLite converter leaves smaller matrices as they are, and so do we for ONNX
FEWEST_HALF = 256  # weights; what restores a smaller one takes as many bytes as it saves

Rounding: TypeAlias = Callable[[Float32], Float32]


@dataclass(frozen=True)
class Gate:
    """How far from Keras a file may be.

    Attributes:
        error: Largest difference of a probability.
        state: Largest difference of a state tensor, relative for values above 1. For quantised weights that of a single
            step from a given state: it tells rounding from a state that goes to the wrong place.
        agreement: Smallest share of steps at which both name the same most likely symbol.
        nll: Largest change of the mean negative log-probability, in nats, to either side.
        noise: Of outputs that are values: the largest root mean square of the difference, as a share of the standard
            deviation of what Keras answers.
    """

    error: float = inf
    state: float = inf
    agreement: float = 0.0
    nll: float = inf
    noise: float = inf

    def to_json(self) -> dict[str, float]:
        """Return what is limited as a JSON object."""
        limits = {
            "max_abs_error": self.error,
            "single_step_state": self.state,
            "nll_change": self.nll,
            "noise_of_values": self.noise,
        }
        return {**{n: limit for n, limit in limits.items() if limit < inf}, "argmax_agreement": self.agreement}

    def missed(self, error: float, agreement: float, nll: float, noise: float = 0.0) -> list[str]:
        """Say what is beyond the gate, with the figures; not a number is beyond every gate."""
        problems = []
        if not error <= self.error:
            problems.append(f"an output is off by {error:.2g} (allowed {self.error:g})")
        if not agreement >= self.agreement:
            problems.append(
                f"{100 * agreement:.2f} % of the answers are the same (at least {100 * self.agreement:g} %)"
            )
        if not abs(nll) <= self.nll:
            problems.append(f"the NLL changes by {nll:+.2g} nats (at most {self.nll:g})")
        if not noise <= self.noise:
            problems.append(f"values have noise of {100 * noise:.2g} % (at most {100 * self.noise:g} %)")
        return problems


# float32: other kernels and other orders of summation; 2.6e-6 was the largest difference seen in probabilities (256
# units, 20,000 steps), and a wrong mapping differs by 1e-2 and more.
FLOAT32_TOLERANCE = 1e-5
# The states of a single step were off by 2e-3 (float16) and 0.1 (int8) at most; 0.5 and more where they were miswired.
GATES = {
    FLOAT32: Gate(error=FLOAT32_TOLERANCE, state=FLOAT32_TOLERANCE),
    FLOAT16: Gate(error=2e-3, state=1e-2, agreement=0.999),
    INT8: Gate(state=0.3, agreement=0.98, nll=0.01, noise=0.05),
}


def as_they_are(weights: Float32) -> Float32:
    """Return `weights`."""
    return weights


def to_half(weights: Float32) -> Float32:
    """Return a matrix of weights rounded to float16, as float32, and vectors and small matrices as they are.

    Raises:
        NotSteppableError: One is beyond the largest number of float16.
    """
    if weights.ndim < 2 or weights.size < FEWEST_HALF:
        return weights
    with np.errstate(over="ignore"):
        rounded = weights.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise NotSteppableError(
            f"A weight of {np.abs(weights).max():.3g} is beyond float16, which ends at 65504. Leave out "
            "--quantize float16. Nothing was written."
        )
    return rounded


def is_half(weights: Float32) -> bool:
    """Tell whether it pays to store `weights` as float16, and loses nothing."""
    with np.errstate(over="ignore"):
        return weights.size >= FEWEST_HALF and np.array_equal(weights.astype(np.float16), weights)


def half_scales(scales: Float32) -> Float32:
    """Return scales of int8 columns rounded to float16, as float32; as they are where one is too small or large for it.

    That moves a weight by 0.03 of a step of its 8 bits at most, and saves half the bytes of the scales.
    """
    if scales.min() < np.finfo(np.float16).smallest_normal or scales.max() > np.finfo(np.float16).max:
        return scales
    return scales.astype(np.float16).astype(np.float32)


def rounding_of(quantization: str) -> Rounding:
    """Return what is done to weights before they are converted."""
    return to_half if quantization == FLOAT16 else as_they_are


def file_name(format: str, quantization: str) -> str:
    """Return "model.tflite", "model.int8.onnx", "model.sequence.onnx" and so on."""
    return f"model.{format}" if quantization == FLOAT32 else f"model.{quantization}.{format}"


def container_of(format: str) -> str:
    """Return what `format` is to containers and interpreters: "tflite" or "onnx"."""
    return format.rpartition(".")[2]


def check_quantizations(given: Sequence[str]) -> list[str]:
    """Return the quantisations once each, or raise WrongFormatError."""
    names = [given] if isinstance(given, str) else list(dict.fromkeys(given))
    if not set(names) <= set(QUANTIZATIONS):
        raise WrongFormatError(
            f"Weights cannot be stored as {', '.join(map(repr, names))}; give one or both of "
            f"{', '.join(QUANTIZATIONS)}. float32 is always written."
        )
    return [name for name in QUANTIZATIONS if name in names]
