"""Copy a store, also while a process writes it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from ..common.atomic_write import atomic_rename, remove_partial_files
from ..common.errors import ForeignStateError, OutputError, SavedStateError, StateNotFoundError
from ..common.lock import is_locked
from .store_file import StoreFile, has_log, usable

_BESIDE = ("-wal", "-shm", "-journal")  # files of SQLite beside a database that is open


def back_up(store: StoreFile, to: str | Path) -> None:
    """Write a copy of a store, as it is at one moment, whole or not at all. An earlier copy there is replaced.

    Raises:
        OutputError: It cannot be written, or the file there is in use or no store. What stood there still does.
    """
    to = Path(to)
    _check_place(store, to)
    temporary = to.with_name(f".{to.name}.{os.getpid()}.part")
    remove_partial_files(to.parent, to.name)
    try:
        with usable(to):
            _copy(store, temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        for end in _BESIDE:
            Path(f"{to}{end}").unlink(missing_ok=True)
        atomic_rename(temporary, to)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"Cannot write {to}: {error.strerror or error}. Nothing was written.") from error
    finally:
        for end in ("", *_BESIDE):
            with suppress(OSError):
                Path(f"{temporary}{end}").unlink(missing_ok=True)


def _check_place(store: StoreFile, to: Path) -> None:
    if to.resolve() == store.path.resolve():
        raise OutputError(f"{to} is the store itself: give the copy another name. Nothing was written.")
    if not to.exists():
        return
    try:
        with StoreFile(to) as found:
            problem = "is a store that is in use" if found.in_use else ""
    except (StateNotFoundError, ForeignStateError):
        problem = "is there already, and is no store of streams"
    except SavedStateError:  # a damaged copy, or one of another version, may be replaced
        problem = ""
    if not problem and has_log(to):  # it would be applied to the copy
        problem = f"is a store that was not closed (there is {to.name}-wal)"
    if problem:
        raise OutputError(f"{to} {problem}: give the copy another name. Nothing was written.")


def _copy(store: StoreFile, to: Path) -> None:
    copy = sqlite3.connect(to, isolation_level=None)
    try:
        store.database.backup(copy)  # in one step, so that it is the store at one moment
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without others beside it
        (problem,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    finally:
        copy.close()
    if store.is_closed and (is_locked(store.path) or has_log(store.path)):
        raise OutputError(f"{store.path} was opened while it was copied. Nothing was written. Type this again.")
    if problem != "ok":
        raise OutputError(f"The copy of {store.path} is damaged: {problem}. Nothing was written.")
