"""Weights as Keras 2 stored them: by layer (.h5), by attribute (.keras, .weights.h5), or in a checkpoint of TensorFlow.

Each kind gives the arrays of a layer in order, for the model that is rebuilt, and writes a clean copy that tf_keras
loads with its own loader, for the reference.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import SourceError
from .hdf5 import Hdf5File
from .keras2 import MODELS, layers_of, name_of

Config: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Stored:
    """An array in a file: its path there, and the name of the weight, None where the file has none."""

    path: str
    name: str | None
    array: AnyArray


LayerArrays: TypeAlias = dict[str, list[Stored]]  # name of a layer of the outermost model -> its arrays in order


class SavedWeights(Protocol):
    """Weights in a file."""

    @property
    def kind(self) -> str:
        """How they are stored: "layers", "attributes" or "checkpoint"."""

    def by_layer(self, config: Config) -> LayerArrays:
        """Return the arrays of each layer of the model that `config` describes."""

    def copy_into(self, folder: Path) -> Path:
        """Write what tf_keras loads into `folder` and return the path to give it."""


@dataclass(frozen=True)
class ByLayer:
    """Weights of a .h5 file: a group for each layer, with the names of its weights in order."""

    layers: LayerArrays
    kind: str = "layers"

    def by_layer(self, config: Config) -> LayerArrays:
        """See `SavedWeights`."""
        return self.layers

    def copy_into(self, folder: Path) -> Path:
        """See `SavedWeights`."""
        import h5py

        path = folder / "weights.h5"
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"], file.attrs["backend"] = "2", "tensorflow"
            file.attrs["layer_names"] = np.array([name.encode() for name in self.layers], "S")
            for name, stored in self.layers.items():
                group = file.create_group(name)
                names = [f"weight{number}" for number in range(len(stored))]
                group.attrs["weight_names"] = np.array([each.encode() for each in names], "S")
                for each, weight in zip(names, stored, strict=True):
                    group[each] = weight.array
        return path


@dataclass(frozen=True)
class ByAttribute:
    """Weights inside a .keras file: a group for each attribute that leads to them, numbers for names."""

    arrays: Mapping[str, AnyArray]
    kind: str = "attributes"

    def by_layer(self, config: Config) -> LayerArrays:
        """See `SavedWeights`."""
        return {
            name_of(entry): [Stored(path, None, self.arrays[path]) for path in self._paths(entry, prefix)]
            for entry, prefix in self._inside(config, "")
        }

    def copy_into(self, folder: Path) -> Path:
        """See `SavedWeights`."""
        import h5py

        path = folder / "copy.weights.h5"
        with h5py.File(path, "w") as file:
            file.create_group("vars")  # the loader wants that of the model, though it is empty
            for name, array in self.arrays.items():
                file[name] = array
        return path

    def _inside(self, entry: Config, prefix: str) -> Iterator[tuple[Config, str]]:
        """Yield the layers inside a model, a wrapper or a recurrent layer, in order, each with the path before it."""
        options = entry["config"]
        if entry["class_name"] in MODELS:
            roots = [root for root in _ROOTS if any(path.startswith(prefix + root) for path in self.arrays)]
            yield from _contained(tracked(entry), prefix + (roots or _ROOTS)[0])
        elif entry["class_name"] == "StackedRNNCells":
            yield from _contained(options["cells"], f"{prefix}cells/")
        elif entry["class_name"] == "Bidirectional":
            yield options["layer"], f"{prefix}forward_layer/"
            yield options.get("backward_layer", options["layer"]), f"{prefix}backward_layer/"
        else:
            for key in ("layer", "cell"):
                if isinstance(options.get(key), dict):
                    yield options[key], f"{prefix}{key}/"

    def _paths(self, entry: Config, prefix: str) -> list[str]:
        """Return the paths of the arrays of a layer in the order of its weights."""
        inner = [path for each, before in self._inside(entry, prefix) for path in self._paths(each, before)]
        found = [path for path in self.arrays if path.startswith(prefix) and path not in inner]
        return sorted(found, key=_in_order) + inner


_ATTENTION = {"_query_dense": 0, "_key_dense": 1, "_value_dense": 2, "_output_dense": 3}
_ROOTS = ("layers/", "_layer_checkpoint_dependencies/")


def _contained(layers: Iterable[Config], prefix: str) -> Iterator[tuple[Config, str]]:
    """Yield layers with the paths that Keras gives them in a list: by class, and numbered where there are several."""
    seen: Counter[str] = Counter()
    for entry in layers:
        group = _snake_case(str(entry["class_name"]))
        yield entry, f"{prefix}{group}{f'_{seen[group]}' if seen[group] else ''}/"
        seen[group] += 1


def tracked(model: Config) -> Sequence[Any]:
    """Return the layers that Keras 2 lists for a model; a Sequential does not list its input."""
    return [e for e in layers_of(model) if model["class_name"] != "Sequential" or e["class_name"] != "InputLayer"]


def _snake_case(name: str) -> str:
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _in_order(path: str) -> list[tuple[int, str]]:
    """Sort numbers as numbers, and the parts of MultiHeadAttention in the order of its weights."""
    return [(int(part), "") if part.isdigit() else (_ATTENTION.get(part, -1), part) for part in path.split("/")]


def weights_in(file: Hdf5File, name: str) -> SavedWeights:
    """Return the weights in an HDF5 file of Keras: of a whole model, or alone.

    Raises:
        SourceError: There are none, or they are not as Keras writes them.
    """
    before = "model_weights" if "model_weights" in file.lists else ""
    names = file.lists.get(before, {}).get("layer_names")
    if names is None:
        arrays = {path: a for path, a in file.arrays.items() if not path.startswith("optimizer/")}
        if not any("/vars/" in f"/{path}" for path in arrays):
            raise SourceError(f"{name} holds no weights of a Keras model. Give the file that model.save_weights wrote.")
        return ByAttribute(arrays)
    layers: LayerArrays = {}
    for layer in names:
        group = f"{before}/{layer}".lstrip("/")
        paths = file.lists.get(group, {}).get("weight_names", [])
        missing = [path for path in paths if f"{group}/{path}" not in file.arrays]
        if missing:
            raise SourceError(f"{name} is a damaged HDF5 file ({', '.join(missing)} is missing). Copy it again.")
        layers[layer] = [Stored(path, path.split("/")[-1], file.arrays[f"{group}/{path}"]) for path in paths]
    return ByLayer(layers)
