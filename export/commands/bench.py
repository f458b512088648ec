"""The command `stepcell bench`: the work is the runtime's, the Keras model to compare with is ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def bench(
    file: Annotated[Path, typer.Argument(help="Model file, .tflite or .onnx.", show_default=False)],
    backend: Annotated[
        list[str] | None, typer.Option("--backend", help="Interpreter; repeatable; by default all that take the file.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--keras", help="Keras file or run folder, timed beside it.", show_default=False)
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw it into this PNG file.", show_default=False)] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often all ways take turns.")] = 9,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time every way to step a model file on this machine, side by side in one process."""
    from ...runtime import read_model_file
    from ...runtime.bench.measurement import measure_variants
    from ...runtime.bench.report import as_json as to_json
    from ...runtime.bench.report import as_rows, draw, machine
    from ...runtime.common.atomic_write import atomic_write
    from ...runtime.common.terminal import import_silently, print_table, silence_stderr, status
    from ...runtime.interpreters.probe import usable_backends

    format = read_model_file(file).format
    with silence_stderr():
        names = backend or list(usable_backends(format))  # before TensorFlow, which tflite-runtime cannot follow
    more = None
    if against is not None:
        import_silently("tensorflow")
        from ..source import read_source
        from .keras_baseline import keras_ways

        more = keras_ways(read_source(against).model)
    found = []
    with status() as progress:
        for number, name in enumerate(names):
            options = {"more": more} if more is not None and number == 0 else {}
            with silence_stderr():
                found.append(measure_variants(file, name, rounds=rounds, progress=progress, **options))
    if plot is not None:
        atomic_write(plot, draw(found, f"A step of {file.name}"))
    if as_json:
        print(json.dumps({"file": str(file), "machine": machine(), "measurements": to_json(found)}))
        return
    print(machine())
    print_table(*as_rows(found))
