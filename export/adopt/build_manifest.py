"""The draft of a manifest: everything that is known before a file has been stepped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...runtime.common.arrays import AnyArray
from ...runtime.format.io_mapping import SYMBOL_TYPES, TENSOR_TYPES, Constant, IOMapping, TensorSpec
from ...runtime.format.manifest import Manifest, StateTensor
from ...runtime.format.onnx_graph import OnnxGraph
from ...runtime.format.tensor_specs import Feature, Output
from ...runtime.format.tflite_graph import TfliteGraph
from ...runtime.format.vocabulary import Vocabulary
from .graph_ports import GraphPorts, adoption_error
from .infer_mapping import RATES, InferredMapping, short_name


def draft_manifest(
    ports: GraphPorts,
    mapping: InferredMapping,
    path: Path,
    name: str,
    vocabulary: Vocabulary | None = None,
    labels: Vocabulary | None = None,
    starts: Mapping[str, AnyArray] | None = None,
    values: bool = False,
    rate: int | None = None,
) -> Manifest:
    """Return the manifest of a file that is mapped as `mapping` says.

    Args:
        ports: The graph.
        mapping: The roles of its tensors.
        path: The file.
        name: Name of the model.
        vocabulary: The symbols; None: the ids themselves, if it reads symbols.
        labels: The symbols of the output; None: the next symbol, or none.
        starts: Name of a state input -> its value after a reset, as the graph has it; others start at 0, or at the
            integer that stands for 0.
        values: The outputs are values.
        rate: Samples per second of sound; None: that of a constant which is called so.

    Raises:
        AdoptionError: Types and sizes of symbol, answer and vocabulary do not agree; all of it is named.
    """
    outputs = [ports.outputs[each] for each in (mapping.output, *mapping.further)]
    problems = [
        f"the output {port.describe()} is not numbers that can be read: export it with float32 outputs"
        for port in outputs
        if port.dtype not in TENSOR_TYPES or 0 in port.shape
    ]
    answer = outputs[0]
    if mapping.symbol is None:
        symbol, symbols = None, Vocabulary.none()
        problems += ["it reads no symbols: leave out --vocabulary"] if vocabulary is not None else []
        labels = labels or Vocabulary.of_ids(answer.size)
        if len(labels) != answer.size:
            problems.append(f"it answers with {answer.size} numbers, there are {len(labels)} labels")
    else:
        symbol = ports.inputs[mapping.symbol]
        symbols, labels = _symbols_of(symbol, answer, vocabulary, labels, values, problems)
        answer = replace(answer, shape=answer.shape or (len(labels or symbols),))
    constants = tuple(_constant_of(ports.inputs[n], value, problems) for n, value in mapping.constants.items())
    features = {short_name(each): ports.inputs[each] for each in mapping.features}
    further = {short_name(port.name): port for port in outputs[1:]}
    names = [*features, *further]
    problems += [f"two features or outputs have the name {n!r}" for n in sorted(set(names)) if names.count(n) > 1]
    problems += [
        f"the feature {port.describe()} is of a type that cannot be fed: export it with float32 or int8 inputs"
        for port in features.values()
        if port.dtype not in TENSOR_TYPES
    ]
    if problems:
        raise adoption_error(path.name, problems)
    state = {pair.name: _state_ports(ports, pair.source, pair.target) for pair in mapping.pairs}
    begin = {pair.name: (starts or {}).get(pair.source) for pair in mapping.pairs}
    precision, requires = _requirements(ports.graph)
    return Manifest(
        name=name.encode(errors="replace").decode(),
        vocabulary=symbols,
        labels=labels,
        state=tuple(_state_tensor(each, source, begin[each]) for each, (source, _) in state.items()),
        cells=(),
        output="linear" if values else "softmax",
        quantization=precision,
        requires=requires,
        producer=f"stepcell {__version__} adopt",
        io_mapping=IOMapping(
            ports.signature, symbol, answer, False, state, features, further, constants, rate or _rate_of(constants)
        ),
        features=tuple(Feature(each, _shape_of_step(port.shape)) for each, port in features.items()),
        extra_outputs=tuple(Output(each, port.size, "linear") for each, port in further.items()),
    )


def _symbols_of(
    symbol: TensorSpec, output: TensorSpec, vocabulary: Vocabulary | None, labels: Vocabulary | None, values: bool,
    problems: list[str],
) -> tuple[Vocabulary, Vocabulary | None]:  # fmt: skip
    """Return the symbols that are read, and those of the output if they are others; add to `problems`."""
    answers = output.size if output.shape else None
    if symbol.dtype not in SYMBOL_TYPES:
        problems.append(f"the symbol {symbol.describe()} is neither {' nor '.join(SYMBOL_TYPES)}")
    elif symbol.dtype != "float32" and symbol.size != 1:
        problems.append(
            f"the symbol {symbol.describe()} has a batch or several time steps: export one step of one stream"
        )
    one_hot = symbol.size if symbol.dtype == "float32" else None
    size = one_hot or (None if values else answers)
    if vocabulary is None and size is not None:
        vocabulary = Vocabulary.of_ids(size)
    if vocabulary is None:
        problems.append("the file does not say how many symbols there are: give --vocabulary FILE")
        return Vocabulary.none(), labels
    if one_hot not in (None, len(vocabulary)):
        problems.append(f"it reads one-hot vectors of {one_hot} symbols, the vocabulary has {len(vocabulary)}")
    if values and labels is None and answers is not None:
        labels = Vocabulary.of_ids(answers)
    if labels is None and answers not in (None, len(vocabulary)):
        problems.append(
            f"it answers with {answers} numbers and the vocabulary has {len(vocabulary)} symbols: if they are not "
            "the next symbol, give --labels FILE, or --values if they are no probabilities"
        )
    if labels is not None and answers not in (None, len(labels)):
        problems.append(f"it answers with {answers} numbers, there are {len(labels)} labels")
    return vocabulary, labels


def _constant_of(port: TensorSpec, value: tuple[float, ...], problems: list[str]) -> Constant:
    """Return a constant input; add to `problems`."""
    if len(value) not in (1, port.size):
        problems.append(f"the constant {port.describe()} has {port.size} elements, {len(value)} are given")
    if port.dtype not in TENSOR_TYPES:
        problems.append(f"the constant {port.describe()} is of a type that cannot be fed")
    elif port.dtype != "float32":
        least, most = (0, 1) if port.dtype == "bool" else (np.iinfo(port.dtype).min, np.iinfo(port.dtype).max)
        if any(number != int(number) or not least <= number <= most for number in value):
            problems.append(f"the constant {port.describe()} takes integers from {least} to {most}")
    return Constant(port, value[0] if len(value) == 1 else value)


def _rate_of(constants: Iterable[Constant]) -> int | None:
    """Return the samples per second that a constant says by its name."""
    named = [c.value for c in constants if short_name(c.tensor.name).lower() in RATES and isinstance(c.value, float)]
    return int(named[0]) if len(named) == 1 and named[0] >= 1 else None


def _state_ports(ports: GraphPorts, source: str, target: str) -> tuple[TensorSpec, TensorSpec]:
    into, out = ports.inputs[source], ports.outputs[target]
    return into, out if out.shape else replace(out, shape=into.shape)


def _state_tensor(name: str, port: TensorSpec, start: AnyArray | None) -> StateTensor:
    zero = float(port.zero_point) if port.scale else 0.0  # of a quantised state the integer that stands for 0
    tensor = StateTensor(name, _without_batch(port.shape), zero, dtype=port.dtype)
    return tensor if start is None else tensor.starting_from(np.asarray(start).astype(np.float32))


def _without_batch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a state tensor without its batch dimension, where that is the first; never empty."""
    return (shape[1:] if shape[:1] == (1,) else shape) or (1,)


def _shape_of_step(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a feature without the batch and time dimensions, which are 1 and come first; never empty."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape or (1,)


def _requirements(graph: TfliteGraph | OnnxGraph) -> tuple[str, dict[str, Any]]:
    """Return the precision of the weights, and the requirements to an interpreter."""
    if isinstance(graph, OnnxGraph):
        types = {weight.type for weight in graph.weights}
        requires = {"opset": graph.opsets.get("", 0), "ir_version": graph.ir_version}
    else:
        types = {t.type for each in graph.subgraphs for t in each.tensors if len(graph.buffers[t.buffer])}
        requires = {}
        for name, _, version in sorted(graph.operators):
            requires[name] = max(version, requires.get(name, 0))
    return next((one for one in ("int8", "float16") if one in types), "float32"), requires
