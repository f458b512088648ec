"""Precisions: how the weights of a file are stored.

- float32: as Keras has them.
- float16: matrices rounded to 11 binary digits and computed with in float32, as every interpreter does on a CPU. The
  rounding is done here, before any converter sees the weights, so that the reference rounds alike. Vectors and
  matrices of less than 256 weights stay float32, and so do numbers that a converter computes from weights.
- int8: 8 bits a weight and a float32 scale for each column of a matrix; its other factor is quantised to 8 bits at
  every step (dynamic range). Matrices of less than 1,024 weights, biases and the state stay float32. For TensorFlow
  Lite Micro the scale of that factor is fixed, and the product has 8 bits too.
- int16: for TensorFlow Lite Micro alone: weights as with int8; their factors and products have 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ...runtime.common.arrays import Float32
from ...runtime.common.errors import NotSteppableError, OptionError, WrongFormatError
from ...runtime.format.model_file import FORMATS

FLOAT32, FLOAT16, INT8, INT16 = "float32", "float16", "int8", "int16"
QUANTIZATIONS = (FLOAT16, INT8)  # float32 is always written
SEQUENCE = "sequence.onnx"  # format: a graph of whole sequences; to containers and interpreters it is ONNX
TFLM = "tflm.tflite"  # format: a graph for TensorFlow Lite Micro; to containers it is TFLite
TARGETS = {"tflm": TFLM}  # target -> the format for it
_QUANTIZATIONS_OF = {TFLM: (INT8, INT16)}  # formats with other precisions
CODE_FORMATS = ("c", "js", "html")  # code that is printed from a float32 file
FEW_BITS = (INT8, INT16)  # precisions whose products are rounded too
BYTES_PER_WEIGHT = {FLOAT32: 4, FLOAT16: 2, INT8: 1, INT16: 1}
FEWEST_INT8 = 1024  # weights; the TFLite converter leaves smaller matrices alone, and so do we for ONNX
FEWEST_HALF = 256  # weights; the operator that restores a smaller one takes as many bytes as it saves

Rounding: TypeAlias = Callable[[Float32], Float32]


def unrounded(weights: Float32) -> Float32:
    """Return `weights`."""
    return weights


def to_half(weights: Float32) -> Float32:
    """Return a matrix of weights rounded to float16, as float32; vectors and small matrices stay.

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
    """Return scales of int8 columns rounded to float16, as float32; unchanged if one is out of its range.

    That moves a weight by 0.03 of a step of its 8 bits at most, and saves half the bytes of the scales.
    """
    if scales.min() < np.finfo(np.float16).smallest_normal or scales.max() > np.finfo(np.float16).max:
        return scales
    return scales.astype(np.float16).astype(np.float32)


def rounding_of(quantization: str) -> Rounding:
    """Return the rounding of weights before their conversion."""
    return to_half if quantization == FLOAT16 else unrounded


def file_name(format: str, quantization: str) -> str:
    """Return "model.tflite", "model.int8.onnx", "model.sequence.onnx" and so on."""
    return f"model.{format}" if quantization == FLOAT32 else f"model.{quantization}.{format}"


def container_of(format: str) -> str:
    """Return the container of files of `format`: "tflite" or "onnx"."""
    return format.rpartition(".")[2]


def check_formats(given: Sequence[str]) -> list[str]:
    """Return the formats once each, or raise WrongFormatError."""
    names = [given] if isinstance(given, str) else list(dict.fromkeys(given))
    known = (*FORMATS, *CODE_FORMATS)
    if not names or not set(names) <= set(known):
        raise WrongFormatError(f"The formats are {names}; give some of {', '.join(known)}.")
    return names


def check_fpu(fpu: bool, formats: Sequence[str]) -> None:
    """Raise OptionError if C is to do without a floating point unit, and none is to be written."""
    if not fpu and "c" not in formats:
        raise OptionError("--no-fpu is about C, which is not to be written. Give --format c too, or leave it out.")


def format_of_target(target: str) -> str:
    """Return the format of the files for a target, or raise WrongFormatError."""
    if target not in TARGETS:
        raise WrongFormatError(f"There is no target {target!r} to export for; give {' or '.join(TARGETS)}.")
    return TARGETS[target]


def check_quantizations(given: Sequence[str], formats: Sequence[str] = FORMATS) -> list[str]:
    """Return the quantisations once each, for files of `formats`, or raise WrongFormatError."""
    names = [given] if isinstance(given, str) else list(dict.fromkeys(given))
    known = dict.fromkeys(each for format in formats for each in quantizations_of(format))
    if not set(names) <= set(known):
        listed = ", ".join(map(repr, names))
        alone = f" {INT16} is of --target tflm alone." if INT16 in names and INT16 not in known else ""
        raise WrongFormatError(
            f"Weights of these files cannot be stored as {listed}; give one or both of {', '.join(known)}. float32 is "
            f"always written.{alone}"
        )
    return [name for name in (FLOAT16, INT8, INT16) if name in names]


def quantizations_of(format: str) -> tuple[str, ...]:
    """Return the precisions that files of `format` have beside float32."""
    return _QUANTIZATIONS_OF.get(format, QUANTIZATIONS)
