"""HDF5 as data: the arrays and the configuration of a file that Keras wrote, read without its loader.

What a file can refer to outside of itself is refused: external links and storage, virtual datasets, soft links, and
filters that HDF5 would load from a plugin. So are objects, which are pickles or references, and absurd sizes.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import MissingPackageError, SourceError
from ...runtime.common.run_worker import WorkerProcess

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LARGEST_UNPACKED, _RATIO = 1 << 26, 100  # bytes of all arrays, unless the file holds this share of them
_MOST_OBJECTS = 200_000
_FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, fletcher32, LZF: those inside h5py
_NUMBERS = "fiub"
_TEXTS, _LISTS = ("model_config", "keras_version"), ("layer_names", "weight_names")
# Of a process; damaged files can make HDF5 go round in circles.
_TIMEOUT, _SLOWEST = 20.0, 5e6  # seconds, and bytes a second
# It starts with the first file and ends with this process.
_PROCESS = WorkerProcess((sys.executable, "-m", "stepcell.export.sources.hdf5_worker"))


class UnsafeHdf5Error(ValueError):
    """Something in an HDF5 file that is not read: what it is and where."""


@dataclass(frozen=True)
class Hdf5File:
    """What Keras needs of an HDF5 file, all by paths inside it; that of the root is "".

    Attributes:
        texts: Path of a group -> its attributes that are texts.
        lists: Path of a group -> its attributes that are lists of texts; `name0`, `name1`, ... are joined to `name`.
        arrays: Path -> array.
    """

    texts: dict[str, dict[str, str]]
    lists: dict[str, dict[str, list[str]]]
    arrays: dict[str, AnyArray]


def read_hdf5(content: Path | bytes, name: str) -> Hdf5File:
    """Read an HDF5 file in a process of its own, in which a damaged one may hang or crash.

    Args:
        content: Path of the file, or its bytes.
        name: Name of the file in messages.

    Raises:
        SourceError: The file is damaged, or holds something that is not read.
        MissingPackageError: h5py is not installed.
    """
    if importlib.util.find_spec("h5py") is None:
        raise MissingPackageError(f"Reading {name} needs h5py. Install it: pip install 'stepcell[export]'")
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    path, blobs = (None, [content]) if isinstance(content, bytes) else (str(content.resolve()), [])
    found = _PROCESS.request("read", *blobs, timeout=_TIMEOUT + size / _SLOWEST, path=path)
    if found.failure is not None:
        raise SourceError(f"{name} is a damaged HDF5 file ({found.failure}). Copy it again.")
    if "refused" in found.value:
        raise SourceError(f"{name} is not read: {found.value['refused']}. Give a file as Keras saved it.")
    if "damaged" in found.value:
        raise SourceError(f"{name} is a damaged HDF5 file ({found.value['damaged']}). Copy it again.")
    arrays = {
        path: np.frombuffer(blob, dtype).reshape(shape)
        for (path, dtype, shape), blob in zip(found.value["arrays"], found.blobs, strict=True)
    }
    return Hdf5File(found.value["texts"], found.value["lists"], arrays)


def extract(content: str | bytes) -> Hdf5File:
    """Read an HDF5 file in this process; `content` is its path or its bytes.

    Raises:
        UnsafeHdf5Error: It holds something that is not read.
        Exception: Whatever h5py raises at a damaged part.
    """
    import h5py

    size = len(content) if isinstance(content, bytes) else Path(content).stat().st_size
    with h5py.File(io.BytesIO(content) if isinstance(content, bytes) else content, "r") as root:
        _require_plain(root, max(_LARGEST_UNPACKED, _RATIO * size))
        found = Hdf5File({}, {}, {})
        pending, seen = [(root, "")], set()
        while pending:
            group, path = pending.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in seen or path == "optimizer_weights":
                continue
            seen.add(address)
            found.texts[path] = {name: text for name in _TEXTS if (text := _text(group, name)) is not None}
            found.lists[path] = {name: texts for name in _LISTS if (texts := _texts(group, name)) is not None}
            for key, value in group.items():
                inner = f"{path}/{key}".lstrip("/")
                if isinstance(value, h5py.Dataset):
                    found.arrays[inner] = value[()]
                else:
                    pending.append((value, inner))
        return found


def _require_plain(root: Any, most_bytes: int) -> None:
    """Raise UnsafeHdf5Error if anything below `root` is not plain data inside the file."""
    import h5py

    seen: set[int] = set()
    pending, total = [root], 0
    while pending:
        group = pending.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:  # a hard link to a group above it
            continue
        seen.add(address)
        if len(seen) > _MOST_OBJECTS:
            raise UnsafeHdf5Error(f"it has more than {_MOST_OBJECTS:,} objects")
        for key in group:
            where = f"{group.name.rstrip('/')}/{key}"
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
                raise UnsafeHdf5Error(f"{where} is {kind}")
            found = group[key]
            if isinstance(found, h5py.Group):
                pending.append(found)
            elif isinstance(found, h5py.Dataset):
                total += _bytes_of(found, where)
            else:
                raise UnsafeHdf5Error(f"{where} is neither a group nor an array")
            if total > most_bytes:
                raise UnsafeHdf5Error(f"its arrays have more than {most_bytes:,} bytes unpacked")


def _bytes_of(dataset: Any, where: str) -> int:
    """Return the size of an array that is plain data, or raise UnsafeHdf5Error."""
    if dataset.external:
        raise UnsafeHdf5Error(f"{where} takes its numbers from another file (external storage)")
    if dataset.is_virtual:
        raise UnsafeHdf5Error(f"{where} is made of other arrays (a virtual dataset)")
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())}
    if not filters <= _FILTERS:
        raise UnsafeHdf5Error(f"{where} is packed with the HDF5 filter {min(filters - _FILTERS)}, a plugin")
    if dataset.dtype.kind not in _NUMBERS or dataset.shape is None:
        raise UnsafeHdf5Error(f"{where} holds no numbers ({dataset.dtype})")
    return int(dataset.nbytes)


def _text(group: Any, name: str) -> str | None:
    """Return the text attribute `name` of an HDF5 object; None: there is none.

    Raises:
        UnsafeHdf5Error: It is no text.
    """
    if name not in group.attrs:
        return None
    value = group.attrs[name]
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str):
        raise UnsafeHdf5Error(f"its attribute {name} is no text")
    return value


def _texts(group: Any, name: str) -> list[str] | None:
    """Return the attribute `name`, a list of texts; Keras cuts long ones into `name0`, `name1`, ... None: none."""
    names = [name] if name in group.attrs else []
    while f"{name}{len(names)}" in group.attrs and name not in group.attrs:
        names.append(f"{name}{len(names)}")
    if not names:
        return None
    found = []
    for part in names:
        for value in np.asarray(group.attrs[part]).reshape(-1):
            text = value.decode() if isinstance(value, bytes) else value
            if not isinstance(text, str):
                raise UnsafeHdf5Error(f"its attribute {part} is no list of texts")
            found.append(str(text))
    return found
