"""The commands `stepcell inspect` and `stepcell doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from .options import AsJson, ModelFile, argument, model

TargetName: TypeAlias = Literal["pi-bookworm-64", "pi-bookworm-32", "pi-trixie-64", "pi-trixie-32", "this"]


def inspect(file: ModelFile, as_json: AsJson = False) -> None:
    """Verify a model file and show its manifest. No interpreter is needed.

    Example: stepcell inspect build/memory/model.tflite
    """
    from .. import read_model_file
    from ..common.printable import printable_json
    from ..common.terminal import print_text
    from ..format.describe import describe_manifest

    manifest = read_model_file(file).manifest
    if as_json:
        print(printable_json(manifest.to_json(), indent=2))
    else:
        print_text(describe_manifest(file, manifest))


def doctor(
    file: Annotated[Path | None, argument("Model file from any tool; without one, check the target alone.")] = None,
    target: Annotated[TargetName, model("Machine that the file is to run on.")] = "this",
    as_json: AsJson = False,
) -> None:
    """Check whether a model file will load and run on a machine, and say what to install there.

    The exit code is 0 if it runs. On this machine every installed interpreter loads the file, replays its golden
    sequence and is timed.

    Example: stepcell doctor model.tflite --target pi-bookworm-64
    """
    from ..common.errors import MissingPackageError

    try:
        import numpy  # noqa: F401
    except ImportError as error:  # on a Pi often for want of a C library that the wheel does not bring
        reasons = [line for line in str(error).splitlines() if "Original error" in line] or [str(error)]
        remedy = "sudo apt install python3-numpy libopenblas0"
        raise MissingPackageError(
            f"does not run here: numpy cannot be imported ({reasons[0]}). Try: {remedy}"
        ) from error
    from ..common.printable import printable_json
    from ..common.terminal import print_text
    from ..doctor import as_json as diagnosis_as_json
    from ..doctor import as_text, diagnose, find_target

    diagnosis = diagnose(file, find_target(target))
    print_text(printable_json(diagnosis_as_json(diagnosis)) if as_json else as_text(diagnosis))
    if not diagnosis.runs:
        raise SystemExit(1)
