"""What the files of the project import, read from their text alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
STOREYS = ("runtime", "export", "train")


class Import(NamedTuple):
    """One name that a file imports.

    Attributes:
        file: The file, from the root of the project.
        line: The line of the statement.
        module: Full name of the module; where `from a import b` names a module of ours or of tests/support, that of b.
    """

    file: str
    line: int
    module: str

    def __str__(self) -> str:
        """Return it as a line of a list of offenders."""
        return f"{self.file}:{self.line} imports {self.module}"


@cache
def source_files() -> tuple[str, ...]:
    """All files of the package, from the root."""
    folders = [path for storey in STOREYS for path in (ROOT / storey).rglob("*.py")]
    return tuple(sorted(str(path.relative_to(ROOT)) for path in [*folders, ROOT / "cli.py", ROOT / "__init__.py"]))


def module_name(file: str) -> str:
    """Return the full name of the module in `file`."""
    parts = Path(file).with_suffix("").parts
    return ".".join(("stepcell", *parts)).removesuffix(".__init__")


@cache
def modules() -> Mapping[str, str]:
    """Full name of each of our modules -> its file."""
    return {module_name(file): file for file in source_files()}


@cache
def imports_of(file: str) -> tuple[Import, ...]:
    """Everything that `file` imports, at its head or within a function; not what a face shows to type checkers only."""
    name, tree = module_name(file), parse(file)
    is_face = file.endswith("__init__.py")
    package = name.split(".") if is_face else name.split(".")[:-1]
    skipped = {id(inner) for node in ast.walk(tree) if is_face and _for_types(node) for inner in ast.walk(node)}
    found = [node for node in ast.walk(tree) if id(node) not in skipped]
    return tuple(Import(file, node.lineno, module) for node in found for module in _imported(node, package))


def head_imports_of(file: str) -> tuple[Import, ...]:
    """What `file` imports when it is imported itself."""
    tree = parse(file)
    late = {
        inner.lineno
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _for_types(node)
        for inner in ast.walk(node)
        if isinstance(inner, (ast.Import, ast.ImportFrom))
    }
    return tuple(each for each in imports_of(file) if each.line not in late)


@cache
def parse(file: str) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse((ROOT / file).read_text())


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected parts of `graph` that have more than one node, sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(part) > 1:
                found.append(sorted(part))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(found)


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _imported(node: ast.AST, package: list[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in modules() or base == "support" else base
