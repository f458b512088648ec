"""Names and texts in C: identifiers, strings and numbers."""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import OptionError

_KEYWORDS = frozenset([
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch", "char",
    "class", "compl", "const", "constexpr", "const_cast", "continue", "decltype", "default", "delete", "do", "double",
    "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if",
    "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator", "or",
    "or_eq", "private", "protected", "public", "register", "reinterpret_cast", "restrict", "return", "short",
    "signed", "sizeof", "static", "static_assert", "static_cast", "struct", "switch", "template", "this",
    "thread_local", "throw", "true", "try", "typedef", "typeid", "typename", "union", "unsigned", "using", "virtual",
    "void", "volatile", "wchar_t", "while", "xor", "xor_eq", "main",
])  # fmt: skip
# Names that the printed functions use themselves.
_TAKEN = frozenset(["state", "work", "symbol", "bytes", "check"])
_LONGEST = 63  # characters of an identifier that C99 tells apart
_ON_A_LINE = 12
TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "bool": "uint8_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
}


def check_name(name: str) -> str:
    """Return `name` if the functions of a model can begin with it.

    Raises:
        OptionError: It is no identifier of C and C++, or a word of one of them.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or len(name) > _LONGEST - 16 or name in _KEYWORDS:
        raise OptionError(
            f"The functions of the model cannot be called {name!r}: C wants a letter, then letters, digits and _, at "
            f"most {_LONGEST - 16} of them, and no word of its own. Give another one with --name."
        )
    return name


def name_for(text: str) -> str:
    """Return an identifier that resembles `text`."""
    words = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")[: _LONGEST - 16]
    return words if words[:1].isalpha() and words not in _KEYWORDS else f"model_{words}".rstrip("_")


def argument_names(names: list[str], taken: Collection[str] = _TAKEN) -> dict[str, str]:
    """Return name of an input or output -> an identifier, each another one and none of those that are `taken`."""
    found: dict[str, str] = {}
    for name in names:
        argument = name_for(name)
        while argument in taken or argument in found.values():
            argument += "_"
        found[name] = argument
    return found


def string(text: str) -> str:
    """Return a string literal of `text` in UTF-8: octal where a byte is not plain ASCII, or part of a trigraph."""
    shown = []
    for byte in text.encode(errors="surrogateescape"):
        char = chr(byte)
        plain = 32 <= byte < 127 and char not in '"\\?'
        shown.append(char if plain else f"\\{byte:03o}")
    return f'"{"".join(shown)}"'


def comment(text: str) -> str:
    """Return `text` as it may stand in a comment."""
    plain = "".join(char if 32 <= ord(char) < 127 else "?" for char in text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


def number(value: float) -> str:
    """Return a float32 as a literal that is read as the same number."""
    text = str(np.float32(value))
    if text in ("inf", "-inf", "nan"):
        return {"inf": "INFINITY", "-inf": "(-INFINITY)", "nan": "NAN"}[text]
    text = text if "." in text or "e" in text else f"{text}.0"
    return f"({text}f)" if text.startswith("-") else f"{text}f"


def literal(value: object, dtype: str) -> str:
    """Return a number of a dtype as a literal."""
    if dtype == "float32":
        return number(float(value))  # type: ignore[arg-type]
    text = str(int(value))  # type: ignore[call-overload]
    return f"({text})" if text.startswith("-") else text


def array(name: str, content: AnyArray) -> str:
    """Return the definition of a constant array, which may be empty of anything but its numbers."""
    items = [literal(each, content.dtype.name).strip("()") for each in content.reshape(-1)]
    lines = [", ".join(items[start : start + _ON_A_LINE]) for start in range(0, len(items), _ON_A_LINE)]
    listed = ",\n    ".join(lines)
    return f"static const {TYPES[content.dtype.name]} {name}[{max(len(items), 1)}] = {{\n    {listed or '0'}\n}};"
