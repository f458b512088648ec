"""Sources of an export: a run folder, or a .keras file from anywhere.

TensorFlow is imported with the first access to `Source.model`; everything before that is checked without it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.common.arrays import AnyArray
from ..runtime.common.errors import SourceError
from ..runtime.format.tensor_specs import SYMBOL
from ..runtime.format.vocabulary import Vocabulary, unescape_symbol

if TYPE_CHECKING:
    from .layers.keras_graph import KerasModel

_LARGEST_STATE = 1 << 26  # bytes of a state, unpacked
_LARGEST_CONFIG = 1 << 24  # bytes of the config.json in a .keras file
_LARGEST_PACKED, _RATIO = 1 << 26, 100  # bytes of another member, unless it is packed less tightly than this


@dataclass(frozen=True)
class Source:
    """A Keras model and the facts known about it.

    Attributes:
        path: The .keras file.
        name: Name of the model: that of the folder or of the file.
        vocabulary: Its symbols; None: unknown.
        labels: The symbols of its output, where these are others.
        training: Facts to record about its training.
        sample: Symbols as they really occur, for the parity check.
        sample_features: Name -> the features beside them, (T, ...); none where the model reads none.
        initial_state: Name -> the learned state after a reset; None: zeros.
    """

    path: Path
    name: str
    vocabulary: Vocabulary | None = None
    labels: Vocabulary | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    sample: tuple[str, ...] | None = None
    sample_features: Mapping[str, AnyArray] = field(default_factory=dict)
    initial_state: Mapping[str, AnyArray] | None = None

    @cached_property
    def model(self) -> KerasModel:
        """The Keras model, loaded at the first access.

        Raises:
            SourceError: Keras cannot load it, or it needs code that this process does not have.
        """
        return load_keras(self.path)

    def with_symbols(self, vocabulary: Vocabulary | None, labels: Vocabulary | None) -> Source:
        """Return the same model with other symbols for its ids; the sample is translated.

        Args:
            vocabulary: Symbols of the input by id; None: they stay.
            labels: Symbols of the output by id; None: they stay.
        """
        sample = self.sample
        if vocabulary is not None and sample is not None and self.vocabulary is not None:
            fits = len(vocabulary) == len(self.vocabulary)
            sample = tuple(vocabulary.symbols[self.vocabulary.encode(s)] for s in sample) if fits else None
        return replace(self, vocabulary=vocabulary or self.vocabulary, labels=labels or self.labels, sample=sample)


def read_source(path: str | Path) -> Source:
    """Read a run folder, the model.keras in one, or a .keras file, without TensorFlow.

    Files read of a run folder: run.json, sample.txt or sample.jsonl, and initial_state.npz where there is one. The
    model itself is only checked to be there and to be a .keras file.

    Raises:
        SourceError: There is no model at `path`, it is no .keras file, or the run folder is damaged.
        VocabularyError: The vocabulary of the run folder is invalid.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    model = folder / "model.keras" if path.is_dir() else path
    _read_config(model)
    run_file, state_file = folder / "run.json", folder / "initial_state.npz"
    if not run_file.exists() or model.name != "model.keras":
        return Source(model, path.resolve().stem)
    initial_state = read_state_file(state_file) if state_file.exists() else None
    try:
        run = json.loads(run_file.read_bytes())
        vocabulary, labels = Vocabulary(tuple(run["vocabulary"]), run.get("unknown")), run.get("labels")
        sample, features = _read_sample(folder)
        return Source(
            model,
            folder.resolve().name,
            vocabulary,
            None if labels is None else Vocabulary(tuple(labels)),
            dict(run.get("training", {})),
            sample or None,
            features,
            initial_state,
        )
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
    return tuple(record[SYMBOL] for record in found), features


def load_keras(path: Path) -> KerasModel:
    """Load a .keras file; code inside it is never executed (Keras's safe mode stays on).

    Raises:
        SourceError: It is missing, damaged, or needs code that this process does not have.
    """
    config = _read_config(path)
    import keras

    custom = _custom_objects(config)
    if custom:
        raise SourceError(
            f"{path} needs code that is not known here: {', '.join(custom)}. Load it in Python with its custom "
            "objects and call stepcell.export.export(model, ...)."
        )
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever the damaged or unknown part ran into
        reason = str(error).strip().split("\n")[0]
        if "Lambda" in str(error):
            reason = "its Lambda layer holds arbitrary code, which is not run. Replace it by layers of Keras"
        raise SourceError(f"Keras cannot load {path}: {reason}.") from error


def _read_config(path: Path) -> Any:
    """Return the configuration inside a .keras file, without Keras.

    Raises:
        SourceError: The file is missing or is no .keras file.
    """
    if not path.exists():
        raise SourceError(
            f"There is no Keras model at {path}. Train one (stepcell train memory --out runs/memory) or give a "
            ".keras file or a run folder."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            if "config.json" not in archive.namelist():
                raise SourceError(f"{path} is not a .keras file. Give the model that Keras saved, or its run folder.")
            for member in archive.infolist():
                most = max(_LARGEST_PACKED, _RATIO * member.compress_size)
                if member.file_size > (_LARGEST_CONFIG if member.filename == "config.json" else most):
                    raise SourceError(
                        f"{path} is no model: {member.filename} unpacks to {member.file_size:,} bytes, of "
                        f"{member.compress_size:,}. Give the model that Keras saved."
                    )
            return json.loads(archive.read("config.json"))
    except SourceError:
        raise
    except Exception as error:  # zipfile raises whatever the damaged part ran into
        raise SourceError(
            f"{path} is not a .keras file, or is damaged. Save the model again: model.save('{path.stem}.keras')"
        ) from error


def _custom_objects(config: Any) -> list[str]:
    """Return the names of classes and functions in a Keras configuration that are neither Keras's nor registered."""
    import keras

    pending, found = [config], set()
    while pending:
        part = pending.pop()
        pending += part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
        if not isinstance(part, dict) or "class_name" not in part or "registered_name" not in part:
            continue
        module, name = str(part.get("module") or ""), str(part["class_name"])
        if name == "function":
            name = str(part.get("config"))
            known = hasattr(keras.activations, name) or keras.saving.get_registered_object(name) is not None
        else:
            known = module.split(".")[0] in ("keras", "builtins") or (
                keras.saving.get_registered_object(str(part["registered_name"] or name)) is not None
            )
        if not known:
            found.add(name)
    return sorted(found)
