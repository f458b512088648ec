"""The command `stepcell check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from ...runtime.commands import options as opt


def check(
    file: opt.ModelFile,
    keras: Annotated[Path, opt.parity("Keras file or run folder to compare with.")],
    steps: opt.Steps = 10_000,
    allow_inaccurate: opt.AllowInaccurate = None,
    one_hot: opt.OneHot = False,
    plot: opt.Plot = None,
    as_json: opt.AsJson = False,
) -> None:
    """Compare a model file with its Keras model, step by step on every interpreter installed here.

    A quantised file has to keep the tolerance of its precision. The picture of --plot shows the error at each step.

    Example: stepcell check build/memory/model.tflite --keras runs/memory
    """
    from ...runtime import read_model_file
    from ...runtime.common.atomic_write import make_folder
    from ...runtime.common.terminal import import_silently, print_table, status
    from ..source import read_source

    read_model_file(file)  # before TensorFlow is imported, which takes seconds
    read = read_source(keras)
    if plot is not None:
        make_folder(plot.parent)
    import_silently("tensorflow")
    from ..parity.check_file import check as check_file
    from ..parity.report import parity_table

    with status() as progress:
        results = check_file(
            file, read.model, one_hot=one_hot, sample=read.sample, sample_features=read.sample_features, steps=steps,
            plot=plot, progress=progress,
            allow_inaccurate=[one.value for one in allow_inaccurate or ()],
        )  # fmt: skip
    if as_json:
        print(json.dumps([{**parity.to_json(), "microseconds": parity.microseconds} for parity in results]))
    else:
        print_table(*parity_table(results))
