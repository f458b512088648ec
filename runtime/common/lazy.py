"""Names of a package that are imported, and properties that are computed, when they are first asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def lazy_names(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package (PEP 562).

    Args:
        package: Its full name.
        homes: Module as the package would import it (".model") -> names of it that the package has too.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        """Import a name when it is first asked for."""
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home_of[name], package), name)
        setattr(sys.modules[package], name, value)  # the next time it is simply there
        return value

    return get


class computed_once(Generic[T]):  # noqa: N801 - it is used as `property` is
    """A property that is computed at its first use, by several threads perhaps, and then kept.

    Before Python 3.12 `functools.cached_property` does that under a lock, one for all objects of a class. An exception
    that comes at its release, as a debugger or a profiler may raise one, leaves other threads waiting for ever.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        """Take the function that computes it from the object."""
        self._compute, self.__doc__ = compute, compute.__doc__

    def __get__(self, instance: Any, owner: type) -> T:
        """Return the value; the next time it is an attribute of the object."""
        value = instance.__dict__[self._compute.__name__] = self._compute(instance)
        return value
