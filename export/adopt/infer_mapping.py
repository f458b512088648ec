"""Infer the mapping: the symbol, the answer, and the output that is the next value of each state input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ...runtime.common.errors import AdoptionError
from ...runtime.format.io_mapping import SYMBOL_TYPES, TensorSpec
from .graph_ports import GraphPorts

# Parts of names that say which side of a step a tensor is on, and nothing about which tensor it is.
_SIDES = {
    "in", "out", "input", "output", "next", "new", "prev", "previous", "old", "last", "cur", "current", "n", "t", "tm1",
    "serving", "default", "statefulpartitionedcall", "updated", "initial", "final",
}  # fmt: skip
_ANSWERS = ("prob", "softmax", "logit", "pred", "answer")


@dataclass(frozen=True)
class Pair:
    """One tensor of the state: its name in stepcell, its input (source) and its output (target)."""

    name: str
    source: str
    target: str

    def __str__(self) -> str:
        """Return the pair in the form of the option `--state`."""
        return f"{'' if self.name == _short(self.source) else self.name + ':'}{self.source}={self.target}"


@dataclass(frozen=True)
class InferredMapping:
    """The roles of the tensors of a graph.

    Attributes:
        symbol: Name of the input that takes the symbol.
        output: Name of the output that answers.
        pairs: The state.
        inferred: The pairs among them that were not given.
    """

    symbol: str
    output: str
    pairs: tuple[Pair, ...]
    inferred: tuple[Pair, ...] = field(default=())


def infer_mapping(
    ports: GraphPorts, name: str, *, states: Iterable[str] = (), symbol: str | None = None, output: str | None = None
) -> InferredMapping:
    """Complete a given mapping by inference.

    A pair is inferred where the names of both ends are equal but for words like "in", "next" or a number, or where
    shapes leave one possibility. Pairs are never inferred from positions: converters permute them.

    Args:
        ports: The graph.
        name: Name of the file, for messages.
        states: Pairs as "in=out" or "name:in=out".
        symbol: Name of the input that takes the symbol; None: the one that is left.
        output: Name of the output that answers; None: the one that is left.

    Raises:
        AdoptionError: Something given does not exist or does not agree, or something is left open; all of it is named.
    """
    problems: list[str] = []
    given = [pair for text in states if (pair := _parse(text, ports, problems))]
    for side, wanted in (("input", symbol), ("output", output)):
        known: Mapping[str, TensorSpec] = ports.inputs if side == "input" else ports.outputs
        if wanted is not None and wanted not in known:
            problems.append(f"it has no {side} {wanted!r}")
    if problems:
        raise AdoptionError(_message(name, problems, ports))
    symbol = symbol or _only_symbol(ports, {pair.source for pair in given})
    sources = [n for n in ports.inputs if n != symbol and n not in {pair.source for pair in given}]
    targets = [n for n in ports.outputs if n != output and n not in {pair.target for pair in given}]
    inferred = _infer(ports, sources, targets, output)
    pairs = (*given, *inferred)
    targets = [n for n in targets if n not in {pair.target for pair in inferred}]
    output = output or _only_answer(targets)
    problems = _open_ends(ports, pairs, symbol, output) + _disagreements(ports, pairs)
    if problems or symbol is None or output is None:
        raise AdoptionError(_message(name, problems, ports))
    ordered = tuple(sorted(pairs, key=lambda pair: list(ports.inputs).index(pair.source)))
    return InferredMapping(symbol, output, ordered, tuple(inferred))


def _parse(text: str, ports: GraphPorts, problems: list[str]) -> Pair | None:
    left, equals, target = text.partition("=")
    name, colon, source = left.partition(":")
    if left in ports.inputs or not colon:  # names of tensors often have a colon of their own
        name, source = _short(left), left
    wrong = [] if equals else [f"--state {text!r} is not IN=OUT"]
    wrong += [f"it has no input {source!r}"] if equals and source not in ports.inputs else []
    wrong += [f"it has no output {target!r}"] if equals and target not in ports.outputs else []
    problems += wrong
    return None if wrong else Pair(name, source, target)


def _only_symbol(ports: GraphPorts, taken: set[str]) -> str | None:
    """Return the one input that can be the symbol: the only one of integers, or the only one that is left."""
    left = [port for name, port in ports.inputs.items() if name not in taken]
    integers = [port.name for port in left if port.dtype in ("int32", "int64")]
    if len(integers) == 1:
        return integers[0]
    return left[0].name if len(left) == 1 else None


def _infer(ports: GraphPorts, sources: list[str], targets: list[str], output: str | None) -> list[Pair]:
    pairs = []
    for source in sources:
        alike = [target for target in targets if _key(target) == _key(source) and _agree(ports, source, target)]
        rivals = [other for other in sources if _key(other) == _key(source)]
        if len(alike) == 1 and len(rivals) == 1:
            pairs.append(Pair(_short(source), source, alike[0]))
    sources = [name for name in sources if name not in {pair.source for pair in pairs}]
    targets = [name for name in targets if name not in {pair.target for pair in pairs}]
    if len(sources) == 1:
        alike = [target for target in targets if _agree(ports, sources[0], target)]
        if len(alike) == 1 and (output is not None or len(targets) > 1):
            pairs.append(Pair(_short(sources[0]), sources[0], alike[0]))
    return pairs


def _only_answer(targets: list[str]) -> str | None:
    likely = [name for name in targets if any(word in name.lower() for word in _ANSWERS)]
    candidates = likely if len(likely) == 1 else targets
    return candidates[0] if len(candidates) == 1 else None


def _open_ends(ports: GraphPorts, pairs: tuple[Pair, ...], symbol: str | None, output: str | None) -> list[str]:
    problems = []
    sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
    for kind, names in (("input", sources), ("output", targets), ("name", [pair.name for pair in pairs])):
        problems += [f"two states have the {kind} {name!r}" for name in sorted(set(names)) if names.count(name) > 1]
    loose = [name for name in ports.inputs if name not in sources and name != symbol]
    if symbol is None:
        problems.append(f"which input takes the symbol? One of {', '.join(loose)}: give --symbol NAME")
    elif symbol in sources:
        problems.append(f"the input {symbol!r} is given as symbol and as state")
    elif loose:
        free = [name for name in ports.outputs if name not in targets]
        problems.append(
            f"the inputs {', '.join(loose)} are neither symbol nor state: pair each with the output that is its next "
            f"value, --state IN=OUT, out of {', '.join(free) or 'none that are left'}"
        )
    if output is None:
        free = [name for name in ports.outputs if name not in targets]
        problems.append(f"which output answers? One of {', '.join(free) or 'none left'}: give --output NAME")
    if not pairs and not loose:
        problems.append("no state goes in: there is nothing to carry from step to step")
    return problems


def _disagreements(ports: GraphPorts, pairs: tuple[Pair, ...]) -> list[str]:
    return [
        f"the state {pair.source} -> {pair.target} cannot be one: {ports.inputs[pair.source].describe()} goes in, "
        f"{ports.outputs[pair.target].describe()} comes out"
        + ("" if ports.inputs[pair.source].dtype == "float32" else "; states are float32")
        for pair in pairs
        if not _agree(ports, pair.source, pair.target)
    ]


def _agree(ports: GraphPorts, source: str, target: str) -> bool:
    """Tell whether an output can be the next value of an input; a shape that the file does not give fits."""
    x, y = ports.inputs[source], ports.outputs[target]
    return x.dtype == y.dtype == "float32" and (y.shape in ((), x.shape) or x.size == y.size)


def _key(name: str) -> tuple[str, ...]:
    """Return the words of a name but those for the side of a step: "next_h0" and "h_in" are "h"."""
    words = re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", _short(name)).lower())
    kept = [word for word in words if not word.isdigit() and word not in _SIDES]
    # PyTorch calls the states of a layer h0 and hn, papers call them h and ht.
    kept = [word[:-1] if len(word) == 2 and word[-1] in "nt" else word for word in kept]
    numbers = [word for word in words if word.isdigit()]
    # Without a word of its own a name is a position in a list, and positions mean nothing.
    return (*kept, *(numbers if numbers != ["0"] else ())) if kept else (name,)


def _short(name: str) -> str:
    """Return the name of a tensor without the prefix and suffix of converters."""
    return re.sub(r":\d+$", "", name.removeprefix("serving_default_"))


def _message(name: str, problems: list[str], ports: GraphPorts) -> str:
    kinds = ", ".join(SYMBOL_TYPES[:2])
    hint = "" if any(p.dtype in SYMBOL_TYPES for p in ports.inputs.values()) else f" Symbols are {kinds}."
    listed = "\n".join(f"  - {problem}" for problem in problems)
    return f"{name} cannot be adopted:\n{listed}\nIts graph has the {ports.describe()}.{hint}"
