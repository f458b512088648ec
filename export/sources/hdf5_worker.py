"""Read HDF5 files in a process of its own: `python -m stepcell.export.sources.hdf5_worker`, started by `hdf5.py`."""

from __future__ import annotations

import os
import sys

from ...runtime.common.run_worker import read_message, write_message
from .hdf5 import UnsafeHdf5Error, extract

if __name__ == "__main__":
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no message
    while (request := read_message(sys.stdin.buffer)) is not None:
        head, blobs = request
        value: dict[str, object] = {}
        made: list[bytes] = []
        try:
            file = extract(head["path"] or blobs[0])
            value = {"texts": file.texts, "lists": file.lists}
            value["arrays"] = [(path, array.dtype.str, array.shape) for path, array in file.arrays.items()]
            made = [array.tobytes() for array in file.arrays.values()]
        except UnsafeHdf5Error as error:
            value = {"refused": str(error)}
        except Exception as error:  # h5py raises whatever the damaged part ran into
            value = {"damaged": (str(error).strip() or type(error).__name__).splitlines()[0][:200]}
        write_message(messages, {"value": value, "failure": None}, made)
