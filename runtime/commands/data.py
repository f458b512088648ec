"""Data that a command is given, in a file or through stdin."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from .options import DataFormat

if TYPE_CHECKING:
    from ..arrays import Ids
    from ..manifest import Manifest


def read_data(data: Path | None, manifest: Manifest, format: DataFormat | None) -> list[Ids]:
    """Return the ids of each sequence in a file, or in stdin where there is none; remarks go to stderr.

    Raises:
        CorpusError: They cannot be read, or hold symbols that the model does not know.
        OptionError: There is no stdin.
    """
    from ..errors import CorpusError, OptionError
    from ..reading import TrainedReading

    reading = TrainedReading.of(manifest, format and format.value)
    if data is not None:
        sequences, recording = reading.read(data)
        source = recording.source
    else:
        if sys.stdin is None:
            raise OptionError("There is no stdin to read data from.")
        with TemporaryDirectory(prefix="stepcell-") as folder:
            copy = Path(folder, f"stdin{reading.named_like_training()}")
            with open(copy, "wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            try:
                sequences, recording = reading.read(copy)
            except CorpusError as error:
                raise CorpusError(str(error).replace(str(copy), "stdin")) from None
        source = "stdin"
    count = "" if len(sequences) == 1 else f"{len(sequences):,} sequences, "
    for remark in (f"{count}{len(recording.ids):,} symbols, read as {recording.found}", *recording.remarks):
        typer.echo(f"{source}: {remark}", err=True)
    return sequences
