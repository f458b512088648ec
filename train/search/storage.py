"""The database of a search of several workers: which URLs are accepted, and how it is opened.

Optuna's storage in a relational database has heartbeats, by which the trial of a worker that was killed is noticed. Its
other storages have none.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ...runtime.common.errors import MissingPackageError, OptionError, OutputError
from .sampler import NullPool, SQLAlchemyError, optuna

_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")
_ACCEPTED = (
    "Give --storage a database: postgresql://USER@HOST/DATABASE, or sqlite:///FILE for several workers on one machine."
)
_NETWORK_DISKS = (
    "nfs", "cifs", "smb", "fuse.sshfs", "fuse.glusterfs", "ceph", "fuse.ceph", "lustre", "gpfs", "beegfs", "afs",
    "ncpfs",
)  # fmt: skip
_LOCK = 0x73746570  # "step": number of the lock in the database, the same for all workers
_WAIT = 60  # seconds for the lock, which is held for a fraction of a second
_CONNECT = {  # of libpq; a network that is gone is noticed in half a minute
    "connect_timeout": 10, "keepalives_idle": 20, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}  # fmt: skip


class Storage:
    """An open database of trials.

    Attributes:
        optuna: Optuna's storage.
        shown: The URL without a password, for messages and files.
    """

    def __init__(self, url: str, heartbeat: int, grace: int) -> None:
        """Open the database at `url`; its tables are made if there are none.

        Args:
            url: See `check_url`.
            heartbeat: Seconds between two signs of life of a running trial.
            grace: Seconds without one, after which its worker is taken for dead.

        Raises:
            OptionError: Such a URL is not accepted.
            MissingPackageError: The driver is not installed.
            OutputError: The database cannot be opened.
        """
        self.shown = check_url(url)
        self._secrets = _secrets(url)
        from sqlalchemy import create_engine

        sqlite = url.startswith("sqlite:")
        connect = _sqlite(Path(url.removeprefix("sqlite:///"))) if sqlite else _postgresql(url)
        self._file = Path(url.removeprefix("sqlite:///")).resolve() if sqlite else None
        kinds: dict[str, Any] = {"poolclass": NullPool} if sqlite else {"pool_pre_ping": True}
        dialect = "sqlite://" if sqlite else "postgresql+psycopg://"  # `connect` knows the rest
        self._locks = create_engine(dialect, creator=connect, poolclass=NullPool)
        with self.errors("open"), self.lock(), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            self.optuna = optuna.storages.RDBStorage(
                dialect,
                engine_kwargs={"creator": connect, **kinds},
                heartbeat_interval=heartbeat,
                grace_period=grace,
            )

    @contextmanager
    def errors(self, action: str) -> Iterator[None]:
        """Turn an error of the database into one that says what could not be done, and how to go on.

        Raises:
            OutputError: Something within the block went wrong in the database.
        """
        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError, OSError) as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(
                f"Cannot {action} the database {self.shown}: {self._reason(error)}. Its finished trials are kept. "
                "Give the same command again once it can be reached; it goes on where it was."
            ) from None  # the cause may quote the URL with its password

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other workers out of a block of reading and writing; the lock goes with the connection or process.

        Raises:
            OutputError: The database cannot be reached, or another worker does not leave.
        """
        if self._file is not None:
            with self._file_lock():
                yield
            return
        from sqlalchemy import text

        with self._locks.begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{_WAIT}s'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            yield

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        assert self._file is not None
        try:
            with FileLock(self._file.with_name(f".{self._file.name}.lock"), timeout=_WAIT):
                yield
        except Timeout:
            raise RuntimeError(f"another worker has had its lock for {_WAIT} seconds") from None

    def _reason(self, error: BaseException) -> str:
        """Return the first line of the deepest cause, without passwords."""
        while isinstance(error, optuna.exceptions.StorageInternalError) and error.__cause__ is not None:
            error = error.__cause__
        lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
        reason = lines[0]
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return reason.rstrip(".")


def check_url(url: str) -> str:
    """Return `url` as messages may show it, without a password.

    Args:
        url: postgresql://..., as libpq takes it, or sqlite:///FILE on a disk of this machine.

    Raises:
        OptionError: It is neither.
        MissingPackageError: The driver is not installed.
    """
    scheme, colon, _ = url.partition(":")
    scheme = scheme.lower()
    if scheme in _POSTGRESQL and url.startswith(f"{scheme}://"):
        return _check_postgresql(url)
    if scheme == "sqlite":
        return _check_sqlite(url)
    if not colon or scheme in ("grpc", "journal", "redis", "file") or len(scheme) == 1:
        raise OptionError(
            "--storage takes a database, no journal, file or gRPC server: Optuna's journal and its gRPC proxy know no "
            f"heartbeat, so the trial of a worker that is killed would never be done. {_ACCEPTED}"
        )
    if not scheme.replace("+", "").isalnum():
        raise OptionError(f"--storage is no URL of a database. {_ACCEPTED}")
    raise OptionError(f"--storage does not take {scheme}; it is tested with PostgreSQL and SQLite. {_ACCEPTED}")


def _check_postgresql(url: str) -> str:
    unreadable = OptionError(
        f"--storage is no URL of PostgreSQL; in a password, write %40 for @, %2F for / and %3A for :. {_ACCEPTED}"
    )
    try:
        parts = urlsplit(url)
        user, host = unquote(parts.username or ""), parts.netloc.rpartition("@")[2]
    except ValueError:
        raise unreadable from None
    if url.count("@") > 1 or "@" in url.replace(parts.netloc, "", 1) or parts.netloc.rpartition("@")[0].count(":") > 1:
        raise unreadable  # libpq would take a part of the password for the host, and name it in a message
    ports = [one.rpartition("]")[2].partition(":")[2] for one in host.split(",")]
    if not all(port == "" or (port.isascii() and port.isdigit()) for port in ports):
        raise unreadable  # USER:PASSWORD without a host would be taken for HOST:PORT
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise MissingPackageError(
            "--storage postgresql:// needs the package psycopg. Install it: pip install 'stepcell[search-db]'"
        ) from error
    try:
        conninfo_to_dict(_for_libpq(url))
    except ProgrammingError:  # its text quotes the URL
        raise unreadable from None
    return f"postgresql://{user}{'@' if user else ''}{host}{parts.path}"


def _check_sqlite(url: str) -> str:
    name = url.removeprefix("sqlite:///")
    if name == url or not name or name == ":memory:":
        raise OptionError("--storage sqlite: names no file. Write sqlite:///search.db, or sqlite:////tmp/search.db.")
    if "?" in name:
        raise OptionError("--storage sqlite:///FILE takes no parameters behind a question mark.")
    folder = Path(name).resolve().parent
    if not folder.is_dir():
        raise OptionError(f"--storage names a file in {folder}, which is no folder. Make it, or name another.")
    kind = file_system(folder)
    if kind.startswith(_NETWORK_DISKS):
        raise OptionError(
            f"--storage names a SQLite file on a network disk ({kind}), whose locks do not hold between machines: "
            f"trials would be lost or done twice. {_ACCEPTED}"
        )
    return url


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the kind of file system of `folder` as Linux calls it; "" where that cannot be known.

    Args:
        folder: An absolute path without symbolic links.
        mounts: Linux's list of mounted file systems.
    """
    if sys.platform == "win32":
        return "smb" if str(folder).startswith("\\\\") else ""
    found, longest = "", -1
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape") if len(before.split()) > 4 else ""
        if point and folder.is_relative_to(point) and len(point) >= longest and after:  # a later one covers an earlier
            found, longest = after.split()[0], len(point)
    return found


def _sqlite(path: Path) -> Callable[[], Any]:
    import sqlite3

    absolute = path.resolve()
    return lambda: sqlite3.connect(absolute, timeout=_WAIT)


def _postgresql(url: str) -> Callable[[], Any]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    given = conninfo_to_dict(_for_libpq(url))
    settings = {name: value for name, value in _CONNECT.items() if name not in given}
    # Statements that the server prepares do not survive a pooler between it and the workers.
    return lambda: psycopg.connect(_for_libpq(url), prepare_threshold=None, **settings)  # type: ignore[arg-type]


def _for_libpq(url: str) -> str:
    return "postgresql" + url[url.index("://") :]


def _secrets(url: str) -> list[str]:
    """Return the passwords of `url` and of the environment as they may stand in a message."""
    try:
        parts = urlsplit(url)
        written = parts.netloc.rpartition("@")[0].partition(":")[2]
        values = [
            written,
            unquote(written),
            *parse_qs(parts.query).get("password", []),
            os.environ.get("PGPASSWORD", ""),
        ]
    except ValueError:
        return []
    return sorted({value for value in values if value}, key=len, reverse=True)
