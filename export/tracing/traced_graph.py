"""A traced function: a graph with its weights inside, taken up by a TensorFlow graph or run by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import AnyArray, Float32

GraphDef: TypeAlias = Any
Rounding: TypeAlias = Callable[[Float32], Float32]
Run: TypeAlias = Callable[[Sequence[AnyArray]], list[AnyArray]]
_FLOAT, _DOUBLE = tf.float32.as_datatype_enum, tf.float64.as_datatype_enum


class TracedGraph:
    """A function of float32 tensors of shape (B, ...) as a graph without variables.

    Attributes:
        definition: The graph.
        inputs: Names of its placeholders, in order.
        outputs: Names of its results, likewise.
        output_shapes: Their shapes without the batch; None where one is not known.
    """

    def __init__(
        self,
        definition: GraphDef,
        inputs: Sequence[str],
        outputs: Sequence[str],
        output_shapes: Sequence[tuple[int | None, ...]],
    ) -> None:
        """Take a graph whose only outside are `inputs` and `outputs`."""
        self.definition = definition
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.output_shapes = tuple(output_shapes)
        self._runs: dict[tuple[Any, Rounding], Run] = {}

    def selected(self, output: int) -> TracedGraph:
        """Return the part of the graph that makes its result number `output` alone."""
        name = self.outputs[output]
        return TracedGraph(
            pruned(self.definition, [name, *self.inputs]), self.inputs, [name], [self.output_shapes[output]]
        )

    def inline(self, values: Sequence[Any], rounding: Rounding) -> list[Any]:
        """Add the graph to the TensorFlow graph that is being built, and return its results.

        Args:
            values: Tensors of the shapes of `inputs`.
            rounding: What the weights go through first.
        """
        if tf.executing_eagerly():
            return list(tf.function(lambda *given: self.inline(given, rounding), autograph=False)(*values))
        given = {f"{n}:0": tf.cast(v, tf.float32) for n, v in zip(self.inputs, values, strict=True)}
        made = tf.graph_util.import_graph_def(
            self._rounded(rounding), input_map=given, return_elements=[f"{n}:0" for n in self.outputs], name="traced"
        )
        for tensor, shape in zip(made, self.output_shapes, strict=True):
            tensor.set_shape([None, *shape])
        return list(made)

    def run(
        self, values: Sequence[AnyArray], dtype: type[np.floating[Any]], rounding: Rounding = lambda weights: weights
    ) -> list[AnyArray]:
        """Compute the results with all numbers of `dtype`: with float64 the exact value of the float32 graph."""
        key = (dtype, rounding)
        if key not in self._runs:
            self._runs[key] = self._session(dtype, rounding)
        return self._runs[key]([np.asarray(value, dtype) for value in values])

    def _session(self, dtype: type[np.floating[Any]], rounding: Rounding) -> Run:
        definition = self._rounded(rounding)
        if dtype is np.float64:
            definition = _in_double(definition)
        graph = tf.Graph()  # of its own: the functions of both forms have the same names
        with graph.as_default():
            tf.graph_util.import_graph_def(definition, name="")
        one_thread = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        session = tf.compat.v1.Session(graph=graph, config=one_thread)
        call = session.make_callable([f"{n}:0" for n in self.outputs], feed_list=[f"{n}:0" for n in self.inputs])
        return lambda values: list(call(*values))

    def _rounded(self, rounding: Rounding) -> GraphDef:
        definition = _copy(self.definition)
        for node in _nodes(definition):
            tensor = node.attr["value"].tensor if node.op == "Const" else None
            if tensor is not None and tensor.dtype == _FLOAT:
                before = tf.make_ndarray(tensor)
                after = rounding(before)
                if after is not before:
                    tensor.CopyFrom(tf.make_tensor_proto(after, tf.float32))
        return definition


def pruned(definition: GraphDef, names: Sequence[str]) -> GraphDef:
    """Return the graph with those nodes alone that the nodes `names` need, and these."""
    nodes = {node.name: node for node in definition.node}
    needed, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [source.lstrip("^").split(":")[0] for source in nodes[name].input]
    kept = tf.compat.v1.GraphDef(versions=definition.versions, library=definition.library)
    kept.node.extend(node for node in definition.node if node.name in needed)
    return kept


def _copy(definition: GraphDef) -> GraphDef:
    copy = tf.compat.v1.GraphDef()
    copy.CopyFrom(definition)
    return copy


def _nodes(definition: GraphDef) -> Iterator[Any]:
    """Yield the nodes of a graph and of its functions."""
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def _in_double(definition: GraphDef) -> GraphDef:
    """Return the graph with every float32 turned into float64."""
    copy = _copy(definition)
    for node in _nodes(copy):
        for attribute in node.attr.values():
            if attribute.type == _FLOAT:
                attribute.type = _DOUBLE
            for index, dtype in enumerate(attribute.list.type):
                if dtype == _FLOAT:
                    attribute.list.type[index] = _DOUBLE
            if attribute.HasField("tensor") and attribute.tensor.dtype == _FLOAT:
                values = tf.make_ndarray(attribute.tensor).astype(np.float64)
                attribute.tensor.CopyFrom(tf.make_tensor_proto(values, tf.float64))
    for function in copy.library.function:
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            if argument.type == _FLOAT:
                argument.type = _DOUBLE
    return copy
