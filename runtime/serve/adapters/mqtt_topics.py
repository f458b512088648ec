"""Topics with `{stream}` in them: what to subscribe to, which stream a topic names, where an answer goes."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from ...common.errors import OptionError

STREAM, PATH = "{stream}", "{stream:path}"
_LONGEST_NAME = 1_000  # bytes of a stream in a topic; a topic has at most 65,535
_LONGEST_TOPIC = 10_000  # bytes of a template


class TopicTemplate:
    """A topic in which `{stream}` stands for one level, and `{stream:path}` for all that follow.

    Attributes:
        text: The template.
        names_stream: Whether `{stream}` is in it.
    """

    def __init__(self, text: str, option: str, *, wildcards: bool = False) -> None:
        """Read a template.

        Args:
            text: The template.
            option: The option that it comes from, for messages.
            wildcards: Whether `+` and `#` may be levels of it, as of a topic to subscribe to.

        Raises:
            OptionError: It is no such template; the message names all problems.
        """
        levels = text.split("/")
        names = [index for index, level in enumerate(levels) if level in (STREAM, PATH)]
        problems = [] if text else ["it is empty"]
        if any("{" in level or "}" in level for index, level in enumerate(levels) if index not in names):
            problems.append(f"{STREAM} stands for a whole level, as in machines/{STREAM}/events")
        if len(names) > 1:
            problems.append("the stream is in it more than once")
        if PATH in levels[:-1]:
            problems.append(f"{PATH} is the last level: it stands for all that follow")
        if "#" in levels[:-1] or any(len(level) > 1 and set(level) & set("+#") for level in levels):
            problems.append("+ and # stand for whole levels, # for the last ones")
        elif not wildcards and {"+", "#"} & set(levels):
            problems.append("+ and # are for topics to subscribe to")
        if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
            problems.append("there are control characters in it")
        if len(text.encode(errors="replace")) > _LONGEST_TOPIC:
            problems.append(f"it has more than {_LONGEST_TOPIC:,} bytes")
        if problems:
            raise OptionError(f"{option} {text!r} is no topic: {'; '.join(problems)}.")
        self.text, self.names_stream = text, bool(names)
        self._levels, self._is_path = levels, PATH in levels
        patterns = {STREAM: "([^/]*)", PATH: "(.*)", "+": "[^/]*", "#": ".*"}
        pattern = "/".join(patterns.get(level, re.escape(level)) for level in levels)
        # `a/#` takes `a` too, and wildcards in front take no topic that begins with $.
        pattern = re.sub(r"/\.\*$", "(?:/.*)?", pattern)
        guard = r"(?!\$)" if levels[0] in patterns else ""
        self._pattern = re.compile(guard + pattern, re.DOTALL)

    @property
    def subscription(self) -> str:
        """The topic to subscribe to."""
        return "/".join({STREAM: "+", PATH: "#"}.get(level, level) for level in self._levels)

    def matches(self, topic: str) -> bool:
        """Tell whether a topic is one of those that are subscribed to."""
        return self._pattern.fullmatch(topic) is not None

    def stream(self, topic: str) -> str | None:
        """Return the stream that a topic names; None: it names none."""
        found = self._pattern.fullmatch(topic) if self.names_stream else None
        return None if found is None else found[1]

    def topic(self, stream: str) -> str:
        """Return the topic of a stream; a name that cannot be part of a topic is written as `encode_name` says."""
        if not self.names_stream:
            return self.text
        name = encode_name(stream, path=self._is_path)
        if self._levels[0] in (STREAM, PATH) and name.startswith("$"):
            name = f"%24{name[1:]}"
        return "/".join(name if level in (STREAM, PATH) else level for level in self._levels)


def encode_name(stream: str, *, path: bool = False) -> str:
    """Return the name of a stream as a level of a topic, or with `path` as several.

    `+`, `#`, `%`, control characters and, unless it is a path, `/` become `%` and two hexadecimal digits for each byte
    of UTF-8, as in addresses of the web. Of a very long name the beginning is kept, with a part of its sha256.
    """
    kept = [char if _is_plain(char, path=path) else _escape(char) for char in stream]
    name = "".join(kept)
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(stream.encode(errors="surrogatepass")).hexdigest()[:16]
    start = re.sub("%[0-9A-F]?$", "", name.encode()[: _LONGEST_NAME // 2].decode(errors="ignore"))
    return f"{start}%{digest}"


def _is_plain(char: str, *, path: bool) -> bool:
    return (path or char != "/") and char not in "+#%" and unicodedata.category(char) not in ("Cc", "Cs", "Cn")


def _escape(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode(errors="surrogatepass"))
