"""When a file of answers is rotated, and what it is called then."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..common.errors import OptionError

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def _today() -> str:
    return time.strftime("%Y-%m-%d")


class Rotation(NamedTuple):
    """When a file is rotated.

    Attributes:
        size: Once it has so many bytes; None: however large it is.
        is_daily: Once the local day has changed.
        today: Returns the local day.
    """

    size: int | None = None
    is_daily: bool = False
    today: Callable[[], str] = _today

    @classmethod
    def parse(cls, text: str) -> Rotation:
        """Return the rotation that the text of an option names: a size ("100MB") or "day".

        Raises:
            OptionError: It names neither.
        """
        if text == "day":
            return cls(is_daily=True)
        found = re.fullmatch(r"([1-9]\d{0,8}) ?([KMG]B)", text)
        if found is None:
            raise OptionError(f"--out-rotate {text}: expected a size in KB, MB or GB, such as 100MB, or the word day.")
        return cls(int(found[1]) * _UNITS[found[2]])

    def is_due(self, size: int, day: str) -> bool:
        """Return whether a file is to be rotated that has `size` bytes and was begun on `day`."""
        return size > 0 and ((self.size is not None and size >= self.size) or (self.is_daily and day != self.today()))

    def name(self, path: Path, day: str) -> str:
        """Return the name that `path`, begun on `day`, keeps from its rotation on; no file has it.

        By size the next number: out.jsonl.000001 is older than out.jsonl.000002. By day that day: out.jsonl.2026-11-30,
        and, if the clock has gone back to it, out.jsonl.2026-11-30.1 too.
        """
        if self.is_daily:
            name, number = f"{path.name}.{day}", 0
            while path.with_name(name).exists():
                number += 1
                name = f"{path.name}.{day}.{number}"
            return name
        pattern = re.compile(rf"{re.escape(path.name)}\.(\d{{6,}})")
        numbers = [int(found[1]) for each in path.parent.iterdir() if (found := pattern.fullmatch(each.name))]
        return f"{path.name}.{max(numbers, default=0) + 1:06}"
