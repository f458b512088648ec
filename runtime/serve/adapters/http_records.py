"""Bodies of requests as records, and what became of records as responses."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from ...common.printable import printable_json
from .base import BACKEND, BAD_RECORD, GAP, NOT_FINITE, NOT_STARTED, REFUSED, TOO_LONG, UNKNOWN_SYMBOL, Outcome

NOT_READY, STOPPING, FULL, TIMEOUT = "not-ready", "stopping", "full", "timeout"
_STATUS = {
    BAD_RECORD: HTTPStatus.BAD_REQUEST,
    UNKNOWN_SYMBOL: HTTPStatus.UNPROCESSABLE_ENTITY,
    NOT_FINITE: HTTPStatus.UNPROCESSABLE_ENTITY,
    TOO_LONG: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    GAP: HTTPStatus.CONFLICT,
    NOT_STARTED: HTTPStatus.CONFLICT,
    "damaged": HTTPStatus.INTERNAL_SERVER_ERROR,  # what the store holds of the stream
    BACKEND: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_SPACE = re.compile(r"[ \t\n\r]*")
_ENDS = bytes.maketrans(b"\r\n", b"  ")  # between the tokens of JSON they are spaces, and elsewhere it has none
_EXAMPLE = 'Send a JSON object, {"seq": 8, "symbol": "close"}, or an array of such objects.'


class BadBodyError(Exception):
    """A body that is no record. Nothing has been stepped."""


class Body(NamedTuple):
    """The records of a body.

    Attributes:
        contents: The JSON objects, each on one line, as they were sent.
        is_array: Whether they stood in an array.
    """

    contents: list[bytes]
    is_array: bool


def parse_body(body: bytes) -> Body:
    """Return the records of a body: a JSON object, or an array of objects.

    Raises:
        BadBodyError: It is neither.
    """
    try:
        text = body.decode()
        begin = _after_space(text, 0)
        if text[begin : begin + 1] == "[":
            return Body(_objects_of(text, begin + 1), True)
        found = json.loads(text)
    except UnicodeDecodeError as error:
        raise BadBodyError(f"The body is no UTF-8 ({error.reason} at byte {error.start:,}). {_EXAMPLE}") from None
    except RecursionError:
        raise BadBodyError(f"The body is nested too deeply. {_EXAMPLE}") from None
    except ValueError as error:
        problem = f"is no JSON ({error})" if body.strip() else "is empty"
        raise BadBodyError(f"The body {problem}. {_EXAMPLE}") from None
    if not isinstance(found, dict):
        raise BadBodyError(f"The body is a JSON {_kind(found)}. {_EXAMPLE}")
    return Body([body.translate(_ENDS)], False)


def response_to(outcomes: Sequence[Outcome], *, is_array: bool) -> tuple[int, bytes]:
    """Return status and body: the answers as they are. The status of an array is that of its first error."""
    status = next((found for each in outcomes if (found := _status_of(each)) != HTTPStatus.OK), HTTPStatus.OK)
    texts = [_text_of(each) for each in outcomes]
    text = f"[{','.join(texts)}]" if is_array else texts[0]
    return int(status), text.encode(errors="surrogatepass")


def error_body(text: str, code: str) -> bytes:
    """Return the body of an error that is not about a record of its own."""
    return printable_json({"error": text, "code": code}).encode()


def _objects_of(text: str, begin: int) -> list[bytes]:
    """Return the objects of an array whose content begins at `begin`, in their own words."""
    decode, contents = json.JSONDecoder().raw_decode, list[bytes]()
    place = _after_space(text, begin)
    if text[place : place + 1] == "]":
        raise BadBodyError(f"The array is empty. {_EXAMPLE}")
    while True:
        found, end = decode(text, place)
        if not isinstance(found, dict):
            raise BadBodyError(f"Item {len(contents)} of the array is a JSON {_kind(found)}. {_EXAMPLE}")
        contents.append(text[place:end].encode().translate(_ENDS))
        place = _after_space(text, end)
        if text[place : place + 1] == "]":
            break
        if text[place : place + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, place)
        place = _after_space(text, place + 1)
    if _after_space(text, place + 1) != len(text):
        raise json.JSONDecodeError("Extra data", text, place + 1)
    return contents


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return place if found is None else found.end()


def _kind(value: object) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def _status_of(outcome: Outcome) -> HTTPStatus:
    if outcome.code is None:
        return HTTPStatus.OK
    other = HTTPStatus.SERVICE_UNAVAILABLE if outcome.kind == REFUSED else HTTPStatus.UNPROCESSABLE_ENTITY
    return _STATUS.get(outcome.code, other)


def _text_of(outcome: Outcome) -> str:
    """Return the answer; of a record before the last one of its stream only that it was repeated."""
    if outcome.answer is not None:
        return outcome.answer
    return printable_json({"stream": outcome.stream, "seq": outcome.seq, "repeated": True})
