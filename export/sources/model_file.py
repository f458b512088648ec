"""Files that Keras wrote, told apart by their content, and what loads the model in each.

A configuration that shows why a model cannot be loaded is refused here, without TensorFlow.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ...runtime.common.errors import MissingPackageError, SourceError
from . import hdf5, keras3
from .keras2 import complete, notes_of, problems_of
from .saved_model import CheckpointWeights, is_checkpoint, is_saved_model, read_saved_model
from .saved_weights import Config, SavedWeights, weights_in

if TYPE_CHECKING:
    from ..layers.keras_graph import KerasModel

Load: TypeAlias = "Callable[[], KerasModel]"
_LARGEST_JSON = 1 << 24  # bytes of a configuration
_JSON = (b"{", b'"', b" ", b"\n", b"\r", b"\t", b"\xef\xbb\xbf")
_OLD = "2"  # the version of Keras that is rebuilt


def _require_there(path: Path, weights: Path | None) -> None:
    if not path.exists() and is_checkpoint(path):
        raise SourceError(
            f"{path} is a checkpoint: weights alone. Give the configuration of the model (model.to_json()) with them: "
            f"stepcell export model.json --weights {path}"
        )
    if not path.exists():
        raise SourceError(
            f"There is no Keras model at {path}. Train one (stepcell train memory --out runs/memory) or give a "
            "model that Keras saved or a run folder."
        )
    if weights is not None and not (weights.exists() or is_checkpoint(weights)):
        raise SourceError(f"There are no weights at {weights}. Give the file that model.save_weights wrote.")


def read_model(path: Path, weights: Path | None = None) -> Load:
    """Read the model at `path` as far as it goes without TensorFlow, and return what loads it.

    Args:
        path: A file of Keras, or a SavedModel folder.
        weights: Weights of the configuration at `path`.

    Raises:
        SourceError: There is none, it is damaged, or it needs code that is not known here.
        MissingPackageError: A package that is needed to read it, or to prove it, is not installed.
    """
    _require_there(path, weights)
    if path.is_dir():
        _require_no_weights(path, weights)
        return _old_model(path, *read_saved_model(path))
    with path.open("rb") as file:
        start = file.read(len(hdf5.SIGNATURE))
    if start.startswith(_JSON) and not start.startswith(keras3.SIGNATURE):
        return _from_configuration(path, weights)
    _require_no_weights(path, weights)
    if start == hdf5.SIGNATURE:
        return _from_hdf5(path)
    archive = keras3.read_archive(path)
    if _is_old(archive.version, archive.config):
        name = f"{keras3.WEIGHTS} in {path}"
        weights_found = weights_in(hdf5.read_hdf5(archive.weights(), name), name)
        return _old_model(path, archive.config, archive.version or _OLD, weights_found)
    keras3.require_known(archive.config, path)
    return partial(keras3.load_archive, archive)


def _require_no_weights(path: Path, weights: Path | None) -> None:
    if weights is not None:
        raise SourceError(f"{path} holds a whole model with its weights. Leave out --weights {weights}.")


def _is_old(version: str | None, config: Any) -> bool:
    """Tell whether a configuration is of Keras 2: by its version, or else by what only Keras 3 writes."""
    if version:
        return version.split(".")[0] <= _OLD
    text = json.dumps(config)
    return "class_name" in config and '"batch_shape"' not in text and '"DTypePolicy"' not in text


def _from_hdf5(path: Path) -> Load:
    file = hdf5.read_hdf5(path, str(path))
    text = file.texts[""].get("model_config")
    if text is None:
        raise SourceError(
            f"{path} holds weights alone. Give the configuration of the model (model.to_json()) with them: "
            f"stepcell export model.json --weights {path}"
        )
    version = file.texts[""].get("keras_version") or "1"
    return _with_weights(path, _parsed(text, path), version, weights_in(file, str(path)))


def _from_configuration(path: Path, weights: Path | None) -> Load:
    if path.stat().st_size > _LARGEST_JSON:
        raise SourceError(f"{path} is no configuration of a model: it has {path.stat().st_size:,} bytes.")
    config = _parsed(path.read_bytes(), path)
    if weights is None:
        raise SourceError(
            f"{path} is the configuration of a model without its weights. Give them too: --weights FILE, which "
            "model.save_weights wrote."
        )
    if weights.is_dir() and is_saved_model(weights):
        weights = weights / "variables" / "variables"
    stored: SavedWeights
    if is_checkpoint(weights):
        stored = CheckpointWeights(weights)
    else:
        stored = weights_in(hdf5.read_hdf5(weights, str(weights)), str(weights))
    return _with_weights(path, config, config.get("keras_version"), stored)


def _parsed(text: str | bytes, path: Path) -> dict[str, Any]:
    """Return the configuration of a model, from JSON."""
    try:
        config = json.loads(text)
        config = json.loads(config) if isinstance(config, str) else config
        if not isinstance(config, dict) or "class_name" not in config or "config" not in config:
            raise ValueError("it has no class_name and config")
    except Exception as error:  # too deep, too large a number, no JSON
        raise SourceError(
            f"{path} holds no configuration of a Keras model ({error}). Write it with model.to_json()."
        ) from error
    return config


def _with_weights(path: Path, config: Mapping[str, Any], version: str | None, weights: SavedWeights) -> Load:
    """Return what builds the model of `config` and sets its weights."""
    if _is_old(version, config):
        return _old_model(path, config, version or _OLD, weights)
    keras3.require_known(config, path)

    def load() -> KerasModel:
        from .assign import assign_weights

        model = keras3.load_configuration(config, path)
        assign_weights(model, weights.by_layer(config))
        return model

    return load


def _old_model(path: Path, config: Mapping[str, Any], version: str, weights: SavedWeights) -> Load:
    """Check a configuration of Keras 2 and return what rebuilds it in Keras 3.

    Raises:
        SourceError: It is of Keras 1, holds code, needs a class that is not known, or is no configuration.
        MissingPackageError: tf_keras is not installed.
    """
    if version.split(".")[0] == "1" or version.startswith("0"):
        raise SourceError(
            f"{path} was saved by Keras {version}. Load and save it with Keras 2 (TensorFlow 1.13 to 2.15)."
        )
    try:
        problems = problems_of(config)
        completed = complete(config)
    except Exception as error:  # whatever the damaged part ran into
        raise SourceError(f"{path} holds no configuration of a Keras model ({error}). Save it again.") from error
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise SourceError(f"The model in {path} cannot be rebuilt in Keras 3:\n{listed}")
    if importlib.util.find_spec("tf_keras") is None:
        raise MissingPackageError(
            f"{path} was saved by Keras 2. What is made of it is compared with tf_keras, which is not installed: "
            "pip install 'stepcell[export]'"
        )
    return partial(_rebuilt, path, completed, weights, notes_of(config))


def _rebuilt(path: Path, config: Config, weights: SavedWeights, notes: tuple[str, ...]) -> KerasModel:
    """Rebuild a model of Keras 2, and remember how it is to be proven."""
    from .assign import assign_weights, require_plausible
    from .provenance import Provenance, record
    from .rebuild import rebuild
    from .referee import Referee

    stored = weights.by_layer(config)
    require_plausible(config, stored)
    model = rebuild(config)
    assign_weights(model, stored)
    referee = Referee(path, config, weights)
    record(model, Provenance(partial(referee.compare, model), notes))
    return model
