"""Templates of log messages, mined from raw lines and matched to them: `PacketResponder <*> for block <*> terminating`.

The mining follows Drain (He et al. 2017): words with a digit are variable, messages are grouped by their number of
words and their first word, and joined to the most similar template. It is a few lines of our own, because the package
drain3 demands old versions of two other packages (jsonpickle 1.5.1 and cachetools 4.2.1), and because a device has to
match lines in exactly the way in which they were learned.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache

from ..common.errors import CorpusError

ANY = "<*>"  # stands for one word of any kind
_SIMILAR = 0.4  # share of the words that a message and its template have in common, variable ones not counted
_VARIABLE = re.compile(r"\d")
_MOST = 10_000  # templates; more, and the words that vary were not found
_REMEMBERED = 100_000  # lines that need not be looked at again

Words = tuple[str, ...]


class TemplateMiner:
    """Finds the templates of messages as they come.

    >>> miner = TemplateMiner()
    >>> for message in ("Deleting block blk_1 of anna", "Deleting block blk_2 of bert"):
    ...     miner.add(message)
    >>> miner.templates
    ('Deleting block <*> of <*>',)
    """

    def __init__(self) -> None:
        """Begin without messages."""
        self._groups: dict[tuple[int, str], list[list[str]]] = defaultdict(list)
        self._found: list[list[str]] = []
        self._seen: set[Words] = set()

    def add(self, message: str) -> None:
        """Join a message to the most similar template, or make one of it.

        Raises:
            CorpusError: There are too many: these are no messages of a log.
        """
        words = tuple(ANY if _VARIABLE.search(word) else word for word in message.split())
        if not words or words in self._seen:
            return
        if len(self._seen) < _REMEMBERED:
            self._seen.add(words)
        group = self._groups[len(words), words[0]]
        best = max(group, key=lambda template: _common(template, words), default=None)
        if best is not None and _common(best, words) >= _SIMILAR * len(words):
            best[:] = [one if one == other else ANY for one, other in zip(best, words, strict=True)]
            return
        if len(self._found) == _MOST:
            raise CorpusError(
                f"More than {_MOST:,} templates were found, the last of {message[:80]!r}. Name the column of the log's "
                "messages with --template-column, without time, host and level."
            )
        group.append(list(words))
        self._found.append(group[-1])

    @property
    def templates(self) -> tuple[str, ...]:
        """The templates, in the order in which they were first seen."""
        return tuple(dict.fromkeys(" ".join(template) for template in self._found))


class TemplateMatcher:
    """Finds the template of a message.

    >>> TemplateMatcher(["Deleting block <*> file <*>", "Starting <*>"]).match("Deleting block blk_1 file /d/blk_1")
    'Deleting block <*> file <*>'
    """

    def __init__(self, templates: Sequence[str]) -> None:
        """Prepare the templates; of several that fit, the one with the fewest variable words is taken."""
        self._groups: dict[tuple[int, str], list[tuple[Words, str]]] = defaultdict(list)
        by_detail = sorted(templates, key=lambda template: template.split().count(ANY))
        for template in by_detail:
            words = tuple(template.split())
            if words:
                self._groups[len(words), words[0]].append((words, template))
        self.match = lru_cache(_REMEMBERED)(self._match)

    def _match(self, message: str) -> str:
        """Return the template of a message; the message itself, an unknown symbol, if none fits."""
        words = message.split()
        if not words:
            return message
        for first in dict.fromkeys((words[0], ANY)):
            for template, text in self._groups.get((len(words), first), ()):
                if all(one in (ANY, word) for one, word in zip(template, words, strict=True)):
                    return text
        return message


def template_matcher(templates: Sequence[str]) -> Callable[[str], str] | None:
    """Return the function that finds the template of a message; None: there are no templates."""
    return TemplateMatcher(templates).match if templates else None


def _common(template: Sequence[str], words: Words) -> int:
    return sum(one == other != ANY for one, other in zip(template, words, strict=True))
