"""The draft of a manifest: everything that is known before a file has been stepped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import __version__
from ...runtime.format.io_mapping import SYMBOL_TYPES, IOMapping, TensorSpec
from ...runtime.format.manifest import Manifest, StateTensor
from ...runtime.format.onnx_graph import OnnxGraph
from ...runtime.format.tflite_graph import TfliteGraph
from ...runtime.format.vocabulary import Vocabulary
from .graph_ports import GraphPorts, adoption_error
from .infer_mapping import InferredMapping


def draft_manifest(
    ports: GraphPorts,
    mapping: InferredMapping,
    path: Path,
    name: str,
    vocabulary: Vocabulary | None,
    labels: Vocabulary | None,
) -> Manifest:
    """Return the manifest of a file that is mapped as `mapping` says.

    Raises:
        AdoptionError: Types and sizes of symbol, answer and vocabulary do not agree; all of it is named.
    """
    symbol, output = ports.inputs[mapping.symbol], ports.outputs[mapping.output]
    answers = output.size if output.shape else None
    problems = []
    if symbol.dtype not in SYMBOL_TYPES:
        problems.append(f"the symbol {symbol.describe()} is neither {' nor '.join(SYMBOL_TYPES)}")
    elif symbol.dtype != "float32" and symbol.size != 1:
        problems.append(
            f"the symbol {symbol.describe()} has a batch or several time steps: export one step of one stream"
        )
    if output.dtype != "float32":
        problems.append(f"the output {output.describe()} is not float32: export it with float32 outputs")
    one_hot = symbol.size if symbol.dtype == "float32" else None
    size = one_hot or answers
    if vocabulary is None and size is not None:
        vocabulary = Vocabulary.of_ids(size)
    if vocabulary is None:
        problems.append("the file does not say how many symbols there are: give --vocabulary FILE")
    else:
        if one_hot not in (None, len(vocabulary)):
            problems.append(f"it reads one-hot vectors of {one_hot} symbols, the vocabulary has {len(vocabulary)}")
        if labels is None and answers not in (None, len(vocabulary)):
            problems.append(
                f"it answers with {answers} numbers and the vocabulary has {len(vocabulary)} symbols: if they are not "
                "the next symbol, give --labels FILE"
            )
        if labels is not None and answers not in (None, len(labels)):
            problems.append(f"it answers with {answers} numbers, there are {len(labels)} labels")
    if problems or vocabulary is None:
        raise adoption_error(path.name, problems)
    state = {pair.name: _state_ports(ports, pair.source, pair.target) for pair in mapping.pairs}
    answer = replace(output, shape=output.shape or (len(labels or vocabulary),))
    precision, requires = _requirements(ports.graph)
    return Manifest(
        name=name.encode(errors="replace").decode(),
        vocabulary=vocabulary,
        labels=labels,
        state=tuple(StateTensor(each, _without_batch(source.shape)) for each, (source, _) in state.items()),
        cells=(),
        quantization=precision,
        requires=requires,
        producer=f"stepcell {__version__} adopt",
        io_mapping=IOMapping(ports.signature, symbol, answer, False, state),
    )


def _state_ports(ports: GraphPorts, source: str, target: str) -> tuple[TensorSpec, TensorSpec]:
    into, out = ports.inputs[source], ports.outputs[target]
    return into, out if out.shape else replace(out, shape=into.shape)


def _without_batch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a state tensor without its batch dimension, where that is the first; never empty."""
    return (shape[1:] if shape[:1] == (1,) else shape) or (1,)


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
