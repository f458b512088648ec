"""The .keras files of Keras 3, and what all zip files of Keras have in common.

Keras gets a clean copy of a file: the members that a model needs, with the configuration that was checked here, under a
name that leaves it no choice of loader. Its safe mode stays on, so code in a file is never run.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.common.errors import SourceError
from .custom_code import how_to_import

if TYPE_CHECKING:
    from ..layers.keras_graph import KerasModel

SIGNATURE = b"PK"
CONFIG, WEIGHTS, _METADATA, _ASSETS = "config.json", "model.weights.h5", "metadata.json", "assets/"
_LARGEST_CONFIG = 1 << 24  # bytes of config.json
_LARGEST_PACKED, _RATIO = 1 << 26, 100  # bytes of another member, unless it is packed less tightly than this
_HALVES = ("float16", "bfloat16")
_POLICIES = (*_HALVES, *(f"mixed_{name}" for name in _HALVES))
# The functions of keras.activations, and the one of ours that has to be imported to be registered.
_ACTIVATIONS = frozenset([
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus",
    "swish", "tanh", "tanh_shrink", "threshold", "hard_sigmoid_keras2",
])  # fmt: skip


@dataclass(frozen=True)
class KerasArchive:
    """A .keras file: where it is, its configuration without that of `compile`, and the Keras that wrote it."""

    path: Path
    config: Mapping[str, Any]
    version: str | None

    def weights(self) -> bytes:
        """Return the member with the weights.

        Raises:
            SourceError: It is missing or damaged.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                content = archive.read(WEIGHTS)
        except Exception as error:  # zipfile raises whatever the damaged part ran into
            raise SourceError(f"{self.path} has no readable {WEIGHTS} ({error}). Save the model again.") from error
        return content


def read_archive(path: Path) -> KerasArchive:
    """Read the configuration inside a .keras file, without Keras.

    Raises:
        SourceError: The file is no .keras file, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if CONFIG not in names:
                raise SourceError(f"{path} is not a .keras file. Give the model that Keras saved, or its run folder.")
            for member in archive.infolist():
                most = max(_LARGEST_PACKED, _RATIO * member.compress_size)
                if member.file_size > (_LARGEST_CONFIG if member.filename == CONFIG else most):
                    raise SourceError(
                        f"{path} is no model: {member.filename} unpacks to {member.file_size:,} bytes, of "
                        f"{member.compress_size:,}. Give the model that Keras saved."
                    )
            config = json.loads(archive.read(CONFIG))
            metadata = json.loads(archive.read(_METADATA)) if _METADATA in names else {}
            version = metadata.get("keras_version")
            version = None if version is None else str(version)
    except SourceError:
        raise
    except Exception as error:  # zipfile raises whatever the damaged part ran into
        raise SourceError(
            f"{path} is not a .keras file, or is damaged. Save the model again: model.save('{path.stem}.keras')"
        ) from error
    # The compiled loss, metrics and schedules may be anyone's code, and none is needed.
    kept = {key: value for key, value in config.items() if key != "compile_config"} if isinstance(config, dict) else {}
    return KerasArchive(path, kept, version)


def load_archive(archive: KerasArchive) -> KerasModel:
    """Load the model in a .keras file of Keras 3.

    Raises:
        SourceError: It is damaged, or needs code that this process does not have.
    """
    import keras

    from ..layers import keras2_activation  # registers it

    assert keras2_activation
    require_known(archive.config, archive.path)
    archive.weights()
    try:
        with tempfile.TemporaryDirectory(prefix="stepcell-") as folder:
            copy = Path(folder) / "model.keras"
            _copy(archive, copy)
            return keras.models.load_model(copy, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the damaged or unknown part ran into
        raise _cannot_load(archive.path, error) from error


def load_configuration(config: Mapping[str, Any], path: Path) -> KerasModel:
    """Build a model of Keras 3 from its configuration alone.

    Raises:
        SourceError: It is damaged, or needs code that this process does not have.
    """
    import keras

    require_known(config, path)
    try:
        if "module" in config:
            return keras.saving.deserialize_keras_object(config, safe_mode=True)
        models = {"Sequential": keras.Sequential, "Functional": keras.Model}
        with keras.src.saving.serialization_lib.SafeModeScope(True):
            return models[config["class_name"]].from_config(config["config"])
    except Exception as error:  # as above
        raise _cannot_load(path, error) from error


def in_float32(model: KerasModel) -> tuple[KerasModel, str | None]:
    """Return `model` with all layers computing in float32, and what was changed in words; None: nothing.

    The weights of a model with mixed precision are float32 anyway. `model` itself stays as it is.
    """
    import keras

    plain = type(model) is keras.Sequential or type(model) is keras.src.models.functional.Functional
    layers = model._flatten_layers() if plain else ()
    policies = {str(layer.dtype_policy.name) for layer in layers if layer.compute_dtype in _HALVES}
    if not policies:
        return model, None
    twin = type(model).from_config(_float32_everywhere(model.get_config()))
    twin.set_weights(model.get_weights())
    return (
        twin,
        f"The layers compute in {', '.join(sorted(policies))}; exported is float32.",
    )


def _float32_everywhere(config: Any) -> Any:
    """Return a configuration with float32 in the place of smaller floats."""
    if isinstance(config, list):
        return [_float32_everywhere(part) for part in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy" and config.get("config", {}).get("name") in _POLICIES:
        return {**config, "config": {"name": "float32"}}
    small = config.get("dtype") in _POLICIES if isinstance(config.get("dtype"), str) else False
    found = {key: _float32_everywhere(value) for key, value in config.items()}
    return {**found, "dtype": "float32"} if small else found


def _copy(archive: KerasArchive, target: Path) -> None:
    with zipfile.ZipFile(archive.path) as old, zipfile.ZipFile(target, "w") as new:
        new.writestr(CONFIG, json.dumps(archive.config))
        for name in old.namelist():
            if name in (WEIGHTS, _METADATA) or (name.startswith(_ASSETS) and ".." not in name):
                new.writestr(name, old.read(name))


def _cannot_load(path: Path, error: Exception) -> SourceError:
    reason = str(error).strip().split("\n")[0]
    if "Lambda" in str(error):
        reason = "its Lambda layer holds arbitrary code, which is not run. Replace it by layers of Keras"
    return SourceError(f"Keras cannot load {path}: {reason}.")


def require_known(config: Any, path: Path) -> None:
    """Raise SourceError if a configuration of Keras 3 needs code: a Lambda layer, an unknown class or function.

    Keras is not imported for it; classes that were registered with Keras in this process are known.
    """
    unknown = _unknown(config)
    if "Lambda" in unknown:
        raise SourceError(
            f"Keras cannot load {path}: its Lambda layer holds arbitrary code, which is not run. Replace it by layers "
            "of Keras."
        )
    if unknown:
        raise SourceError(
            f"{path} needs code that is not known here: {', '.join(sorted(unknown))}. "
            f"{how_to_import(list(unknown.values()))}. Or load it in Python with its custom objects and call "
            "stepcell.export.export(model, ...)."
        )


def _unknown(config: Any) -> dict[str, str]:
    """Return the classes and functions in a configuration that are neither Keras's nor registered.

    Returns:
        Name -> the module or package that it comes from, a dot, and the name.
    """
    pending: list[Any] = [config]
    found: dict[str, str] = {}
    while pending:
        part = pending.pop()
        pending += part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
        if not isinstance(part, dict) or "class_name" not in part:
            continue
        name = str(part["class_name"])
        if name in ("Lambda", "__lambda__"):
            found["Lambda"] = "keras.Lambda"
        elif name == "function":
            name = str(part.get("config"))
            if name not in _ACTIVATIONS and not _registered(name, str(part.get("registered_name"))):
                found[name] = str(part.get("registered_name") or name)
        elif "registered_name" in part and not (
            str(part.get("module") or "").split(".")[0] in ("keras", "builtins")
            or _registered(str(part["registered_name"] or name))
        ):
            found[name] = f"{part.get('module') or str(part['registered_name']).split('>')[0]}.{name}"
    return found


def _registered(*names: str) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and any(keras.saving.get_registered_object(name) is not None for name in names)
