"""Thresholds: from which surprise on a symbol is an alarm."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from .errors import OtherModelError, ThresholdError
from .format_number import refuse_newer
from .model_file import ModelFile
from .whole_file import write_whole_file

FORMAT = 1
_NUMBER = (int, float)
_KINDS: dict[str, tuple[type, ...]] = {
    "fingerprint": (str,), "symbol_bits": _NUMBER, "sequence_bits": (*_NUMBER, type(None)), "false_alarms": _NUMBER,
    "symbols": (int,), "sequences": (int,),
}  # fmt: skip


@dataclass(frozen=True)
class Threshold:
    """Surprises that normal data exceed as rarely as was wanted. Made by `calibrate`.

    Attributes:
        fingerprint: That of the model file it holds for.
        symbol_bits: A symbol is surprising above this.
        sequence_bits: A sequence is an alarm from its first symbol above this on; None: there were too few to tell.
        false_alarms: The share of normal symbols, and of normal sequences, that may be above.
        symbols: How many normal symbols had a prediction.
        sequences: How many normal sequences there were.
    """

    fingerprint: str
    symbol_bits: float
    sequence_bits: float | None
    false_alarms: float
    symbols: int
    sequences: int

    def to_json(self) -> dict[str, Any]:
        """Return the threshold as a JSON object."""
        return {"format": FORMAT, **vars(self)}

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all.

        Args:
            path: Where to write; a file there is replaced.

        Raises:
            OutputError: It cannot be written.
        """
        write_whole_file(Path(path), json.dumps(self.to_json(), indent=2).encode() + b"\n")


def read_threshold(path: str | Path, file: ModelFile) -> Threshold:
    """Read a threshold.

    Args:
        path: What `Threshold.save` wrote.
        file: The model that it must have been calibrated with.

    Raises:
        ThresholdError: There is none that this version can read.
        OtherModelError: It was made for another model file.
    """
    path = Path(path)
    remedy = "Make it anew with: stepcell calibrate MODEL NORMAL_DATA --out FILE"
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ThresholdError(f"There is no threshold {path}. {remedy}") from None
    except OSError as error:
        raise ThresholdError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise ThresholdError(f"{path} is not JSON ({error}). {remedy}") from error
    format = found.get("format") if isinstance(found, dict) else None
    refuse_newer(format, FORMAT, str(path), ThresholdError)
    wrong = [name for name, kinds in _KINDS.items() if not _is(found, name, kinds)]
    if format != FORMAT or wrong:
        raise ThresholdError(f"{path} is no threshold: wrong are {', '.join(wrong) or 'format'}. {remedy}")
    threshold = Threshold(**{name: found[name] for name in _KINDS})
    if threshold.fingerprint != file.manifest.fingerprint:
        raise OtherModelError(
            f"{path} was calibrated with a model of fingerprint {threshold.fingerprint[:12]}..., {file.name} has "
            f"{file.manifest.fingerprint[:12]}... Another format or precision of one network is surprised a little "
            f"differently. {remedy}"
        )
    return threshold


def _is(found: Any, name: str, kinds: tuple[type, ...]) -> bool:
    value: Any = found.get(name) if isinstance(found, dict) else None
    if isinstance(value, float) and not isfinite(value):
        return False
    return isinstance(value, kinds) and not isinstance(value, bool)
