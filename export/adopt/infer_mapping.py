"""Infer the mapping: what each input is, the answer, and the output that is the next value of each state input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod

from ...runtime.common.errors import AdoptionError
from ...runtime.format.io_mapping import TENSOR_TYPES
from .cell_structure import pairs_by_operator
from .graph_ports import GraphPorts

# Parts of names that say which side of a step a tensor is on, and nothing about which tensor it is.
_SIDES = {
    "in", "out", "input", "output", "next", "new", "prev", "previous", "old", "last", "cur", "current", "n", "t", "tm1",
    "serving", "default", "statefulpartitionedcall", "updated", "initial", "final",
}  # fmt: skip
_MOST_WAYS = 10_000  # to pair states by their shapes
_ANSWERS = ("prob", "softmax", "logit", "pred", "answer")
RATES = ("sr", "fs", "rate", "sample_rate", "sampling_rate", "samplerate")


@dataclass(frozen=True)
class Pair:
    """One tensor of the state: its name in stepcell, its input (source) and its output (target)."""

    name: str
    source: str
    target: str

    def __str__(self) -> str:
        """Return the pair in the form of the option `--state`."""
        return f"{'' if self.name == short_name(self.source) else self.name + ':'}{self.source}={self.target}"


@dataclass(frozen=True)
class InferredMapping:
    """The roles of the tensors of a graph.

    Attributes:
        symbol: Name of the input that takes the symbol; None: it reads features alone.
        features: Names of the inputs of numbers that come with each step.
        constants: Name of an input -> its numbers at every step.
        output: Name of the output that answers.
        further: Names of further outputs that are read.
        pairs: The state.
        inferred: What was not given, as an option of the command, and why.
        is_certain: Whether nothing else is possible: names, shapes and operators do not contradict one another.
    """

    symbol: str | None
    output: str
    pairs: tuple[Pair, ...]
    features: tuple[str, ...] = ()
    constants: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    further: tuple[str, ...] = ()
    inferred: tuple[tuple[str, str], ...] = ()
    is_certain: bool = True


@dataclass(frozen=True)
class GivenRoles:
    """What is known beforehand about the tensors of a graph.

    Attributes:
        states: Pairs as "in=out" or "name:in=out".
        symbol: Name of the input that takes the symbol; None: not known.
        outputs: Names of the output that answers and of further ones; (): not known.
        features: Names of inputs of numbers that come with each step.
        constants: Name of an input -> its numbers at every step, one for all elements or one for each.
        symbols: The number of symbols; None: not known.
    """

    states: tuple[str, ...] = ()
    symbol: str | None = None
    outputs: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    constants: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    symbols: int | None = None


def infer_mapping(ports: GraphPorts, name: str, given: GivenRoles) -> InferredMapping:
    """Complete what is known by inference.

    A pair is inferred where an operator says so (LSTM and GRU of ONNX, and the same written out), where the names of
    both ends are equal but for words like "in", "next" or a number, or where shapes leave one possibility. Pairs are
    never inferred from positions: converters permute them. A float input is a symbol only if a vocabulary of its size
    is known.

    Args:
        ports: The graph.
        name: Name of the file, for messages.
        given: What is known.

    Raises:
        AdoptionError: Something given does not exist or does not agree, or something is left open; all of it is named.
    """
    problems: list[str] = []
    pairs = [pair for text in given.states if (pair := _parse(text, ports, problems))]
    problems += _unknown_names(ports, given)
    if problems:
        raise AdoptionError(_message(name, problems, ports))
    taken = {*(pair.source for pair in pairs), *given.features, *given.constants, given.symbol}
    sources = [n for n in ports.inputs if n not in taken]
    targets = [n for n in ports.outputs if n not in given.outputs and n not in {pair.target for pair in pairs}]
    found, doubts = _infer_pairs(ports, sources, targets, given)
    pairs += [pair for pair, _ in found]
    inferred = [(f"--state {pair}", why) for pair, why in found]
    left = [n for n in sources if n not in {pair.source for pair in pairs}]
    targets = [n for n in targets if n not in {pair.target for pair in pairs}]
    symbol, features = given.symbol, given.features
    option, why = _read_input(ports, left, targets, given)
    if option == "--symbol":
        symbol = why[0]
    elif option == "--feature":
        features = (*features, why[0])
    inferred += [(f"{option} {why[0]}", why[1])] if option else []
    output = given.outputs[0] if given.outputs else _only_answer(targets)
    if output is not None and not given.outputs:
        inferred.append((f"--output {output}", "no other output is left" if len(targets) == 1 else "its name says so"))
    problems = _open_ends(ports, pairs, symbol, features, given, output) + _disagreements(ports, pairs)
    if problems or output is None:
        raise AdoptionError(_message(name, problems, ports))
    ordered = tuple(sorted(pairs, key=lambda pair: list(ports.inputs).index(pair.source)))
    return InferredMapping(
        symbol, output, ordered, features, given.constants, given.outputs[1:], tuple(inferred), not doubts
    )


def _unknown_names(ports: GraphPorts, given: GivenRoles) -> list[str]:
    inputs = [*([given.symbol] if given.symbol else []), *given.features, *given.constants]
    problems = [f"it has no input {name!r}" for name in inputs if name not in ports.inputs]
    problems += [f"the input {n!r} is given two roles" for n in sorted(set(inputs)) if inputs.count(n) > 1]
    problems += [f"it has no output {name!r}" for name in given.outputs if name not in ports.outputs]
    twice = {name for name in given.outputs if given.outputs.count(name) > 1}
    return problems + [f"the output {name!r} is given twice" for name in sorted(twice)]


def _parse(text: str, ports: GraphPorts, problems: list[str]) -> Pair | None:
    left, equals, target = text.partition("=")
    name, colon, source = left.partition(":")
    if left in ports.inputs or not colon:  # names of tensors often have a colon of their own
        name, source = short_name(left), left
    wrong = [] if equals else [f"--state {text!r} is not IN=OUT"]
    wrong += [f"it has no input {source!r}"] if equals and source not in ports.inputs else []
    wrong += [f"it has no output {target!r}"] if equals and target not in ports.outputs else []
    problems += wrong
    return None if wrong else Pair(name, source, target)


def _read_input(
    ports: GraphPorts, left: list[str], targets: list[str], given: GivenRoles
) -> tuple[str, tuple[str, str]]:
    """Return what the input is that is left, "--symbol" or "--feature", its name and why; "" if it is open."""
    nothing = "", ("", "")
    if given.symbol is not None or not left:
        return nothing
    ids = [n for n in left if ports.inputs[n].dtype in ("int32", "int64") and not ports.inputs[n].scale]
    ids = [n for n in ids if short_name(n).lower() not in RATES]
    if len(ids) == 1 and not (given.features and given.symbols is None):
        return "--symbol", (ids[0], "it is the only input of integers that is left")
    if len(left) > 1:
        return nothing
    port = ports.inputs[left[0]]
    if given.symbols is not None and port.dtype == "float32" and port.size == given.symbols and not given.features:
        return "--symbol", (port.name, "it has as many elements as there are symbols")
    is_number = port.dtype == "float32" or (port.scale and port.dtype in TENSOR_TYPES)
    rivals = [n for n in targets if _agree(ports, port.name, n)]
    if given.features or given.symbols is not None or not is_number or (rivals and len(targets) > 1):
        return nothing
    return "--feature", (port.name, "it is the only input that is left, and numbers are no symbols")


def _infer_pairs(
    ports: GraphPorts, sources: list[str], targets: list[str], given: GivenRoles
) -> tuple[list[tuple[Pair, str]], bool]:
    """Return pairs with the reasons for them, and whether names say otherwise than operators."""
    by_name = {}
    for source in sources:
        alike = [target for target in targets if _key(target) == _key(source) and _agree(ports, source, target)]
        rivals = [other for other in sources if _key(other) == _key(source)]
        if len(alike) == 1 and len(rivals) == 1:
            by_name[source] = alike[0]
    found: dict[str, tuple[str, str]] = {}
    for source, (target, operator) in pairs_by_operator(ports, sources, targets, given.features).items():
        if _agree(ports, source, target):
            found[source] = target, operator
    contradicted = any(by_name.get(source, target) != target for source, (target, _) in found.items())
    for source, target in by_name.items():
        if source not in found and target not in {each for each, _ in found.values()}:
            found[source] = target, "their names are alike"
    found |= _by_shape(ports, sources, targets, found, given)
    return [(Pair(short_name(s), s, t), why) for s, (t, why) in found.items()], contradicted


def _by_shape(
    ports: GraphPorts, sources: list[str], targets: list[str], found: Mapping[str, tuple[str, str]], given: GivenRoles
) -> dict[str, tuple[str, str]]:
    """Return the pairs that shapes alone allow: of all ways to pair, the only one with the most pairs.

    Each way leaves an output that can be the answer and an input that is read, unless these are given.
    """
    left = [source for source in sources if source not in found]
    free = [target for target in targets if target not in {each for each, _ in found.values()}]
    # An input of which nothing but open dimensions is known may have any shape.
    any_shape = {name for name in ports.open if ports.inputs[name].size == 1}
    alike = [[t for t in free if _agree(ports, s, t)] if s not in any_shape else [] for s in left]
    if prod(len(fitting) + 1 for fitting in alike) > _MOST_WAYS:
        return {}
    is_read = given.symbol is not None or bool(given.features)
    ways = [
        [(source, target) for source, target in zip(left, way, strict=True) if target is not None]
        for way in product(*([None, *fitting] for fitting in alike))
        if (is_read or None in way)
        and (given.outputs or any(_can_answer(ports, target) for target in free if target not in way))
    ]
    ways = [way for way in ways if len({target for _, target in way}) == len(way)]
    most = max(map(len, ways), default=0)
    best = [way for way in ways if len(way) == most]
    return {s: (t, "no other output has its shape") for s, t in best[0]} if most and len(best) == 1 else {}


def _can_answer(ports: GraphPorts, target: str) -> bool:
    port = ports.outputs[target]
    return port.dtype == "float32" or bool(port.scale)


def _only_answer(targets: list[str]) -> str | None:
    likely = [name for name in targets if any(word in name.lower() for word in _ANSWERS)]
    candidates = likely if len(likely) == 1 else targets
    return candidates[0] if len(candidates) == 1 else None


def _open_ends(
    ports: GraphPorts, pairs: list[Pair], symbol: str | None, features: tuple[str, ...], given: GivenRoles,
    output: str | None,
) -> list[str]:  # fmt: skip
    problems = []
    sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
    for kind, names in (("input", sources), ("output", targets), ("name", [pair.name for pair in pairs])):
        problems += [f"two states have the {kind} {name!r}" for name in sorted(set(names)) if names.count(name) > 1]
    read = (*features, *given.constants, symbol)
    loose = [name for name in ports.inputs if name not in sources and name not in read]
    problems += [
        f"the input {name!r} is given as {'symbol' if name == symbol else 'feature or constant'} and as state"
        for name in sources
        if name in read
    ]
    free = [name for name in ports.outputs if name not in targets and name != output]
    if loose:
        pair = "pair each state with the output that is its next value, --state IN=OUT, out of "
        pair = f"{pair}{', '.join(free)}; " if free else ""
        problems.append(
            f"the inputs {', '.join(loose)} are neither symbol nor state: {pair}give --feature NAME for "
            "numbers that come with each step, --constant NAME=VALUE for those that never change, --symbol NAME for "
            "the input of symbols"
        )
    elif symbol is None and not features:
        problems.append("no input is read at each step: give --symbol NAME or --feature NAME")
    if output is None:
        problems.append(f"which output answers? One of {', '.join(free) or 'none left'}: give --output NAME")
    if not pairs and not loose:
        problems.append("no state goes in: there is nothing to carry from step to step")
    problems += [
        f"the input {name} leaves a dimension open: give its shape for one step, --shape {name}={ports.open[name]}"
        for name in (*features, *loose)
        if name in ports.open
    ]
    return problems


def _disagreements(ports: GraphPorts, pairs: list[Pair]) -> list[str]:
    return [
        f"the state {pair.source} -> {pair.target} cannot be one: {ports.inputs[pair.source].describe()} goes in, "
        f"{ports.outputs[pair.target].describe()} comes out"
        for pair in pairs
        if not _agree(ports, pair.source, pair.target)
    ]


def _agree(ports: GraphPorts, source: str, target: str) -> bool:
    """Tell whether an output can be the next value of an input; a shape that the file does not give fits."""
    x, y = ports.inputs[source], ports.outputs[target]
    return x.dtype == y.dtype and x.dtype in TENSOR_TYPES and (y.shape in ((), x.shape) or x.size == y.size)


def _key(name: str) -> tuple[str, ...]:
    """Return the words of a name but those for the side of a step: "next_h0" and "h_in" are "h"."""
    words = re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", short_name(name)).lower())
    kept = [word for word in words if not word.isdigit() and word not in _SIDES]
    # PyTorch calls the states of a layer h0 and hn, papers call them h and ht.
    kept = [word[:-1] if len(word) == 2 and word[-1] in "nt" else word for word in kept]
    numbers = [word for word in words if word.isdigit()]
    # Without a word of its own a name is a position in a list, and positions mean nothing.
    return (*kept, *(numbers if numbers != ["0"] else ())) if kept else (name,)


def short_name(name: str) -> str:
    """Return the name of a tensor without the prefix and suffix of converters."""
    return re.sub(r":\d+$", "", name.removeprefix("serving_default_"))


def _message(name: str, problems: list[str], ports: GraphPorts) -> str:
    listed = "\n".join(f"  - {problem}" for problem in problems)
    return f"{name} cannot be adopted:\n{listed}\nIts graph has the {ports.describe()}. Nothing was written."
