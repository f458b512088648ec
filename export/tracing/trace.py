"""Trace a function once: freeze its variables, compute what depends on no input, refuse what is no function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from .rewrites import rewritten
from .traced_graph import GraphDef, TracedGraph, pruned

# Beginning of the names of operators -> why a step cannot have them. A step is a function of its inputs and its state.
_REFUSED = {
    "Assign": "it changes a variable at each call; a cell returns its state",
    "Random": "it draws random numbers, also when it is not trained",
    "StatelessRandom": "it draws random numbers, also when it is not trained",
    "Stateful": "it draws random numbers, also when it is not trained",
    "Multinomial": "it draws random numbers, also when it is not trained",
    "Rng": "it draws random numbers, also when it is not trained",
    "PyFunc": "it calls Python, which no model file can hold",
    "EagerPyFunc": "it calls Python, which no model file can hold",
    "Hash": "it looks up in a table, which no model file can hold",
    "Lookup": "it looks up in a table, which no model file can hold",
    "Print": "it prints at each call",
    "Assert": "it checks its numbers at each call",
}
_BATCHES = (2, 3)


class CannotTraceError(Exception):
    """A function that is no computation on its inputs alone: the reason. Collected, never shown alone."""


def trace(function: Callable[[list[Any]], Sequence[Any]], inputs: Sequence[tuple[tuple[int, ...], str]]) -> TracedGraph:
    """Trace `function` and return it as a graph without variables.

    It is traced twice, and both graphs are compared on random numbers: a function that counts its calls in Python is
    another one each time.

    Args:
        function: It takes a list of tensors of shape (B, ...) and returns several such; Keras layers called with
            training=False, for example.
        inputs: Shape without the batch and dtype of each of them. The graph itself takes float32 for all of them, and
            gives float32 for all results: a truth value is 1 or 0.

    Raises:
        CannotTraceError: It fails on such tensors, or it is no function of them alone: operators of its are named.
    """
    first, second = (_traced(function, inputs) for _ in range(2))
    random = np.random.default_rng(0)
    values = [
        random.normal(size=(3, *shape)) if dtype.startswith("float") else np.ones((3, *shape))
        for shape, dtype in inputs
    ]
    try:
        results = [graph.run(values, np.float64) for graph in (first, second)]
    except Exception as error:  # an operator without float64, for example
        raise CannotTraceError(_first_line(error)) from error
    for one, other in zip(*results, strict=True):
        if not np.array_equal(one, other, equal_nan=True):
            raise CannotTraceError(
                f"it is another function at each call: two of them differ by {np.abs(one - other).max():.2g} on the "
                "same numbers; it may count in Python, which no graph does"
            )
    return first


def _traced(
    function: Callable[[list[Any]], Sequence[Any]], inputs: Sequence[tuple[tuple[int, ...], str]]
) -> TracedGraph:
    def named(*given: Any) -> dict[str, Any]:
        read = [_as(tensor, dtype) for tensor, (_, dtype) in zip(given, inputs, strict=True)]
        made = function(read)
        return {f"result{number:03}": tf.cast(value, tf.float32) for number, value in enumerate(made)}

    specs = [tf.TensorSpec([None, *shape], tf.float32, name=f"given{n}") for n, (shape, _) in enumerate(inputs)]
    try:
        concrete = tf.function(named, autograph=False).get_concrete_function(*specs)
    except Exception as error:  # whatever the traced code ran into
        raise CannotTraceError(_first_line(error)) from error
    _refuse_operators(concrete.graph)
    shapes = [concrete.structured_outputs[key].shape[1:] for key in sorted(concrete.structured_outputs)]
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    names = [tensor.op.name for tensor in frozen.inputs]
    definition, results = _folded(frozen.graph.as_graph_def(), names, [tensor.name for tensor in frozen.outputs])
    _fix_shapes(definition, names, [shape for shape, _ in inputs])
    ends = []
    for number, result in enumerate(results):
        node = definition.node.add()
        node.op, node.name = "Identity", f"result{number:03}"
        node.input.append(result.removesuffix(":0"))
        node.attr["T"].type = tf.float32.as_datatype_enum
        ends.append(node.name)
    kept = pruned(rewritten(definition), [*ends, *names])
    return TracedGraph(kept, names, ends, [tuple(shape) for shape in shapes])


def _as(tensor: Any, dtype: str) -> Any:
    return tensor > 0.5 if dtype == "bool" else tf.cast(tensor, dtype)


def _first_line(error: Exception) -> str:
    """Return the first line of a message of Keras or TensorFlow that says something."""
    lines = [line.strip() for line in str(error).split("\n")]
    said = [line for line in lines if line and not line.endswith(":") and not line.startswith("Exception encountered")]
    return (said or lines or [""])[0] or type(error).__name__


def _refuse_operators(graph: Any) -> None:
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(_operators(graph)):
        for beginning, reason in _REFUSED.items():
            if name.startswith(beginning):
                found.setdefault(reason, []).append(name)
                break
    if found:
        raise CannotTraceError("; ".join(f"{reason} ({', '.join(names)})" for reason, names in found.items()))


def _operators(graph: Any) -> Iterator[str]:
    """Yield the names of the operators of a graph and of the functions in it."""
    definition = graph.as_graph_def()
    yield from (node.op for node in definition.node)
    for function in definition.library.function:
        yield from (node.op for node in function.node_def)


def _folded(definition: GraphDef, inputs: Sequence[str], results: Sequence[str]) -> tuple[GraphDef, list[str]]:
    """Compute everything that depends on no input: converters make long loops of it, or have no operator for it.

    Returns:
        The graph with constants in its place, and the names of `results` in it.
    """
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(definition, name="")
    order = graph.get_operations()
    # Lists of tensors are no numbers, so they cannot become constants.
    live = {*inputs, *(o.name for o in order if any(t.dtype in (tf.variant, tf.resource) for t in o.outputs))}
    growing = True
    while growing:  # operations are not in the order of their use where there are loops
        size = len(live)
        live |= {o.name for o in order if any(tensor.op.name in live for tensor in o.inputs)}
        growing = len(live) > size
    border = {
        tensor.name
        for operation in order if operation.name in live
        for tensor in operation.inputs
        if tensor.op.name not in live and tensor.op.type != "Const"
    } | {name for name in results if name.split(":")[0] not in live}  # fmt: skip
    names = sorted(border)
    with tf.compat.v1.Session(graph=graph) as session:
        values = session.run(names) if names else []
    folded = tf.compat.v1.GraphDef()
    folded.versions.CopyFrom(definition.versions)
    folded.library.CopyFrom(definition.library)
    constant_of = {}
    for name, value in zip(names, values, strict=True):
        node = folded.node.add()
        node.op, node.name = "Const", "folded/" + name.replace(":", "_")
        node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        constant_of[name] = node.name
    for original in definition.node:
        if original.name not in live and original.op != "Const":
            continue
        node = folded.node.add()
        node.CopyFrom(original)
        kept = [constant_of.get(name if ":" in name else f"{name}:0", name) for name in node.input]
        del node.input[:]
        node.input.extend(name for name in kept if not name.startswith("^") or name[1:] in live)
    return folded, [constant_of.get(name, name) for name in results]


def _fix_shapes(definition: GraphDef, inputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> None:
    """Give each Reshape its shape as a constant, with -1 for the batch, where it is computed from that of an input.

    An interpreter reserves no memory for a tensor whose shape is known only when it runs. The shapes are computed for
    batches of two sizes: what grows with the batch is the batch.
    """
    constants = {node.name for node in definition.node if node.op == "Const"}
    computed = [node for node in definition.node if node.op == "Reshape" and node.input[1] not in constants]
    if not computed:
        return
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(definition, name="")
    wanted = [node.input[1] if ":" in node.input[1] else f"{node.input[1]}:0" for node in computed]
    with tf.compat.v1.Session(graph=graph) as session:
        found = [
            session.run(
                wanted, {f"{n}:0": np.ones((rows, *s), np.float32) for n, s in zip(inputs, shapes, strict=True)}
            )
            for rows in _BATCHES
        ]
    for node, few, many in zip(computed, *found, strict=True):
        grows = np.flatnonzero(few != many)
        if len(grows) > 1 or (len(grows) == 1 and few[grows[0]] * _BATCHES[1] != many[grows[0]] * _BATCHES[0]):
            continue
        few[grows] = -1
        constant = definition.node.add()
        constant.op, constant.name = "Const", f"{node.name}/fixed_shape"
        constant.attr["dtype"].type = tf.as_dtype(few.dtype).as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(few))
        node.input[1] = constant.name
