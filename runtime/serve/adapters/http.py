"""HTTP: records as requests, answered once they are kept; answers as events, metrics and a page to look at."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ...common.errors import InputError, MissingPackageError
from .base import Inbox, Json, Outcome
from .event_stream import EventStream
from .http_guard import Address, Guard, check_access
from .http_requests import Requests
from .metrics import Metrics

BACKLOG = 1024  # connections that wait to be accepted
UNREAD_SECONDS = 30  # after which a connection ends whose reader takes nothing
END_SECONDS = 2  # for the last responses to be sent


class HttpSource:
    """A server of HTTP: a source of records, and all that can be asked about a service.

    Attributes:
        name: "http".
        can_wait: A refused record is an error of its request.
        address: Where it listens; the port is the true one after `start`.
    """

    name = "http"
    can_wait = True

    def __init__(self, address: Address, token: str | None, tell: Callable[[str], None]) -> None:
        """Begin with nothing open.

        Args:
            address: Where to listen; port 0: any that is free.
            token: Wanted of every request; None: none is, and only this machine may ask.
            tell: Takes remarks for the user.

        Raises:
            OptionError: Other machines reach the address, and there is no token.
        """
        check_access(address, token)
        self.address = address
        self._token, self._tell = token, tell
        self._metrics = Metrics()

    def start(self, inbox: Inbox, position: Json) -> None:
        """Listen; see `Source.start`.

        Raises:
            MissingPackageError: starlette, uvicorn or prometheus-client is not installed.
            InputError: The address cannot be listened on.
        """
        try:
            import prometheus_client  # noqa: F401 - asked for with the others
            import starlette.routing  # noqa: F401 - likewise
            import uvicorn
        except ImportError as error:
            raise MissingPackageError(
                f"--http needs starlette, uvicorn and prometheus-client ({error}). Install them: "
                "pip install 'stepcell[serve]'"
            ) from error
        listener = listen(self.address)
        self.address = self.address._replace(port=listener.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._requests, self._events = Requests(self, inbox, self._loop), EventStream(self._loop)
        from .http_api import make_app

        guard = Guard(make_app(self._requests, self._events, self._metrics), self._token, self._tell)
        config = uvicorn.Config(
            guard, log_config=None, access_log=False, lifespan="off", ws="none", interface="asgi3",
            proxy_headers=False, server_header=False, timeout_graceful_shutdown=END_SECONDS, backlog=BACKLOG,
        )  # fmt: skip
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the guard tells errors
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(listener, inbox), name="http", daemon=True)
        inbox.call(self._watch)
        self._thread.start()
        self._tell(f"Listening on {self.address}")

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """Answer requests; see `Source.committed`."""
        self._requests.committed(outcomes)

    def stop(self) -> None:
        """Refuse new records; see `Source.stop`."""
        self._requests.stop()

    def close(self) -> None:
        """Let all readers go and end the server; see `Source.close`."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._end)
        self._thread.join(END_SECONDS + 3)

    def _watch(self, service: Any) -> None:
        self._requests.service = service
        service.subscribe(self._observe)

    def _observe(self, outcomes: Sequence[Outcome]) -> None:
        self._metrics.count(outcomes)
        self._events.publish(outcomes)

    def _end(self) -> None:
        self._requests.close()
        self._events.close()
        self._server.should_exit = True

    def _run(self, listener: socket.socket, inbox: Inbox) -> None:
        """Serve until the end; the body of the thread."""
        asyncio.set_event_loop(self._loop)
        try:
            with listener:
                self._loop.run_until_complete(self._serve(listener))
        except Exception as error:
            inbox.fail(self, InputError(f"The server of HTTP failed: {type(error).__name__}: {error}."))
        finally:
            self._loop.close()

    async def _serve(self, listener: socket.socket) -> None:
        expiry = asyncio.ensure_future(self._expire())
        try:
            await self._server.serve(sockets=[listener])
        finally:
            expiry.cancel()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._requests.expire()


def listen(address: Address) -> socket.socket:
    """Return a socket that listens.

    Raises:
        InputError: The address is in use, or is none of this machine.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"Cannot listen on {address}: {error.strerror or error}.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(
            f"Cannot listen on {address}: {error.strerror or error}. Stop what listens there, or give another port."
        ) from error
    return listener
