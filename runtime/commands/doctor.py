"""The commands `stepcell inspect` and `stepcell doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from .options import AsJson, ModelFile, argument, model

TargetName: TypeAlias = Literal[
    "pi-bookworm-64", "pi-bookworm-32", "pi-trixie-64", "pi-trixie-32", "this",
    "cortex-m0", "cortex-m4", "cortex-m7", "rv32imc",
]  # fmt: skip


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
    flash: Annotated[str | None, model("Flash of a microcontroller, like 256K.", "not checked")] = None,
    ram: Annotated[str | None, model("RAM of a microcontroller, like 64K.", "not checked")] = None,
    quantize: Annotated[Literal["int8"] | None, model(
        "Of a microcontroller: C with weights of this precision.", "float32")] = None,
    no_fpu: Annotated[bool, model(
        "Of a microcontroller: C with tables in the place of functions.", flag="--no-fpu")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Check whether a model file will load and run on a machine, and say what to install there.

    The exit code is 0 if it runs. On this machine every installed interpreter loads the file, replays its golden
    sequence and is timed. For a microcontroller the memory of the C that `stepcell c` writes is computed.

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
    from ..doctor.microcontroller import CORES, fit

    if target in CORES:
        if file is None:
            raise typer.BadParameter(f"a model file is needed for {target}.", param_hint="FILE")
        found = fit(file, target, flash=flash, ram=ram, int8=quantize == "int8", tables=no_fpu)
        print_text(printable_json(found.to_json()) if as_json else found.as_text())
        if found.problems:
            raise SystemExit(1)
        return
    if flash is not None or ram is not None or quantize is not None or no_fpu:
        hint = "--flash, --ram, --quantize, --no-fpu"
        raise typer.BadParameter(f"they are of a microcontroller ({', '.join(CORES)}).", param_hint=hint)
    diagnosis = diagnose(file, find_target(target))
    print_text(printable_json(diagnosis_as_json(diagnosis)) if as_json else as_text(diagnosis))
    if not diagnosis.runs:
        raise SystemExit(1)
