"""Forks of processes with several threads: their children leave the interpreters of the parent alone.

Another thread may have been inside an interpreter at the moment of the fork, and in the child it will never come out:
locks of the interpreter stay held, and a call of it may wait for ever. So what holds an interpreter is told in the
child, and opens another one. No interpreter is being opened during a fork. A process with one thread is simply copied.
"""

from __future__ import annotations

import os
import sys
from threading import Lock
from typing import Any, NoReturn, Protocol
from weakref import WeakSet

from ..common.errors import BackendError, OptionError

opening = Lock()  # held while an interpreter is opened, and during a fork


class Holder(Protocol):
    """Something that holds interpreters."""

    def after_fork(self) -> None:
        """Leave them alone from now on: no call of theirs, not even to close them."""


_holders: WeakSet[Holder] = WeakSet()
_left: list[Any] = []  # interpreters of the parent, which may not be closed here
_several = False  # whether the process that forks has several threads


def tell_of_forks(holder: Holder) -> None:
    """Call `holder.after_fork` in the child of each fork of a process with several threads."""
    _holders.add(holder)


def leave(*interpreters: Any) -> None:
    """Keep interpreters of the parent for ever."""
    _left.extend(interpreters)


class LostInterpreter:
    """Stands for an interpreter of the parent that cannot be replaced: each use of it is an error."""

    def __init__(self, what: str, remedy: str) -> None:
        """Take the words for `what` it belonged to, and for what to do."""
        self._message = (
            f"{what} was made before this process was forked from one with several threads, which its interpreter "
            f"does not survive. {remedy}"
        )

    def __getattr__(self, name: str) -> Any:
        """Refuse.

        Raises:
            BackendError: Always.
        """
        raise BackendError(self._message)


class Unpicklable:
    """Something with an interpreter, which cannot be sent to another process.

    Attributes:
        pickle_remedy: What to do instead, in words.
    """

    pickle_remedy: str

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled.

        Raises:
            OptionError: Always.
        """
        raise OptionError(f"A {type(self).__name__} cannot be pickled, as it has an interpreter. {self.pickle_remedy}")


def _before() -> None:
    global _several
    opening.acquire()
    _several = len(sys._current_frames()) > 1


def _in_child() -> None:
    opening.release()
    if _several:
        for holder in list(_holders):
            holder.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=opening.release, after_in_child=_in_child)
