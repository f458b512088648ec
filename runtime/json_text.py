"""Values of JSON as the texts that keys and symbols are."""

from __future__ import annotations

import json
from typing import Any


def json_text(value: Any) -> str | None:
    """Return a string as it is, a number, true or false as it is written in JSON; None for null.

    >>> json_text("a"), json_text(3), json_text(True), json_text(None)
    ('a', '3', 'true', None)

    Raises:
        ValueError: It is a list or an object; the text says so.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, dict)):
        raise ValueError("a list" if isinstance(value, list) else "an object")
    return json.dumps(value)
