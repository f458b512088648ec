"""SavedModel folders and checkpoints of TensorFlow: configuration and weights as data, the graph is never run.

Keras wrote its configuration beside the graph: into keras_metadata.pb, before TensorFlow 2.5 into saved_model.pb. The
weights are a checkpoint, which says by which attributes each number is reached. Both are protocol buffers, of which a
few fields are read here: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.common.errors import SourceError
from .keras2 import name_of
from .saved_weights import Config, LayerArrays, Stored, tracked

_LARGEST_METADATA = 1 << 28  # bytes; the graph is in the same file before TensorFlow 2.5
_METADATA, _GRAPH, _CHECKPOINT = "keras_metadata.pb", "saved_model.pb", "variables/variables"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# Names of other ways to what is reached by attributes already.
_ALIASES = ("layer_with_weights-", "keras_api", "signatures", "variables", "trainable_variables", "adapt_",
            "regularization_losses", "optimizer", "_")  # fmt: skip


def is_saved_model(folder: Path) -> bool:
    """Tell whether `folder` is one that TensorFlow saved a model into."""
    return (folder / _GRAPH).exists() or (folder / _METADATA).exists()


def is_checkpoint(path: Path) -> bool:
    """Tell whether `path` is the beginning of the names of a checkpoint."""
    return path.with_name(f"{path.name}.index").is_file()


def read_saved_model(folder: Path) -> tuple[Config, str, CheckpointWeights]:
    """Return the configuration of the Keras model in a SavedModel folder, its version of Keras and its weights.

    Raises:
        SourceError: The folder is damaged, or was not saved by Keras.
    """
    try:
        text = _root_metadata(folder)
        if text is None:
            raise SourceError(
                f"{folder} is a SavedModel without a Keras model: a graph alone cannot be stepped. Save the Keras "
                f"model: model.save('{folder.name}.keras')"
            )
        metadata = json.loads(text)
        if not isinstance(metadata.get("config"), (dict, list)) or "class_name" not in metadata:
            raise SourceError(
                f"{folder} holds a model without a configuration (a subclass of keras.Model): its layers cannot be "
                "listed. Build the same layers as a Sequential or functional model and give it the weights."
            )
    except SourceError:
        raise
    except Exception as error:  # whatever the damaged part ran into
        raise SourceError(f"{folder} is a damaged SavedModel ({error}). Save the model again.") from error
    prefix = folder / _CHECKPOINT
    if not is_checkpoint(prefix):
        raise SourceError(f"{folder} has no weights: {prefix}.index is missing. Copy the whole folder.")
    version = metadata.get("keras_version") or "2"
    return {key: metadata[key] for key in ("class_name", "config")}, str(version), CheckpointWeights(prefix)


def _root_metadata(folder: Path) -> str | None:
    """Return what Keras wrote about the outermost model, JSON; None: nothing."""
    path = folder / _METADATA
    if path.exists():
        for _, node in _fields(_content(path), 1):  # SavedMetadata.nodes
            fields = dict(_fields(node))
            if fields.get(3) == b"root":  # node_path
                return bytes(fields[5]).decode()  # metadata
        return None
    for _, meta_graph in _fields(_content(folder / _GRAPH), 2):  # SavedModel.meta_graphs
        for _, object_graph in _fields(meta_graph, 7):  # MetaGraphDef.object_graph_def
            for _, node in _fields(object_graph, 1):  # SavedObjectGraph.nodes, the root first
                for _, user_object in _fields(node, 4):  # SavedObject.user_object
                    found = dict(_fields(user_object))
                    metadata = bytes(found.get(3, b"")).decode()
                    return metadata if bytes(found.get(1, b"")).startswith(b"_tf_keras") and metadata else None
                return None
    return None


def _content(path: Path) -> bytes:
    if path.stat().st_size > _LARGEST_METADATA:
        raise ValueError(f"{path.name} has {path.stat().st_size:,} bytes")
    return path.read_bytes()


def _fields(content: Any, wanted: int | None = None) -> Iterator[tuple[int, Any]]:
    """Yield the fields of a protocol buffer, number and content: those `wanted`, or all.

    Raises:
        ValueError: It is damaged.
    """
    view, at = memoryview(content), 0
    while at < len(view):
        tag, at = _varint(view, at)
        number, kind = tag >> 3, tag & 7
        value: Any
        if kind == 0:
            value, at = _varint(view, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = view[at : at + size], at + size
        elif kind == 2:
            size, at = _varint(view, at)
            value, at = view[at : at + size], at + size
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if at > len(view):
            raise ValueError("it is cut off")
        if wanted is None or number == wanted:
            yield number, value


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise ValueError("it is cut off")
        byte = view[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at


@dataclass(frozen=True)
class CheckpointWeights:
    """Weights in a checkpoint of TensorFlow; `prefix` is the path before .index and .data-00000-of-00001."""

    prefix: Path
    kind: str = "checkpoint"

    def by_layer(self, config: Config) -> LayerArrays:
        """Return the arrays of each layer of the model that `config` describes, read by TensorFlow.

        Raises:
            SourceError: The checkpoint is damaged, or is of no Keras model.
        """
        import tensorflow as tf

        try:
            reader = tf.train.load_checkpoint(str(self.prefix))
            graph = _ObjectGraph([bytes(node) for _, node in _fields(reader.get_tensor(_OBJECT_GRAPH), 1)])
            found: LayerArrays = {}
            for index, entry in enumerate(tracked(config)):
                node = graph.child(0, f"layer-{index}")
                if node is None:
                    raise ValueError(f"there is no layer-{index}, {name_of(entry)}")
                found[name_of(entry)] = [
                    Stored(full_name, path.split("/")[-1], reader.get_tensor(key))
                    for path, full_name, key in graph.variables(node, name_of(entry))
                ]
        except Exception as error:  # TensorFlow raises whatever the damaged part ran into
            reason = str(error).strip().split("\n")[0]
            raise SourceError(f"The checkpoint {self.prefix} is damaged or is of another model ({reason}).") from error
        return found

    def copy_into(self, folder: Path) -> Path:
        """Return the path of the checkpoint: it is numbers alone, which tf_keras reads as they are."""
        return self.prefix.resolve()


class _ObjectGraph:
    """The objects of a checkpoint: the attributes that lead from one to the next, and the numbers they hold."""

    def __init__(self, nodes: list[bytes]) -> None:
        self._nodes = nodes

    def children(self, node: int) -> dict[str, int]:
        """Return the names of the attributes of an object and the objects there."""
        found = {}
        for _, reference in _fields(self._nodes[node], 1):  # TrackableObject.children
            fields = dict(_fields(reference))
            found[bytes(fields[2]).decode()] = int(fields.get(1, 0))
        return found

    def child(self, node: int, name: str) -> int | None:
        """Return the object at the attribute `name`; None: there is none."""
        return self.children(node).get(name)

    def variables(self, node: int, path: str, seen: set[int] | None = None) -> Iterator[tuple[str, str, str]]:
        """Yield path, full name and key of the numbers below an object, in the order of its attributes."""
        seen = set() if seen is None else seen
        if node in seen:
            return
        seen.add(node)
        for _, attribute in _fields(self._nodes[node], 2):  # TrackableObject.attributes
            fields = {number: bytes(value) for number, value in _fields(attribute) if not isinstance(value, int)}
            if fields.get(1) == b"VARIABLE_VALUE":
                yield path, fields.get(2, b"").decode() or path, fields[3].decode()
        for name, inner in self.children(node).items():
            if not name.startswith(_ALIASES):
                yield from self.variables(inner, f"{path}/{name}", seen)
