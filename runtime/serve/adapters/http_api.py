"""The addresses of a server of HTTP, and what each answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from ...common.printable import printable_json
from ..service.view import status_of, stream_of, streams_of
from .event_stream import MOST_READERS, EventStream
from .http_guard import App, Receive, Scope, Send, reply
from .http_page import page_routes
from .http_records import BadBodyError, error_body, parse_body, response_to
from .http_requests import Requests, UnavailableError
from .metrics import Metrics

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST_BYTES = 1 << 20  # of a body
BODY_SECONDS = 30.0  # that a body may take to come
MOST_LISTED, LISTED = 1_000, 100  # streams in a list
_LATER = ((b"retry-after", b"1"),)
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_Ask = Callable[["Request"], Awaitable[Any]]


class StepEndpoint:
    """`POST /v1/streams/{stream}/step`. An application of its own: it answers most requests."""

    def __init__(self, requests: Requests) -> None:
        """Begin with no requests."""
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Step the records of a body and answer once they are kept."""
        try:
            stream = _stream_of(scope)
            body = parse_body(await _body_of(receive))
            outcomes = await self._requests.step(stream, body.contents)
            await reply(send, *response_to(outcomes, is_array=body.is_array))
        except BadBodyError as error:
            await reply(send, 400, error_body(str(error), "bad-record"))
        except UnavailableError as error:
            await reply(send, 503, error_body(str(error), error.code), _LATER)
        except _LongBodyError:
            text = f"The body is longer than {MOST_BYTES:,} bytes. Nothing was stepped. Send its records in several."
            await reply(send, 413, error_body(text, "too-long"))
        except _LateBodyError:
            text = f"The body did not come within {BODY_SECONDS:g} s. Nothing was stepped."
            await reply(send, 408, error_body(text, "late"))
        except _GoneError:
            pass


class AnswersEndpoint:
    """`GET /v1/answers`: server-sent events."""

    def __init__(self, events: EventStream) -> None:
        """Begin without readers."""
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the reader goes."""
        from starlette.requests import Request

        request = Request(scope)
        try:
            last = _number(request, "last", 0)
        except ValueError as error:
            await reply(send, 400, error_body(str(error), "bad-request"))
            return
        if self._events.readers >= MOST_READERS:
            text = f"{MOST_READERS} others read already. Ask again later."
            await reply(send, 503, error_body(text, "full"), _LATER)
            return
        query, last_id = request.query_params, request.headers.get("last-event-id", "")
        await self._events.serve(send, receive, query.get("stream"), last_id, last, skips="newest" in query)


def make_app(requests: Requests, events: EventStream, metrics: Metrics) -> App:
    """Return the application of all addresses."""
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route, Router

    async def list_streams(request: Request) -> Any:
        limit, after = _number(request, "limit", LISTED), request.query_params.get("after")
        return await requests.call(lambda service: streams_of(service, min(max(limit, 1), MOST_LISTED), after))

    async def show_stream(request: Request) -> Any:
        stream = _stream_of(request.scope)
        found = await requests.call(lambda service: stream_of(service, stream))
        if found is None:
            raise LookupError(f"There is no stream {stream!r}. Its first record makes it.")
        return found

    async def forget_stream(request: Request) -> Any:
        stream = _stream_of(request.scope)
        if not await requests.call(lambda service: service.forget([stream])):
            raise LookupError(f"There is no stream {stream!r}.")
        return {"stream": stream, "forgotten": True}

    async def look() -> None:
        """Bring the counts up to date, as far as the service answers: it may wait until it can write."""
        try:
            metrics.status = await requests.call(status_of)
        except UnavailableError as error:
            status = requests.service and requests.service.status
            reason = status.reason if status and not status.ready else str(error)
            metrics.status = {**metrics.status, "ready": False, "reason": reason}
        metrics.readers, metrics.dropped = events.readers, events.dropped

    async def show_status(_: Request) -> Any:
        await look()
        return {**metrics.status, "alerts": metrics.alerts}

    async def readiness(_: Request) -> Response:
        await look()
        ready = metrics.status["ready"]
        body = printable_json({"ready": True} if ready else {"ready": False, "reason": metrics.status["reason"]})
        return Response(body, 200 if ready else 503, None if ready else {"retry-after": "1"}, "application/json")

    async def show_metrics(_: Request) -> Response:
        await look()
        return Response(metrics.text(), media_type=_METRICS)

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 404, error_body(f"There is nothing at {scope['path']}.", "not-found"))

    one = "/v1/streams/{stream:path}"
    routes = [
        Route(f"{one}/step", StepEndpoint(requests), methods=["POST"]),
        Route("/v1/streams", _answered(list_streams), methods=["GET"]),
        Route(one, _answered(show_stream), methods=["GET"]),
        Route(one, _answered(forget_stream), methods=["DELETE"]),
        Route("/v1/answers", AnswersEndpoint(events), methods=["GET"]),
        Route("/v1/status", _answered(show_status), methods=["GET"]),
        Route("/healthz", health),
        Route("/readyz", readiness),
        Route("/metrics", show_metrics),
        *page_routes(),
    ]
    return Router(routes, redirect_slashes=False, default=nothing)


def _answered(ask: _Ask) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint that answers with the JSON of a question to the service."""
    from starlette.responses import Response

    async def answer(request: Request) -> Response:
        try:
            status, body = 200, printable_json(await ask(request)).encode()
        except BadBodyError as error:
            status, body = 400, error_body(str(error), "bad-request")
        except ValueError as error:
            status, body = 400, error_body(str(error), "bad-request")
        except LookupError as error:
            status, body = 404, error_body(str(error), "unknown-stream")
        except UnavailableError as error:
            status, body = 503, error_body(str(error), error.code)
        return Response(body, status, media_type="application/json")

    return answer


class _LongBodyError(Exception):
    pass


class _LateBodyError(Exception):
    pass


class _GoneError(Exception):
    """The sender went before its body had come."""


async def _body_of(receive: Receive) -> bytes:
    """Return the whole body of a request."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    parts, length = [], 0
    alarm = loop.call_later(BODY_SECONDS, task.cancel)  # cheaper than a task of its own for each request
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            part = message.get("body", b"")
            parts.append(part)
            length += len(part)
            if length > MOST_BYTES:
                raise _LongBodyError
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)
    except asyncio.CancelledError:
        if alarm.when() > loop.time():
            raise
        raise _LateBodyError from None
    finally:
        alarm.cancel()


def _stream_of(scope: Scope) -> str:
    """Return the stream that an address names."""
    stream: str = scope["path_params"]["stream"]
    if "\ufffd" in stream:  # the server puts it where bytes are no UTF-8: two streams would become one
        try:
            unquote_to_bytes(scope.get("raw_path", b"")).decode()
        except UnicodeDecodeError:
            raise BadBodyError("The stream in the address is no UTF-8.") from None
    return stream


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{name} wants a number, and was given {text[:80]!r}.")
    return int(text[:9])
