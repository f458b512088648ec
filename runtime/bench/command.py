"""The command `stepcell bench`."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Annotated

import typer


def bench(
    file: Annotated[Path, typer.Argument(help="Model file, .tflite or .onnx.", show_default=False)],
    backend: Annotated[
        list[str] | None, typer.Option("--backend", help="Interpreter; repeatable; by default all that take the file.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Keras file or run folder, timed beside it.", show_default=False)
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw it into this PNG file.", show_default=False)] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often all ways take turns.")] = 9,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time every way to step a model file on this machine, side by side in one process."""
    from stepcell.runtime import read_model_file
    from stepcell.runtime.backend import usable_backends
    from stepcell.runtime.bench.measurement import measure_ways
    from stepcell.runtime.bench.report import as_json as to_json
    from stepcell.runtime.bench.report import as_rows, draw
    from stepcell.runtime.console import import_quietly, print_table, quiet_stderr, working
    from stepcell.runtime.whole_file import write_whole_file

    format = read_model_file(file).format
    with quiet_stderr():
        names = backend or list(usable_backends(format))  # before TensorFlow, which tflite-runtime cannot follow
    more = None
    if against is not None:
        import_quietly("tensorflow")
        from stepcell.export import read_source
        from stepcell.export.peers import keras_ways

        more = keras_ways(read_source(against).model)
    found = []
    with working() as progress:
        for number, name in enumerate(names):
            options = {"more": more} if more is not None and number == 0 else {}
            with quiet_stderr():
                found.append(measure_ways(file, name, rounds=rounds, progress=progress, **options))
    if plot is not None:
        write_whole_file(plot, draw(found, f"A step of {file.name}"))
    if as_json:
        print(json.dumps({"file": str(file), "machine": machine(), "measurements": to_json(found)}))
        return
    print(machine())
    print_table(*as_rows(found))


def machine() -> str:
    """Return processor, cores and Python in a line."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"
