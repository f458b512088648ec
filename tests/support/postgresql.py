"""A PostgreSQL of its own for a test: on a free port of loopback, stopped and started at will."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .mosquitto import free_port

_DEBIAN = "/usr/lib/postgresql"


class Database:
    """A server with one database, `search`, and the user `stepcell` with the password `password`."""

    def __init__(self, password: str = "secret") -> None:
        found = shutil.which("initdb") or max(map(str, Path(_DEBIAN).glob("*/bin/initdb")), default=None)
        assert found, "These tests need PostgreSQL: apt-get install postgresql (.ci/run does that)"
        self._programs = Path(found).parent
        self._folder = Path(tempfile.mkdtemp(prefix="stepcell-postgresql-"))  # where its user may go
        self._data, self.port, self.password = self._folder / "data", free_port(), password
        self._as_user: dict[str, Any] = {"cwd": self._folder, "check": True, "stdout": subprocess.DEVNULL}
        if os.getuid() == 0:  # PostgreSQL does not run as root
            self._as_user |= {"user": "nobody", "extra_groups": []}
            shutil.chown(self._folder, "nobody")
        secret = self._folder / "password"
        secret.write_text(password)
        secret.chmod(0o644)
        self._run("initdb", "--pgdata", self._data, "--auth", "scram-sha-256", "--username", "stepcell", "--no-sync",
                  "--pwfile", secret)  # fmt: skip
        self.start()
        self.query("CREATE DATABASE search", "postgres")

    @property
    def url(self) -> str:
        from urllib.parse import quote

        return f"postgresql://stepcell:{quote(self.password, safe='')}@127.0.0.1:{self.port}/search"

    def query(self, statement: str, database: str = "search") -> list[Any]:
        import psycopg

        address = {"host": "127.0.0.1", "port": self.port, "user": "stepcell", "password": self.password}
        with psycopg.connect(dbname=database, autocommit=True, **address) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        settings = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._control("start", "-o", settings, "-l", self._folder / "log")

    def stop(self) -> None:
        """End it at once, connections and all."""
        self._control("stop", "-m", "immediate")

    def close(self) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._folder)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _control(self, action: str, *more: object) -> None:
        self._run("pg_ctl", action, "-D", self._data, "-w", *more)

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run([str(self._programs / program), *map(str, arguments)], **self._as_user)
