"""HDF5 as data: the arrays and the configuration of a file that Keras wrote, read without its loader.

What a file can refer to outside of itself is refused: external links and storage, virtual datasets, soft links, and
filters that HDF5 would load from a plugin. So are objects, which are pickles or references, and absurd sizes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import MissingPackageError, SourceError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LARGEST_UNPACKED, _RATIO = 1 << 26, 100  # bytes of all arrays, unless the file holds this share of them
_MOST_OBJECTS = 200_000
_FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, fletcher32, LZF: those inside h5py
_NUMBERS = "fiub"


class UnsafeHdf5Error(ValueError):
    """Something in an HDF5 file that is not read: what it is and where."""


@contextmanager
def open_hdf5(content: Path | bytes, name: str) -> Iterator[Any]:
    """Open an HDF5 file, check all that is in it, and yield its root group.

    Args:
        content: Path of the file, or its bytes.
        name: Name of the file in messages.

    Raises:
        SourceError: The file is damaged, or holds something that is not read.
        MissingPackageError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise MissingPackageError(f"Reading {name} needs h5py. Install it: pip install 'stepcell[export]'") from None
    try:
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        with h5py.File(io.BytesIO(content) if isinstance(content, bytes) else content, "r") as file:
            _require_plain(file, max(_LARGEST_UNPACKED, _RATIO * size))
            yield file
    except UnsafeHdf5Error as error:
        raise SourceError(f"{name} is not read: {error}. Give a file as Keras saved it.") from None
    except SourceError:
        raise
    except Exception as error:  # h5py raises whatever the damaged part ran into
        raise SourceError(f"{name} is a damaged HDF5 file ({_first_line(error)}). Copy it again.") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]


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


def text_attribute(group: Any, name: str) -> str | None:
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


def text_list(group: Any, name: str) -> list[str] | None:
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


def arrays_of(group: Any) -> dict[str, AnyArray]:
    """Return all arrays below an HDF5 group, by their paths inside it."""
    import h5py

    found: dict[str, AnyArray] = {}
    pending, seen = [(group, "")], set()
    while pending:
        current, path = pending.pop()
        address = h5py.h5o.get_info(current.id).addr
        if address in seen:
            continue
        seen.add(address)
        for key, value in current.items():
            if isinstance(value, h5py.Dataset):
                found[path + key] = value[()]
            else:
                pending.append((value, f"{path}{key}/"))
    return found
