"""Cut text into words, the same ones on every Python and on the device.

The rules are those of Unicode (UAX 29) in short: a word is letters, digits and the marks that combine with them, also
with an apostrophe or an invisible joiner within it; ideographs and all other characters are words by themselves, with
their marks. The text is in normal form C first, so that a letter with an accent is the same word however it is written.
"""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import normalize

from .unicode_words import MARK, WORD

FIRST, CURRENT = 1, 2  # versions of the rules; models record theirs
_FIRST = re.compile(r"\w+(?:['\u2019]\w+)*|\n|[^\w\s]")
_JOINERS = "\u00ad\u061c\u200c\u200d\u200e\u200f\u2060"  # soft hyphen, marks of direction, (non-)joiners


def words_of(text: str, rules: int = CURRENT) -> list[str]:
    """Return the words, line ends and marks of a text that begins and ends between words.

    >>> words_of("It's 5 o'clock!")
    ["It's", '5', "o'clock", '!']
    """
    if rules == FIRST:
        return _FIRST.findall(text)
    return _pattern().findall(normalize("NFC", text))


@lru_cache(1)
def _pattern() -> re.Pattern[str]:
    word, mark = _class(WORD), _class(MARK)
    between = f"(?:['\u2019]|[{_JOINERS}]+)"
    other = rf"(?:[\U0001f1e6-\U0001f1ff]{{2}}|\S){mark}*(?:\u200d\S{mark}*)*"  # a flag is two letters
    return re.compile(rf"{word}+(?:{between}{word}+)*[{_JOINERS}]*|\n|{other}")


def _class(ranges: str) -> str:
    """Return a pattern for one or more characters; code points beyond 16 bits apart, which are searched in a list."""
    near: list[str] = []
    far: list[str] = []
    for pair in ranges.split():
        first, last = (int(code, 36) for code in pair.split("-"))
        for part, low, high in ((near, 0, 0xFFFF), (far, 0x10000, 0x10FFFF)):
            if first <= high and last >= low:
                part.append(f"{re.escape(chr(max(first, low)))}-{re.escape(chr(min(last, high)))}")
    return f"(?:[{''.join(near)}]|(?=[\U00010000-\U0010ffff])[{''.join(far)}])"
