"""Write the ranges of `runtime/data/unicode_words.py`: `python tests/data/make_unicode_words.py > FILE`.

They come from the Unicode data of the Python that runs this. Code points that are not assigned belong to the range
around them, so that later letters of a script are letters too.
"""

from __future__ import annotations

import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterator

IDEOGRAPHS = [
    (0x3005, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B), (0x3041, 0x3096), (0x309D, 0x309F), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xF900, 0xFAD9), (0x1B000, 0x1B122), (0x1B150, 0x1B152), (0x1F200, 0x1F200), (0x20000, 0x323AF),
]  # fmt: skip
HEADER = '''"""Ranges of Unicode {version}: the same on every Python. Made by `tests/data/make_unicode_words.py`.

Each pair is the first code point and the last one, in base 36.
"""

'''


def is_ideograph(code: int) -> bool:
    """Tell whether a code point is a word by itself: ideographs and hiragana, which no blanks separate."""
    return any(first <= code <= last for first, last in IDEOGRAPHS)


def is_word(code: int) -> bool:
    """Tell whether a code point is a letter, a mark, a digit or a connector, but no ideograph."""
    category = unicodedata.category(chr(code))
    return (category[0] in "LMN" or category == "Pc") and not is_ideograph(code)


def is_mark(code: int) -> bool:
    """Tell whether a code point belongs to the one before it: marks, and the skin tones of emoji."""
    return unicodedata.category(chr(code))[0] == "M" or 0x1F3FB <= code <= 0x1F3FF


def ranges(belongs: Callable[[int], bool]) -> Iterator[tuple[int, int]]:
    """Yield first and last code point of each range."""
    first = last = -1
    for code in range(sys.maxunicode + 1):
        if belongs(code):
            first, last = (code if first < 0 else first), code
        elif first >= 0 and unicodedata.category(chr(code)) != "Cn":
            yield first, last
            first = -1
    if first >= 0:
        yield first, last


def base36(number: int) -> str:
    """Return a number as `int(text, 36)` reads it."""
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def main() -> None:
    """Print the module."""
    print(HEADER.format(version=unicodedata.unidata_version), end="")
    for name, belongs in (("WORD", is_word), ("MARK", is_mark)):
        pairs = " ".join(f"{base36(first)}-{base36(last)}" for first, last in ranges(belongs))
        lines = textwrap.wrap(pairs, 112, break_on_hyphens=False)
        print(f"{name} = (\n" + "\n".join(f'    "{line} "' for line in lines) + "\n)")


if __name__ == "__main__":
    main()
