"""Data that a command is given, in a file or through a pipe."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO

from ..errors import CorpusError, OptionError
from .trained_reading import TrainedReading

if TYPE_CHECKING:
    from ..inputs import Inputs
    from ..manifest import Manifest


def read_given(
    data: Path | None, stdin: BinaryIO | None, manifest: Manifest, format: str | None, encoding: str | None = None
) -> tuple[list[Inputs], list[str]]:
    """Return what a model reads of each sequence in a file, or in stdin where `data` is None, and remarks for the user.

    Args:
        data: The file, or a folder of texts.
        stdin: Read to its end if there is no `data`; None: it is closed.
        manifest: That of the model.
        format: One of `DATA_FORMATS`; None: as the training data were read.
        encoding: Name of a codec of Python; None: likewise.

    Raises:
        CorpusError: They cannot be read, or hold symbols that the model does not know.
        OptionError: There is no stdin.
    """
    options = {"format": format, "encoding": encoding}
    reading = TrainedReading.of(manifest, {name: value for name, value in options.items() if value is not None})
    if data is not None:
        sequences, recording = reading.read(data)
        source = recording.source
    elif stdin is None:
        raise OptionError("There is no stdin to read data from.")
    else:
        with TemporaryDirectory(prefix="stepcell-") as folder:
            copy = Path(folder, f"stdin{reading.named_like_training()}")
            with open(copy, "wb") as file:
                shutil.copyfileobj(stdin, file)
            try:
                sequences, recording = reading.read(copy)
            except CorpusError as error:
                raise CorpusError(str(error).replace(str(copy), "stdin")) from None
        source = "stdin"
    count = "" if len(sequences) == 1 else f"{len(sequences):,} sequences, "
    remarks = (f"{count}{len(recording.ids):,} symbols, read as {recording.found}", *recording.remarks)
    return sequences, [f"{source}: {remark}" for remark in remarks]
