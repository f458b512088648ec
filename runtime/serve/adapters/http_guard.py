"""Who may ask a server of HTTP: its token, and the names it goes by."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from ...common.errors import OptionError
from .http_page import PAGE
from .http_records import error_body

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OPEN = frozenset(("/healthz", *PAGE))
_LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]"))
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_JSON = (b"content-type", b"application/json")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether other machines cannot reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        """Return it as the beginning of an address of the web."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address of `--http`: HOST:PORT, [::1]:PORT, or :PORT for this machine alone.

    Raises:
        OptionError: It is none.
    """
    host, colon, port = text.removeprefix("http://").rstrip("/").rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise OptionError(f"--http wants HOST:PORT, as in 127.0.0.1:8080, and was given {text!r}.")
    return Address(host or "127.0.0.1", int(port))


def read_token(path: Path) -> str:
    """Return the token in a file: its only line.

    Raises:
        OptionError: It cannot be read, or holds no token.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no ASCII text"
        raise OptionError(f"Cannot read --http-token-file {path}: {reason}.") from None
    if len(token) < 16 or any(char.isspace() for char in token):
        raise OptionError(
            f"--http-token-file {path} wants one line of at least 16 characters without spaces. "
            f"Make one with: head -c 24 /dev/urandom | base64 > {path}"
        )
    return token


def check_access(address: Address, token: str | None) -> None:
    """Raise OptionError if other machines reach the address and there is no token."""
    if token is None and not address.is_loopback:
        raise OptionError(
            f"--http {address.host}:{address.port} can be reached from other machines, so it wants --http-token-file. "
            f"Give one, or use --http 127.0.0.1:{address.port}."
        )


class Guard:
    """Lets requests through that have the token, or that were meant for this machine.

    With a token every request needs it, except those for the page and for /healthz. Without one the server is on
    loopback, and a page of another site must not reach it through the browser of somebody who works here: the Host
    header must be a name of loopback (a site can give its own name the address 127.0.0.1), and a request that changes
    something must not come from the page of another origin.
    """

    def __init__(self, app: App, token: str | None, tell: Callable[[str], None]) -> None:
        """Guard `app`; `tell` takes remarks for the user: errors that are faults of the server."""
        self._app, self._tell = app, tell
        self._token = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        problem = self._without_token(scope, headers) if self._token is None else self._without_right(scope, headers)
        if problem is not None:
            status, code, text = problem
            await reply(send, status, error_body(text, code), _challenge(status))
            return
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:  # a fault of ours must not end the connection without a word
            self._tell(f"{scope['method']} {scope['path']}: {type(error).__name__}: {error}")
            if not began:
                await reply(send, 500, error_body(f"A fault of the server: {type(error).__name__}.", "internal"))

    def _without_right(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        given = headers.get(b"authorization", b"")
        if scope["path"] in _OPEN or hmac.compare_digest(given, self._token or b""):
            return None
        return 401, "token", "This server wants its token: Authorization: Bearer TOKEN."

    @staticmethod
    def _without_token(scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in _LOCAL_NAMES:
            text = f"This server has no token and is for this machine: {host[:200]!r} is no name of it. Use 127.0.0.1."
            return 403, "host", text
        origin = headers.get(b"origin")
        if origin is not None and scope["method"] not in _SAFE and origin != b"http://" + headers[b"host"]:
            return 403, "origin", "A page of another site may not change anything here."
        return None


async def reply(send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Answer a request with JSON."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body})


def _challenge(status: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"www-authenticate", b"Bearer"),) if status == 401 else ()
