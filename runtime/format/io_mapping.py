"""The inputs and outputs of a graph that stepcell did not make: symbol, features, answers, state (from format 2 on)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

SYMBOL_TYPES = ("int32", "int64", "float32")  # float32: one-hot, as many elements as there are symbols
INTEGER_TYPES = ("int32", "int64", "int8", "uint8", "int16", "bool")
WIDE_TYPES = ("int32", "int64")  # those with integers that float32 does not hold
LARGEST_INTEGER = 2**24  # of a state: float32 holds every integer up to it
TENSOR_TYPES = ("float32", *INTEGER_TYPES)


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a graph.

    Attributes:
        name: Its name in the signature, or the name of the tensor if there is no signature.
        dtype: One of `TENSOR_TYPES`.
        shape: Its whole shape for one stream, with a batch dimension of 1 if the graph has one.
        scale: Of a quantised tensor: an integer q stands for (q - zero_point) scale. 0: its numbers are what they are.
        zero_point: See `scale`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float = 0.0
    zero_point: int = 0

    @property
    def size(self) -> int:
        """The number of its elements."""
        return prod(self.shape)

    def describe(self) -> str:
        """Return it in a few words."""
        quantised = f" (q - {self.zero_point}) {self.scale:g}" if self.scale else ""
        return f"{self.name} {self.dtype} {list(self.shape)}{quantised}"


@dataclass(frozen=True)
class Constant:
    """An input that gets the same numbers at every step.

    Attributes:
        tensor: The input.
        value: Its numbers in C order, or one number for all of them.
    """

    tensor: TensorSpec
    value: float | tuple[float, ...]

    def describe(self) -> str:
        """Return it in a few words."""
        value = f"{self.value:g}" if isinstance(self.value, float) else f"{len(self.value)} numbers"
        return f"{self.tensor.describe()} = {value}"


@dataclass(frozen=True)
class IOMapping:
    """The tensors of a graph that are read and written in a step.

    Attributes:
        signature: The TFLite signature that the names belong to; "": the first graph, by the names of its tensors.
        symbol: The id of the symbol, one element; or float32 and one-hot. None: the model reads features alone.
        output: The answer.
        logits: The output is logits; its softmax is the answer.
        state: Name in stepcell -> the input for the state, the output for the next state.
        features: Name of a feature -> its input.
        outputs: Name of a further output -> it.
        constants: Inputs that are the same at every step.
        rate: Samples per second, where a feature is a chunk of sound; None: not known.
    """

    signature: str
    symbol: TensorSpec | None
    output: TensorSpec
    logits: bool
    state: Mapping[str, tuple[TensorSpec, TensorSpec]]
    features: Mapping[str, TensorSpec] = field(default_factory=dict)
    outputs: Mapping[str, TensorSpec] = field(default_factory=dict)
    constants: tuple[Constant, ...] = ()
    rate: int | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """All inputs."""
        symbol = () if self.symbol is None else (self.symbol,)
        sources = (source for source, _ in self.state.values())
        return *symbol, *self.features.values(), *(each.tensor for each in self.constants), *sources

    @property
    def read_outputs(self) -> tuple[TensorSpec, ...]:
        """All outputs that are read."""
        return self.output, *self.outputs.values(), *(target for _, target in self.state.values())

    @property
    def needs_format_4(self) -> bool:
        """Whether it says what readers of formats 2 and 3 do not know."""
        ports = (*(port for ends in self.state.values() for port in ends), self.output)
        plain = self.symbol is not None and all(port.dtype == "float32" and not port.scale for port in ports)
        return bool(not plain or self.features or self.outputs or self.constants or self.rate)

    def problems(
        self, state: Mapping[str, int], symbols: int, outputs: int, features: Mapping[str, int],
        further: Mapping[str, int],
    ) -> list[str]:  # fmt: skip
        """Return the inconsistencies with the rest of a manifest.

        Args:
            state: Name -> number of elements of each state tensor.
            symbols: The number of symbols that the model reads.
            outputs: The number of symbols that it answers with.
            features: Name -> number of elements of each feature.
            further: The same of each further output.
        """
        found = []
        ends = {name: {source.size, target.size} for name, (source, target) in self.state.items()}
        if ends != {name: {size} for name, size in state.items()}:
            found.append("graph.state does not fit the state")
        read = 0 if self.symbol is None else self.symbol.size
        if read != (symbols if self.symbol is None or self.symbol.dtype == "float32" else 1):
            found.append("graph.symbol does not fit the vocabulary")
        if self.output.size != outputs:
            found.append("graph.output does not fit the symbols of the output")
        for side, ports, sizes in (("features", self.features, features), ("outputs", self.outputs, further)):
            if {name: port.size for name, port in ports.items()} != dict(sizes):
                found.append(f"graph.{side} does not fit the {side}")
        for constant in self.constants:
            if isinstance(constant.value, tuple) and len(constant.value) != constant.tensor.size:
                found.append(f"the constant {constant.tensor.name!r} has {len(constant.value)} numbers")
        return found

    def describe(self) -> str:
        """Return it in a line."""
        parts = [] if self.symbol is None else [f"symbol {self.symbol.describe()}"]
        parts += [f"feature {port.describe()}" for port in self.features.values()]
        parts += [f"constant {each.describe()}" for each in self.constants]
        parts.append(f"output {self.output.describe()}{' logits' * self.logits}")
        parts += [f"output {port.describe()}" for port in self.outputs.values()]
        state = ", ".join(f"{name}: {source.name} -> {target.name}" for name, (source, target) in self.state.items())
        return "; ".join([*parts, state])
