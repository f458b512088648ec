"""The files of the page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

_FOLDER = Path(__file__).parent.parent / "page"
# Address -> file and its kind. They hold no data: the page asks for these.
PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    **{f"/{name}": (name, "text/javascript") for name in ("page.js", "draw.js", "connection.js")},
}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def page_routes() -> list[Route]:
    """Return a route for each file of the page; the files are read now."""
    from starlette.responses import Response
    from starlette.routing import Route

    def route(path: str, name: str, kind: str) -> Route:
        content = (_FOLDER / name).read_bytes()

        async def send_file(_: Request) -> Response:
            return Response(content, media_type=kind, headers=_HEADERS)

        return Route(path, send_file)

    return [route(path, *found) for path, found in PAGE.items()]
