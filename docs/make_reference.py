"""Write the signatures and first sentences of everything public into docs/api/*.md.

Run `python docs/make_reference.py`. In the checkout a list of a page is plain Markdown, made from the source without
importing it. `make docs` puts the whole docstrings in its place (conf.py).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent
PAGES = sorted((DOCS / "api").glob("*.md"))
_LIST = re.compile(r"(<!-- names of stepcell\.([\w.]+): ([\w ,\n]+) -->\n)(.*?)(<!-- end of names -->\n)", re.DOTALL)
_DOMAINS = {"function": "autofunction", "class": "autoclass", "error": "autoexception", "data": "autodata"}


def page_text(text: str) -> str:
    """Return a page with every list made anew."""
    return _LIST.sub(lambda found: found[1] + _markdown(found[2], _names(found[3])) + found[5], text)


def with_directives(text: str) -> str:
    """Return a page with every list replaced by directives of Sphinx, which show the whole docstrings."""
    return _LIST.sub(lambda found: _directives(found[2], _names(found[3])), text)


def listed(text: str) -> list[tuple[str, str]]:
    """Return each name of the lists of a page, with its module."""
    return [(found[2], name) for found in _LIST.finditer(text) for name in _names(found[3])]


def _names(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _directives(module: str, names: list[str]) -> str:
    lines = [f".. currentmodule:: stepcell.{module}"]
    for name in names:
        kind = _kind(_definition(module, name)[1])
        lines.append(f".. {_DOMAINS[kind]}:: {name}")
        lines += ["   :show-inheritance:"] if kind == "error" else []
    return "\n".join(["```{eval-rst}", *lines, "```", ""])


def _markdown(module: str, names: list[str]) -> str:
    """Return an entry for each name: its signature, its first sentence, and its public members."""
    return "\n" + "\n".join(line for name in names for line in _entry(module, name)) + "\n\n"


def _entry(module: str, name: str) -> Iterator[str]:
    home, node = _definition(module, name)
    if isinstance(node, ast.FunctionDef):
        yield f"- `{_signature(node)}`: {_sentence(node)}"
    elif isinstance(node, ast.ClassDef):
        bases = f"({', '.join(map(ast.unparse, node.bases))})"
        yield f"- **`{name}{bases if _kind(node) == 'error' else _constructor(node)}`**: {_sentence(node)}"
        for member in _members(home, node).values():
            plain = {"property", "cached_property"} & {ast.unparse(decorator) for decorator in member.decorator_list}
            shown = member.name + _returns(member) if plain else _signature(member, method=True)
            yield f"  - `{shown}`: {_sentence(member)}"
    else:
        yield f"- `{ast.unparse(node)}`"


def _members(module: str, node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    """Return the public methods and properties of a class, of its bases too.

    Members that only implement a method of `Problem` ("See `Problem.recipe`") are left out: they stand under `Problem`.
    """
    found: dict[str, ast.FunctionDef] = {}
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and _is_described(member):
            found.setdefault(member.name, member)  # the getter of a property comes before its setter
    for base in node.bases:
        if ast.unparse(base).endswith("Problem"):
            continue
        try:
            home, definition = _definition(module, ast.unparse(base).partition("[")[0])
        except LookupError:
            continue  # a class of Python
        if isinstance(definition, ast.ClassDef):
            found = {**_members(home, definition), **found}
    return found


def _is_described(member: ast.FunctionDef) -> bool:
    text = ast.get_docstring(member) or "See `"
    return not member.name.startswith("_") and not text.startswith("See `")


def _kind(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef):
        return "function"
    if isinstance(node, ast.ClassDef):
        return "error" if node.name.endswith("Error") else "class"
    return "data"


def _constructor(node: ast.ClassDef) -> str:
    """Return the arguments of a class; of a dataclass its fields."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return _signature(member, method=True).removeprefix("__init__").partition(" -> ")[0]
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        fields = [m for m in node.body if isinstance(m, ast.AnnAssign) and "ClassVar" not in ast.unparse(m.annotation)]
        shown = [re.sub(r" = field\(.*", " = ...", ast.unparse(field)) for field in fields]
        return f"({', '.join(field for field in shown if not field.startswith('_'))})"
    return ""


def _signature(node: ast.FunctionDef, method: bool = False) -> str:
    """Return name, arguments and result of a function; of a method without its first argument."""
    arguments = ast.unparse(node.args)
    if method and not any(ast.unparse(decorator) == "staticmethod" for decorator in node.decorator_list):
        arguments = re.sub(r"^(self|cls)(, /)?(, |$)", "", arguments)
    return f"{node.name}({arguments}){_returns(node)}"


def _returns(node: ast.FunctionDef) -> str:
    return f" -> {ast.unparse(node.returns)}" if node.returns else ""


def _sentence(node: ast.FunctionDef | ast.ClassDef) -> str:
    """Return the first sentence of a docstring."""
    text = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", text)[0]


@cache
def _definition(module: str, name: str) -> tuple[str, ast.stmt]:
    """Return the module and the statement that define `name`, following relative imports.

    Raises:
        LookupError: The module neither defines nor imports it from the package.
    """
    path = PACKAGE.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return module, node
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            return module, node
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and node.level and any(alias.name == name for alias in node.names):
            parts = module.split(".")
            parts = parts[: len(parts) + (path.name == "__init__.py") - node.level]
            return _definition(".".join([*parts, *(node.module or "").split(".")]).strip("."), name)
    raise LookupError(f"{module} does not define {name}")


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(page_text(page.read_text(encoding="utf-8")), encoding="utf-8")
