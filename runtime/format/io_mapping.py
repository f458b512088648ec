"""The inputs and outputs of a graph that stepcell did not make: symbol, answer and state (format 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

SYMBOL_TYPES = ("int32", "int64", "float32")  # float32: one-hot, as many elements as there are symbols


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a graph.

    Attributes:
        name: Its name in the signature, or the name of the tensor if there is no signature.
        dtype: "float32", "int32", "int64".
        shape: Its whole shape for one stream, with a batch dimension of 1 if the graph has one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of its elements."""
        return prod(self.shape)

    def describe(self) -> str:
        """Return it in a few words."""
        return f"{self.name} {self.dtype} {list(self.shape)}"


@dataclass(frozen=True)
class IOMapping:
    """The tensors of a graph that are read and written in a step.

    Attributes:
        signature: The TFLite signature that the names belong to; "": the first graph, by the names of its tensors.
        symbol: The id of the symbol, one element; or float32 and one-hot.
        output: The answer, float32.
        logits: The output is logits; its softmax is the answer.
        state: Name in stepcell -> the input for the state, the output for the next state.
    """

    signature: str
    symbol: TensorSpec
    output: TensorSpec
    logits: bool
    state: Mapping[str, tuple[TensorSpec, TensorSpec]]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """All inputs."""
        return self.symbol, *(source for source, _ in self.state.values())

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """All outputs that are read."""
        return self.output, *(target for _, target in self.state.values())

    def problems(self, state: Mapping[str, int], symbols: int, outputs: int) -> list[str]:
        """Return the inconsistencies with the rest of a manifest.

        Args:
            state: Name -> number of elements of each state tensor.
            symbols: The number of symbols that the model reads.
            outputs: The number of symbols that it answers with.
        """
        found = []
        if {name: (source.size, target.size) for name, (source, target) in self.state.items()} != {
            name: (size, size) for name, size in state.items()
        }:
            found.append("graph.state does not fit the state")
        if self.symbol.size != (symbols if self.symbol.dtype == "float32" else 1):
            found.append("graph.symbol does not fit the vocabulary")
        if self.output.size != outputs:
            found.append("graph.output does not fit the symbols of the output")
        return found

    def describe(self) -> str:
        """Return it in a line."""
        state = ", ".join(f"{name}: {source.name} -> {target.name}" for name, (source, target) in self.state.items())
        return f"symbol {self.symbol.describe()}; output {self.output.describe()}{' logits' * self.logits}; {state}"
