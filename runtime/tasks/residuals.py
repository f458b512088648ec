"""Thresholds of residuals: how far the answers of a model of values or labels are from the right ones on normal data.

The residual of a value is |answer - right value|; that of a label the surprise of the right one in bits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf
from pathlib import Path
from sys import float_info
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..common.arrays import Indices
from ..common.atomic_write import atomic_write
from ..common.errors import OptionError, ThresholdError
from ..format.model_file import ModelFile
from .anomaly import FORMAT, rarely_exceeded, read_threshold_file, require_same_model
from .distribution import Float64

RESIDUALS = "residuals"
_REMEDY = "Make it anew with: stepcell calibrate MODEL NORMAL_DATA --target COLUMN --out FILE"


@dataclass(frozen=True)
class ResidualThreshold:
    """Residuals that normal rows exceed at a given rate. Made by `calibrate_residuals`.

    Attributes:
        fingerprint: Fingerprint of the model file it was calibrated with.
        columns: Names of the K values; of labels their column, K is 1.
        residuals: For each of them: a row is an alert above this residual.
        sequence_residuals: For each: a sequence is an alarm from its first row above this on; None: too few sequences.
        false_alarms: The share of normal rows, and of normal sequences, that may be above; for each value.
        rows: Number of normal rows.
        sequences: Number of normal sequences.
    """

    fingerprint: str
    columns: tuple[str, ...]
    residuals: tuple[float, ...]
    sequence_residuals: tuple[float, ...] | None
    false_alarms: float
    rows: int
    sequences: int

    def is_alert(self, residuals: ArrayLike) -> tuple[bool, ...]:
        """Return for each of K residuals, the differences of an answer from what was right, whether it is too large.

        Args:
            residuals: Of one row, shape (K,); the sign does not matter.
        """
        return _above(residuals, self.residuals)

    def is_alarm(self, residuals: ArrayLike) -> tuple[bool, ...]:
        """Return the same for the limits of sequences; nothing is an alarm if there are none."""
        return _above(residuals, self.sequence_residuals or (inf,) * len(self.residuals))

    def to_json(self) -> dict[str, Any]:
        """Return the threshold as a JSON object."""
        return {"format": FORMAT, "kind": RESIDUALS, **vars(self)}

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all.

        Raises:
            OutputError: It cannot be written.
        """
        atomic_write(Path(path), json.dumps(self.to_json(), indent=2).encode() + b"\n")


def read_residual_threshold(path: str | Path, file: ModelFile) -> ResidualThreshold:
    """Read a threshold of residuals.

    Args:
        path: A file written by `ResidualThreshold.save`.
        file: The model that it must have been calibrated with.

    Raises:
        ThresholdError: The file does not exist or has no threshold of residuals that this version can read.
        OtherModelError: It was made for another model file.
    """
    path = Path(path)
    found = read_threshold_file(path, _REMEDY)
    columns, alone = found.get("columns"), found.get("sequence_residuals")
    columns = columns if isinstance(columns, list) else []
    answers = file.manifest.output_size if file.manifest.output == "linear" else 1
    count = len(columns)
    right = {
        "format": found.get("format") == FORMAT,
        "kind": found.get("kind") == RESIDUALS,
        "fingerprint": isinstance(found.get("fingerprint"), str),
        "columns": count == answers and all(isinstance(name, str) for name in columns),
        "residuals": _are_numbers(found.get("residuals"), count),
        "sequence_residuals": "sequence_residuals" in found and (alone is None or _are_numbers(alone, count)),
        "false_alarms": _are_numbers([found.get("false_alarms")], 1) and found["false_alarms"] < 1,
        "rows": type(found.get("rows")) is int and found["rows"] > 0,
        "sequences": type(found.get("sequences")) is int and found["sequences"] >= 0,
    }
    if wrong := [name for name, is_right in right.items() if not is_right]:
        raise ThresholdError(f"{path} is no threshold of residuals: wrong are {', '.join(wrong)}. {_REMEDY}")
    require_same_model(path, found["fingerprint"], file, f"answers a little differently. {_REMEDY}")
    return ResidualThreshold(
        found["fingerprint"], tuple(columns), tuple(map(float, found["residuals"])),
        None if alone is None else tuple(map(float, alone)), float(found["false_alarms"]), found["rows"],
        found["sequences"],
    )  # fmt: skip


def _above(residuals: ArrayLike, limits: Sequence[float]) -> tuple[bool, ...]:
    sizes = np.abs(np.asarray(residuals, np.float64)).reshape(-1)
    return tuple(bool(size > limit) for size, limit in zip(sizes, limits, strict=True))


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, list) and len(values) == count
        and all(type(value) in (int, float) and 0 <= value <= float_info.max for value in values)  # not NaN
    )  # fmt: skip


def calibrate_residuals(
    file: ModelFile, columns: Sequence[str], residuals: Float64, starts: Indices, false_alarms: float = 0.01
) -> ResidualThreshold:
    """Return the residuals that normal rows, and sequences, exceed at the rate `false_alarms`.

    As for `calibrate`, a further sequence is above with a probability of at most `false_alarms` if it is exchangeable
    with these (conformal prediction); for a single row this holds approximately.

    Args:
        file: The model.
        columns: Names of its K values; or the column of its labels.
        residuals: Of N rows that the model was not trained on, float64 of shape (N, K); signs do not matter.
        starts: Index of the first row of each sequence, and N; int64 of shape (S + 1,).
        false_alarms: The share of normal rows, and of normal sequences, that may be above.

    Raises:
        OptionError: `false_alarms` is not between 0 and 1.
        ThresholdError: There are too few rows.
    """
    if not 0 < false_alarms < 1:
        raise OptionError(f"A share of false alarms is between 0 and 1, not {false_alarms}: 0.01 is one in a hundred.")
    sizes = np.abs(residuals)
    largest = np.stack([sizes[first:last].max(axis=0) for first, last in pairwise(starts.tolist()) if first < last])
    rows = [rarely_exceeded(column, false_alarms) for column in sizes.T]
    alone = [rarely_exceeded(column, false_alarms) for column in largest.T]
    known = [limit for limit in rows if limit is not None]
    if len(known) < len(rows):
        raise ThresholdError(
            f"A share of {false_alarms:g} false alarms cannot be told from {len(sizes)} rows: it takes "
            f"{ceil(1 / false_alarms) - 1}. Give more normal data, or allow more false alarms."
        )
    of_sequences = [limit for limit in alone if limit is not None]
    return ResidualThreshold(
        file.manifest.fingerprint, tuple(columns), tuple(known),
        tuple(of_sequences) if len(of_sequences) == len(alone) else None, false_alarms, len(sizes), len(largest),
    )  # fmt: skip
