"""The command `stepcell card`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from .options import ModelFile, output


def card(
    file: ModelFile,
    out: Annotated[Path | None, output("File for the card, like README.md.", "stdout")] = None,
    license: Annotated[str | None, output(
        "License of the model for the metadata, as hubs name it, like apache-2.0.", "none")] = None,
    pictures: Annotated[bool, output(
        "Draw the state over time into state.png beside --out. Needs an interpreter.", flag="--pictures")] = False,
) -> None:  # fmt: skip
    """Write a model card in Markdown, with the metadata that hubs of models read, from the manifest of a file.

    Example: stepcell card build/log/model.tflite --out build/log/README.md
    """
    from .. import read_model_file
    from ..common.atomic_write import atomic_write
    from ..common.errors import OptionError, OutputError
    from ..common.terminal import print_text
    from ..format.card import WRITTEN_BY, model_card

    if pictures and out is None:
        raise OptionError("--pictures is drawn beside the card: give --out FILE too.")
    if out is not None:
        if not out.parent.is_dir():
            raise OutputError(f"There is no folder {out.parent} for the card. Make it first. Nothing was written.")
        if out.exists() and not _is_card(out, WRITTEN_BY):
            raise OutputError(
                f"{out} is there and was not written by stepcell card. Give another --out, or remove it first. "
                "Nothing was written."
            )
    found = read_model_file(file)
    drawn = _draw(file) if pictures else None
    picture = None if drawn is None else PICTURE
    text = model_card(found, file.stat().st_size, license=license, picture=picture)
    if out is None:
        print_text(text.rstrip("\n"))
        return
    if drawn is not None:
        atomic_write(out.parent / PICTURE, drawn)
    atomic_write(out, text.encode())
    print_text(f"written: {out}" + (f", {out.parent / PICTURE}" if drawn is not None else ""))


PICTURE = "state.png"


def _is_card(path: Path, mark: str) -> bool:
    """Tell whether a file is a card that this command wrote."""
    from ..common.errors import OutputError

    try:
        return mark.encode() in path.read_bytes()
    except OSError as error:
        raise OutputError(f"Cannot read {path}: {error.strerror or error}. Nothing was written.") from error


def _draw(file: Path) -> bytes:
    """Return the picture of the state over time.

    Raises:
        MissingPackageError: matplotlib is not installed.
        OptionError: The file has no known inputs to step.
    """
    from .. import load
    from ..common.errors import MissingPackageError, OptionError
    from ..common.plotting import new_figure
    from ..common.terminal import silence_stderr
    from ..tasks.state_picture import draw_state

    if new_figure(1, 1) is None:
        raise MissingPackageError(
            "--pictures needs matplotlib. Install it: pip install 'stepcell[plot]'. Nothing was written."
        )
    with silence_stderr():
        drawn = draw_state(load(file))
    if drawn is None:
        raise OptionError(
            f"{file.name} has no known answer to step for a picture: leave out --pictures. Nothing was written."
        )
    return drawn
