"""The command `stepcell c`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from ...runtime.commands import options as opt


def c(
    file: opt.ModelFile,
    out: Annotated[Path, opt.output("Folder for the C files.")],
    name: Annotated[str | None, opt.output(
        "Beginning of the names of functions and files.", "name of the model")] = None,
    single_header: Annotated[bool, opt.output(
        "Write one header with the functions in it, as for Arduino.", flag="--single-header")] = False,
    package: Annotated[Literal["arduino", "platformio", "zephyr", "esp-idf"] | None, opt.output(
        "Write the folder of a library, with an example, for this ecosystem.", "two files")] = None,
    quantize: Annotated[Literal["int8"] | None, opt.output(
        "Store the weights in 8 bits: a quarter of the flash, and faster on cores without FPU.", "float32")] = None,
    no_fpu: Annotated[bool, opt.output(
        "For a core without floating point unit: look up tanh, sigmoid and softmax in tables.",
        flag="--no-fpu")] = False,
    allow_inaccurate: Annotated[bool, opt.parity(
        "With --quantize or --no-fpu: write the files even if the answers change more than those of an int8 file may.",
        flag="--allow-inaccurate")] = False,
    unproven: Annotated[bool, opt.parity(
        "Write the files without compiling and comparing them.", flag="--unproven")] = False,
    steps: opt.Steps = 10_000,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Write a model file as C for microcontrollers, compiled here and compared with the interpreters of the file.

    The C steps once per call, with its state in a struct. It needs no operating system, allocates nothing, and calls
    nothing but functions of <math.h>.

    Example: stepcell c build/memory/model.tflite --name memory --out build/c
    """
    from ...runtime.common.atomic_write import check_folder
    from ...runtime.common.terminal import print_table, status
    from ..c.write import comparison_rows, write_c

    if package is not None and single_header:
        raise typer.BadParameter("it does not go with --package.", param_hint="--single-header")
    check_folder(out)
    with status() as progress:
        written = write_c(
            file,
            out,
            name=name,
            single_header=single_header,
            package=package,
            quantize=quantize,
            fpu=not no_fpu,
            allow_inaccurate=allow_inaccurate,
            proven=not unproven,
            steps=steps,
            progress=progress,
        )
    sizes = vars(written.source.memory_use)
    if as_json:
        figures = [{**vars(each), "holds": each.holds} for each in written.comparisons]
        print(json.dumps({"files": [str(path) for path in written.files], "bytes": sizes, "comparisons": figures}))
        return
    if written.comparisons:
        print_table(*comparison_rows(written))
    else:
        print("not compiled and not compared (--unproven)")
    print(", ".join(f"{what}: {size:,} bytes" for what, size in sizes.items()))
    print(f"written: {', '.join(map(str, written.files))}")
