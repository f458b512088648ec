"""What several commands take."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

ModelFile = Annotated[Path, typer.Argument(help="Model file, .tflite or .onnx.", show_default=False)]
Backend = Annotated[str | None, typer.Option("--backend", help="Interpreter: litert, tflite, onnxruntime or numpy.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class DataFormat(str, Enum):
    """How data are read that are not like those of the training."""

    symbols = "symbols"
    lines = "lines"
    text = "text"


Format = Annotated[
    DataFormat | None,
    typer.Option(
        "--format",
        help="A symbol on each line, a sequence on each line, or text whose characters are the symbols; by default as "
        "the training data were read, if the model file says how, else a symbol on each line.",
    ),
]
