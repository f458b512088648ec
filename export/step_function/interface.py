"""The interface of a model file: the symbol, the features and the outputs of a Keras model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import layers

from ...runtime.format.manifest import StateTensor
from ...runtime.format.tensor_specs import PROBABILITIES, SYMBOL, VALUES, Feature
from ..layers import Lookup
from ..layers.keras_graph import Graph, GraphInput, GraphOutput, LayerCall
from ..ops import Value, Weights
from .plan import Steps

_IDENTITIES = (layers.Dropout, layers.ActivityRegularization, layers.Identity, layers.GaussianNoise)
_LINEAR = (layers.Dense, layers.EinsumDense, layers.Conv1D)
_LOGITS = "logits"
_RESERVED = (SYMBOL, "symbols", PROBABILITIES, VALUES)
# The name of an input without a name of its own; its number depends on the models made before.
_UNNAMED = re.compile(r"(keras_tensor|input|input_layer)(_\d+)?")


@dataclass(frozen=True)
class OutputSpec:
    """An output of a model file.

    Attributes:
        name: Its name in the file.
        number: Number of its value.
        size: How many numbers it has, K.
        activation: "softmax", "sigmoid" or "linear".
        from_logits: The Keras model ends in logits and the softmax has been added.
    """

    name: str
    number: int
    size: int
    activation: str
    from_logits: bool


@dataclass(frozen=True)
class Interface:
    """The inputs and outputs of a model file, and where they are in the Keras model.

    Attributes:
        symbol: Number of the input that is the symbol; None: there is none.
        symbols: How many symbols there are, V; 0: the model reads features alone.
        one_hot: The symbol is read as a one-hot vector.
        features: Number of an input -> the feature.
        outputs: The outputs, the main one first.
        tables: Number of an input of ids -> a row for each id: the id itself, or its one-hot vector.
        spread: Number of an input of numbers with a Normalization behind it -> their mean and standard deviation.
        static: Number of an input that is given once for each stream -> its tensor of the state.
    """

    symbol: int | None
    symbols: int
    one_hot: bool
    features: Mapping[int, Feature]
    outputs: tuple[OutputSpec, ...]
    tables: Mapping[int, Weights]
    spread: Mapping[int, tuple[Weights, Weights]]
    static: Mapping[int, StateTensor]

    @property
    def names(self) -> dict[int, str]:
        """Number of an input -> its name in the file."""
        symbol = {} if self.symbol is None else {self.symbol: SYMBOL}
        return {**symbol, **{number: feature.name for number, feature in self.features.items()}}

    def values(self, inputs: Mapping[str, Value], state: Mapping[str, Value]) -> dict[int, Value]:
        """Return the inputs of a step by number; the static ones are in the state."""
        static = {number: state[tensor.name] for number, tensor in self.static.items()}
        return {**{number: inputs[name] for number, name in self.names.items()}, **static}

    def static_of(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """Return the static inputs in a state, by name."""
        return {tensor.name: state[tensor.name] for tensor in self.static.values()}

    def clashes(self, state: Sequence[StateTensor]) -> list[str]:
        """Name the tensors of the file that would have one name."""
        names = [*self.names.values(), *(answer.name for answer in self.outputs)]
        names += [name for tensor in state for name in (tensor.name, tensor.next)]
        return [f"two tensors are called {name!r}; rename the input or output" for name in set(names)
                if names.count(name) > 1]  # fmt: skip


def read_interface(
    graph: Graph,
    steps: Steps,
    problems: list[str],
    *,
    one_hot: bool = False,
    values: bool = False,
    labelled: bool = False,
    unknown: Collection[int] = (),
) -> Interface:
    """Find symbol, features and outputs of `graph`; append to `problems` everything that cannot be used.

    The symbol is the input of ids called "symbol", or the first of them; with `one_hot` the one of vectors that is
    called so, or the only one. Further inputs of ids and all other vectors are features. The main output is the one
    called "probabilities", or the first.

    Args:
        graph: The graph of the model.
        steps: The results of the step rules, call by call.
        problems: Problems are appended to it.
        one_hot: The symbols are one-hot vectors.
        values: The numbers of the main output are returned as they are, not as probabilities. Without it they are
            where nothing else can be meant.
        labelled: The main output has labels, so that logits are of these.
        unknown: Numbers of the values behind a call that cannot be stepped. Problems of inputs and outputs that only
            follow from that are left out.
    """
    read_there = {number for call in graph.calls if call.output in unknown for number in call.read}
    sequences = [each for each in graph.inputs if not each.static]
    found = _inputs(sequences, steps, problems, read_there)
    vectors = [each for each in sequences if each.number not in found]
    symbol: GraphInput | None = None
    if one_hot:
        symbol = _one_hot(vectors, graph, problems)
    elif found:
        ids = [each for each in sequences if each.number in found]
        symbol = next((each for each in ids if each.name == SYMBOL), ids[0])
    tables: dict[int, Weights] = {number: np.arange(size, dtype=np.float32) for number, size in found.items()}
    if one_hot and symbol is not None:
        tables[symbol.number] = np.eye(symbol.shape[-1] or 0, dtype=np.float32)
    features = {}
    unnamed = sum(bool(_UNNAMED.fullmatch(e.name)) for e in sequences if e is not symbol)
    for each in sequences:
        if each is symbol:
            continue
        own = not _UNNAMED.fullmatch(each.name)
        name = _identifier(each.name) if own else "features" if unnamed == 1 else f"features{each.number}"
        if name in _RESERVED and each.number not in read_there:
            problems.append(f"an input that is not the symbol is called {name!r}; rename it")
        shape = tuple(size or 0 for size in each.shape[2:])
        features[each.number] = Feature(name, () if each.number in found else shape, found.get(each.number))
    symbols = 0 if symbol is None else len(tables.get(symbol.number, ()))
    static = _static(graph, problems)
    whole = [each.name for each in sequences if each.number in found and _is_one_id(each, sequences)]
    if whole:  # that they have no time axis is the one cause of all other problems
        problems[:] = [
            f"its input {name!r} holds an id that is the same at all time steps, and a static input is made of "
            "numbers: give it the row of its embedding, keras.Input((numbers,))"
            for name in whole
        ]
    return Interface(
        symbol=None if symbol is None else symbol.number,
        symbols=symbols,
        one_hot=one_hot,
        features=features,
        outputs=tuple(_outputs(graph, problems, values, symbols, labelled, unknown)),
        tables=tables,
        spread=_spread(graph, {**features, **{n: Feature(tensor.name, tensor.shape) for n, tensor in static.items()}}),
        static=static,
    )


def _is_one_id(given: GraphInput, sequences: Sequence[GraphInput]) -> bool:
    """Tell whether an input of ids holds one for the whole sequence that other inputs hold."""
    others = [each for each in sequences if each is not given]
    return given.shape[1:] in ((), (1,)) and any(len(each.shape) > 1 and each.shape[1] != 1 for each in others)


def _static(graph: Graph, problems: list[str]) -> dict[int, StateTensor]:
    """Return the static inputs as tensors of the state, by number."""
    inputs = [each for each in graph.inputs if each.static]
    problems += [
        f"its input {each.name!r} has the shape {each.shape}; fix its size" for each in inputs if not each.shape[1]
    ]
    names = {
        each.number: _identifier(each.name)
        if not _UNNAMED.fullmatch(each.name)
        else "static"
        if len(inputs) == 1
        else f"static{each.number}"
        for each in inputs
    }
    return {each.number: StateTensor(names[each.number], (each.shape[1] or 1,), given=True) for each in inputs}


def _spread(graph: Graph, features: Mapping[int, Feature]) -> dict[int, tuple[Weights, Weights]]:
    """Return mean and standard deviation of the features that a Normalization reads, each of shape (N,) or (1,)."""
    found = {}
    for call in graph.calls:
        layer, feature = call.layer, features.get(call.inputs[0]) if call.inputs else None
        if not isinstance(layer, layers.Normalization) or layer.invert or layer.mean is None or not feature:
            continue
        mean, variance = (np.array(each, np.float32).reshape(-1) for each in (layer.mean, layer.variance))
        if feature.ids is None and mean.size in (1, feature.shape[-1]):
            found[call.inputs[0]] = mean, np.sqrt(variance)
    return found


def _inputs(
    inputs: Sequence[GraphInput], steps: Steps, problems: list[str], doubtful: Collection[int]
) -> dict[int, int]:
    """Return the number of ids of each input of ids, by the number of the input.

    Inputs that are `doubtful` are read by calls that cannot be stepped.
    """
    found: dict[int, int] = {}
    numbers = {each.number for each in inputs}
    problems += [
        f"{call.layer.name} ({type(call.layer).__name__}): it reads the output of another layer as symbol ids"
        for call, step in steps
        if isinstance(step, Lookup) and not (len(call.inputs) == 1 and call.inputs[0] in numbers)
    ]
    for each in inputs:
        readers = [(call, step) for call, step in steps if each.number in call.inputs]
        sizes = [len(step.table) for _, step in readers if isinstance(step, Lookup)]
        sizes += [len(each.words.symbols)] if sizes and each.words else []
        if not sizes:
            problems += _vector_problems(each) if readers and each.number not in doubtful else []
            continue
        found[each.number] = min(sizes)
        if len(each.shape) != 2:
            problems.append(f"its input of symbol ids has the shape {each.shape}; give it (batch, time steps)")
        problems += [
            f"{call.layer.name} ({type(call.layer).__name__}): it reads symbol ids as if they were numbers; put an "
            "Embedding or CategoryEncoding before it"
            for call, step in readers
            if isinstance(call.layer, layers.Layer) and not isinstance(step, Lookup)
        ]
    return found


def _vector_problems(given: GraphInput) -> list[str]:
    if not given.dtype.startswith("float"):
        return [
            f"its input {given.name!r} of {given.dtype} is read as numbers; put an Embedding or CategoryEncoding "
            "behind it, or make it float32"
        ]
    if len(given.shape) < 3 or None in given.shape[2:]:
        return [f"its input {given.name!r} has the shape {given.shape}; give it (batch, time steps, features)"]
    return []


def _one_hot(vectors: Sequence[GraphInput], graph: Graph, problems: list[str]) -> GraphInput | None:
    """Return the input of one-hot symbols."""
    likely = [each for each in vectors if len(each.shape) == 3 and each.shape[-1] is not None]
    named = [each for each in likely if each.name == SYMBOL]
    if len(named or likely) != 1:
        shapes = ", ".join(f"{each.name!r} {each.shape}" for each in graph.inputs)
        problems.append(
            f"one-hot input has the shape (batch, time steps, symbols), this model's is {shapes}; of several such "
            "inputs call one 'symbol'"
        )
        return None
    return (named or likely)[0]


def _outputs(
    graph: Graph, problems: list[str], values: bool, symbols: int, labelled: bool, unknown: Collection[int]
) -> list[OutputSpec]:
    """Return the outputs that are known, the main one first."""
    makers = {call.output: call for call in graph.calls}
    main = _main_output(graph, makers, symbols)
    specs = []
    for output in sorted(graph.outputs, key=lambda each: each is not main):
        if output.number in unknown:
            continue
        if len(output.shape) != 1:
            problems.append(
                f"its output {output.name!r} has the shape {output.shape} in a step; end it in one row of numbers"
            )
            continue
        kind, size = _kind(output.number, makers), output.shape[0] or 0
        as_values = output.values or (output is main and values)
        known = kind if kind in ("softmax", "sigmoid") and not as_values else None
        # Logits are of labels or of symbols. A model that reads numbers and has no labels answers with numbers.
        from_logits = output is main and not as_values and kind == _LOGITS and size != 1 and bool(symbols or labelled)
        activation = known or ("softmax" if from_logits else "linear")
        if output is main and activation == "linear" and not as_values and (labelled or 1 < size == symbols):
            maker = makers[output.number].layer.name if output.number in makers else "its input"
            problems.append(
                f"it ends in {maker!r}, whose output is no probabilities; end it in a Dense layer with softmax or "
                "sigmoid, or with logits of 2 symbols and more; if its numbers are the answer as they are, say so "
                "(--values)"
            )
        name = _identifier(output.name) if output is not main else VALUES if activation == "linear" else PROBABILITIES
        specs.append(OutputSpec(name, output.number, size, activation, from_logits))
    return specs


def _main_output(graph: Graph, makers: Mapping[int, LayerCall], symbols: int) -> GraphOutput:
    """Return the output called "probabilities"; of a dictionary that of the next symbol, else the first."""
    named = [each for each in graph.outputs if each.name == PROBABILITIES]
    likely = [each for each in graph.outputs if each.shape == (symbols,) and _kind(each.number, makers) == "softmax"]
    return [*named, *([] if graph.ordered else likely), *graph.outputs][0]


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _kind(number: int, makers: Mapping[int, LayerCall]) -> str | None:
    """Return "softmax", "sigmoid", "logits", or None for any other numbers: the kind of the value `number`."""
    call = makers.get(number)
    if call is None:
        return None
    layer: Any = call.layer
    if type(layer) in _IDENTITIES:
        return _kind(call.inputs[0], makers)
    if not isinstance(layer, layers.Layer) and type(layer).__name__ != "Softmax":
        return _kind_of_operation(call, makers)
    if type(layer) is layers.Softmax or not isinstance(layer, layers.Layer):
        return "softmax" if layer.axis in (-1, len(call.input_shapes[0]) - 1) else None
    if type(layer) in (layers.Average, layers.Add):
        kinds = {_kind(number, makers) for number in call.inputs}
        kind = kinds.pop() if len(kinds) == 1 else None
        # The mean of probabilities is a probability; a sum is none.
        return kind if kind == _LOGITS or type(layer) is layers.Average else None
    if type(layer) is layers.Activation or type(layer) in _LINEAR:
        name = getattr(layer.activation, "__name__", None)
        if name == "linear":
            return _LOGITS if type(layer) in _LINEAR else _kind(call.inputs[0], makers)
        return name if name in ("softmax", "sigmoid") else None
    return None


def _kind_of_operation(call: LayerCall, makers: Mapping[int, LayerCall]) -> str | None:
    """Return the kind of the output of a Keras operation, as `_kind` does."""
    name = type(call.layer).__name__
    if name == "Sigmoid":
        return "sigmoid"
    if name == "Matmul" and len(call.inputs) == 1:  # with weights: tied embeddings, for example
        return _LOGITS
    if name == "GetItem" and call.timed and not call.whole and len(call.input_shapes[0]) == len(call.output_shape) + 1:
        # The last time step; the numbers in it stay.
        return _kind(call.inputs[0], makers) if call.input_shapes[0][2:] == call.output_shape[1:] else None
    if name == "Add" and len(call.inputs) == 1:  # a bias
        return _LOGITS if _kind(call.inputs[0], makers) == _LOGITS else None
    return None
