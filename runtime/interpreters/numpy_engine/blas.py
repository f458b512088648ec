"""Holds the library that numpy multiplies matrices with to one thread, while a step runs.

OpenBLAS shares out products of more than 9,216 weights among all processors, and to wake and wait for them costs more
than the product: 5.4 microseconds against 1.2 with 50 units, and a thousand when the processors are busy.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_MODULES = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")  # numpy 2, numpy 1
# OpenBLAS has its functions under its own name, or under those that numpy's wheels give them.
_PREFIXES, _SUFFIXES = ("", "scipy_"), ("", "64_")


def _find() -> tuple[Callable[[], int], Callable[[int], Any]]:
    """Return functions that tell and set the number of threads; where there is no OpenBLAS, it is always one."""
    for module in _MODULES:
        path = getattr(sys.modules.get(module), "__file__", None)
        try:
            library = ctypes.CDLL(path) if path else None  # its symbols are also those of what it is linked with
        except OSError:
            library = None
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                names = [f"{prefix}openblas_{what}_num_threads{suffix}" for what in ("get", "set")]
                if library is not None and all(hasattr(library, name) for name in names):
                    tell, put = (getattr(library, name) for name in names)
                    tell.argtypes, tell.restype = [], ctypes.c_int
                    put.argtypes, put.restype = [ctypes.c_int], None
                    return tell, put
    return lambda: 1, lambda threads: None


threads, set_threads = _find()


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold products to one thread; for work of many small ones."""
    usual = threads()
    set_threads(1)
    try:
        yield
    finally:
        set_threads(usual)
