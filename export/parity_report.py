"""parity.json: everything that was measured in an export, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from .. import __version__
from .comparison import recommendations
from .parity import Parity
from .precision import GATES, file_name


def parity_report(name: str, sizes: Mapping[str, int], parity: Sequence[Parity]) -> bytes:
    """Return its content; `sizes` are the bytes of each file by its name."""
    report = {
        "name": name,
        "producer": f"stepcell {__version__}",
        "gates": {entry.quantization: GATES[entry.quantization].to_json() for entry in parity},
        "files": {file: {"bytes": size} for file, size in sizes.items()},
        "parity": [
            {"file": file_name(entry.format, entry.quantization), **entry.to_json(), "microseconds": entry.microseconds}
            for entry in parity
        ],
        "recommendations": recommendations(parity, sizes),
    }
    return (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()
