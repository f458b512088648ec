"""Options that several commands share: type, help, and the panel of the help that lists them.

A command names an option by its parameter (`max_updates` is `--max-updates`); only flags are given names here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer


def panel(name: str) -> Callable[..., Any]:
    """Return a function that makes options listed in this panel of the help.

    Its arguments are the help, words for a default that is None, the name of a flag, and what `typer.Option` takes.
    """

    def option(help: str, default: str | bool = True, *, flag: str | None = None, **more: Any) -> Any:
        return typer.Option(*filter(None, [flag]), help=help, rich_help_panel=name, show_default=default, **more)

    return option


def argument(help: str, default: str | bool = False) -> Any:
    """Return an argument; `default` is its default in words."""
    return typer.Argument(help=help, show_default=default)


data, model, output, parity, training = map(panel, ("Data", "Model", "Output", "Parity", "Training"))

# Equal to the names in the library, which takes longer to import; a test compares them.
TableFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet", "lines"]
DataFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet", "lines", "text", "symbols"]
UnitOfTime: TypeAlias = Literal["ns", "us", "ms", "s", "min", "h", "d"]
TextUnit: TypeAlias = Literal["character", "byte", "word"]


class Quantization(str, Enum):
    """Precisions of smaller weights. An Enum, because typer takes no lists of Literals."""

    float16 = "float16"
    int8 = "int8"
    int16 = "int16"


ModelFile = Annotated[Path, argument("Model file (.tflite or .onnx).")]
Backend = Annotated[str | None, model(
    "What steps the file: litert, tflite, tflm, onnxruntime, numpy, or native, the compiled engine.",
    "STEPCELL_BACKEND, or the best interpreter")]  # fmt: skip
Static = Annotated[list[str] | None, model(
    "Static input of the model, which each stream is given once; repeatable.", "none", flag="--static",
    metavar="NAME=NUMBERS")]  # fmt: skip
AsJson = Annotated[bool, output("Print the result as JSON.", flag="--json")]
Plot = Annotated[Path | None, output("Draw the result into this PNG file.", "none")]
Seed = Annotated[int, training("Random seed: equal seeds give equal results.")]

# How data are read. Commands that read data for a model file take the values of its training unless one is given.
AS_TRAINED = "as in training"
Encoding = Annotated[str | None, data("Text encoding of the data.", f"utf-8, or {AS_TRAINED}")]
Format = Annotated[DataFormat | None, data(
    "Format of the data: a table with the columns of the training (csv, tsv, jsonl, parquet), a sequence on each line "
    "(lines), text, or a symbol on each line (symbols).", f"symbols, or {AS_TRAINED}")]  # fmt: skip
Symbol = Annotated[list[str] | None, data(
    "Column that holds the symbol; given several times, their values are joined to one symbol.",
    f"the only column, or {AS_TRAINED}")]  # fmt: skip
Join = Annotated[str | None, data("Text between the values of several --symbol columns.", f"=, or {AS_TRAINED}")]
TimeUnit = Annotated[UnitOfTime | None, data(
    "Unit of the numbers in --order.", f"none: they order events alone, or {AS_TRAINED}")]  # fmt: skip
TimeZone = Annotated[str | None, data(
    "Zone of times in --order that name none, like Europe/Berlin.", f"UTC, or {AS_TRAINED}")]  # fmt: skip
Sequence = Annotated[str | None, data("Column that names the sequence of a row.", f"none, or {AS_TRAINED}")]
Order = Annotated[str | None, data(
    "Column of the time or number that orders a sequence.", f"order of the rows, or {AS_TRAINED}")]  # fmt: skip
Delimiter = Annotated[str | None, data("Character between two columns.", f"detected, or {AS_TRAINED}")]
TimeFormat = Annotated[str | None, data(
    "Format of the times in --order, like '%d.%m.%Y %H:%M'.", f"ISO 8601, or {AS_TRAINED}")]  # fmt: skip
Gaps = Annotated[str | None, data(
    "Bounds of ranges of time, like 1min,1h: gaps become symbols of these.", f"none, or {AS_TRAINED}")]  # fmt: skip
Features = Annotated[list[str] | None, data(
    "Column of numbers to read as the feature NAME; repeatable.", f"none, or {AS_TRAINED}", flag="--feature",
    metavar="[NAME=]COLUMN")]  # fmt: skip
Target = Annotated[list[str] | None, data(
    "Column of the right answers, of a model of labels or values; repeatable for several values.", AS_TRAINED,
    flag="--target", metavar="COLUMN")]  # fmt: skip
Header = Annotated[bool | None, data("Whether the first line names the columns.", f"yes, or {AS_TRAINED}")]
Unit = Annotated[TextUnit | None, data("Symbols that a text is cut into.", f"character, or {AS_TRAINED}")]
End = Annotated[str | None, data("Symbol at both ends of a sequence; empty: none.", f"<end>, or {AS_TRAINED}")]

# How a model file is made, and compared with Keras.
Sample = Annotated[Path | None, parity(
    "File of inputs as they really occur, a row for each step: CSV, JSON lines, Parquet, .npz or .npy, with a column "
    "for each input.", "that of the run, or drawn")]  # fmt: skip
Custom = Annotated[list[Path] | None, model(
    "Python file with the classes of your own that the model needs (cells, layers): it is imported; repeatable.",
    metavar="FILE.py")]  # fmt: skip
Steps = Annotated[int, parity("Symbols that the parity check feeds with the state carried over.", min=2)]
AllowInaccurate = Annotated[list[Quantization] | None, parity(
    "Accept files of this precision that differ from Keras by more than its tolerance; repeatable.")]  # fmt: skip
OneHot = Annotated[bool, model(
    "The input of the Keras model is one-hot vectors of shape (batch, time, symbols).", flag="--one-hot")]  # fmt: skip
Vocabulary = Annotated[Path | None, model(
    "File of the symbols by id: one per line, or JSON (list or object).", "those of the run, if any")]  # fmt: skip
Labels = Annotated[Path | None, model(
    "File of the output symbols, such as labels of a classification, if they differ from the input symbols.",
    "those of the run, if any")]  # fmt: skip
