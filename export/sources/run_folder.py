"""What a run folder knows about its model: symbols, sample, training, the learned start state."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import SourceError
from ...runtime.format.tensor_specs import SYMBOL
from ...runtime.format.vocabulary import Vocabulary, unescape_symbol

MODEL = "model.keras"
_LARGEST_STATE = 1 << 26  # bytes of a state, unpacked


def is_run_folder(folder: Path) -> bool:
    """Tell whether `folder` holds what `stepcell train` writes."""
    return (folder / "run.json").exists()


def read_run_folder(folder: Path) -> dict[str, Any]:
    """Return the fields of a `Source` that stand in a run folder.

    Read are run.json, sample.txt or sample.jsonl, and initial_state.npz where there is one.

    Raises:
        SourceError: The run folder is damaged.
        VocabularyError: Its vocabulary is invalid.
    """
    state_file = folder / "initial_state.npz"
    initial_state = read_state_file(state_file) if state_file.exists() else None
    try:
        run = json.loads((folder / "run.json").read_bytes())
        symbols, labels, values = tuple(run["vocabulary"]), run.get("labels"), bool(run.get("values"))
        vocabulary = Vocabulary(symbols, run.get("unknown")) if symbols or not values else Vocabulary.none()
        sample, features = _read_sample(folder)
        return {
            "name": folder.resolve().name,
            "vocabulary": vocabulary,
            "labels": None if labels is None else Vocabulary(tuple(labels)),
            "training": dict(run.get("training", {})),
            "sample": sample or None,
            "sample_features": features,
            "initial_state": initial_state,
            "values": values,
        }
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise SourceError(
            f"The run folder {folder} is damaged: {error!r}. Copy model.keras out of it and export "
            "that with --vocabulary."
        ) from error


def read_state_file(path: Path) -> dict[str, AnyArray]:
    """Read a state from the .npz file at `path`: an array for each name, as `numpy.savez(path, **state)` writes it.

    Raises:
        SourceError: The file is missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as members:
            size = sum(member.file_size for member in members.infolist())
        if size > _LARGEST_STATE:
            raise ValueError(f"unpacked it has {size:,} bytes, more than any state")
        with np.load(path) as archive:
            state = {name: archive[name] for name in archive.files}
        wrong = [name for name, array in state.items() if array.dtype.kind not in "fiu" or not np.isfinite(array).all()]
        if wrong:
            raise ValueError(f"no finite numbers: {', '.join(wrong)}")
        return state
    except FileNotFoundError:
        raise SourceError(f"There is no file {path}. Write one: numpy.savez({path.name!r}, **stream.state)") from None
    except Exception as error:  # zipfile and numpy raise whatever the damaged part ran into
        raise SourceError(
            f"{path} holds no state ({error}). Write one: numpy.savez('state.npz', **stream.state)"
        ) from error


def _read_sample(folder: Path) -> tuple[tuple[str, ...], dict[str, AnyArray]]:
    """Return the sample symbols of a run folder and the features beside them."""
    records = folder / "sample.jsonl"
    # Not splitlines(): it splits at form feeds and other symbols of a text.
    lines = (records if records.exists() else folder / "sample.txt").read_bytes().decode().split("\n")[:-1]
    if not records.exists():
        return tuple(unescape_symbol(line) for line in lines), {}
    found = [json.loads(line) for line in lines]
    names = [name for name in found[0] if name != SYMBOL]
    features = {name: np.array([record[name] for record in found], np.float32) for name in names}
    wrong = [name for name, array in features.items() if not np.isfinite(array).all()]
    if wrong:
        raise ValueError(f"a number that is not finite: {', '.join(wrong)}")
    return tuple(record[SYMBOL] for record in found if SYMBOL in record), features
