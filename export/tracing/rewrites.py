"""Operators that a converter does not know, in terms of others that both know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from .traced_graph import GraphDef

# erf on [-4, 4] as x P(x^2) / Q(x^2), the highest power first; off by less than 3e-7. XLA and Eigen compute it so.
_ERF_P = (
    -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
    -2.95459980854025e-03, -1.60960333262415e-02,
)  # fmt: skip
_ERF_Q = (
    -1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02,
)  # fmt: skip


def _erf(x: Any) -> Any:
    x = tf.clip_by_value(x, -4.0, 4.0)
    square = x * x
    above, below = (tf.constant(terms[0], x.dtype) for terms in (_ERF_P, _ERF_Q))
    for term in _ERF_P[1:]:
        above = above * square + term
    for term in _ERF_Q[1:]:
        below = below * square + term
    return x * above / below


_REWRITES: dict[str, Callable[..., Any]] = {
    "Erf": _erf,
    "Erfc": lambda x: 1.0 - _erf(x),
    "Log1p": lambda x: tf.math.log(x + 1.0),
    "Expm1": lambda x: tf.exp(x) - 1.0,
    "Sinh": lambda x: (tf.exp(x) - tf.exp(-x)) * 0.5,
    "Cosh": lambda x: (tf.exp(x) + tf.exp(-x)) * 0.5,
    "Tan": lambda x: tf.sin(x) / tf.cos(x),
    "Xdivy": lambda x, y: tf.where(tf.equal(x, 0.0), tf.zeros_like(x * y), x / y),
    "DivNoNan": lambda x, y: tf.where(tf.equal(y, 0.0), tf.zeros_like(x * y), x / y),
    "Reciprocal": lambda x: 1.0 / x,
    "Inv": lambda x: 1.0 / x,
}


def rewritten(definition: GraphDef) -> GraphDef:
    """Return the graph with the operators of the table replaced; functions inside it stay as they are.

    The exact gelu keeps its Erf, in the form that the TFLite converter makes one operator of.
    """
    changed = tf.compat.v1.GraphDef(versions=definition.versions, library=definition.library)
    nodes = {node.name: node for node in definition.node}
    for node in definition.node:
        rewrite = _REWRITES.get(node.op)
        negated = _negated_factor(node, nodes) if node.op == "Erfc" else None
        if negated is not None:
            x, factor = negated
            changed.node.extend(_replacement(node, lambda x, factor: tf.math.erf(x * factor) + 1.0, [x, factor]))
        elif rewrite is not None:
            changed.node.extend(_replacement(node, rewrite, [name for name in node.input if name[0] != "^"]))
        else:
            changed.node.add().CopyFrom(node)
    return changed


def _negated_factor(node: Any, nodes: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return x and the factor where `node` reads -x * factor: 0.5 x Erfc(-x sqrt(0.5)) is how Keras writes gelu."""
    product = nodes[node.input[0].split(":")[0]]
    if product.op != "Mul":
        return None
    negation = nodes[product.input[0].split(":")[0]]
    return (negation.input[0], product.input[1]) if negation.op == "Neg" else None


def _replacement(node: Any, rewrite: Callable[..., Any], sources: Sequence[str]) -> list[Any]:
    """Return the nodes that compute `rewrite` of `sources`; the last bears the name of `node`."""
    graph = tf.Graph()
    with graph.as_default():
        dtype = tf.as_dtype(node.attr["T"].type)
        given = [tf.compat.v1.placeholder(dtype, name=f"given{n}") for n in range(len(sources))]
        tf.identity(rewrite(*given), name="result")
    outside = {f"given{n}": name for n, name in enumerate(sources)}
    made = []
    for inner in graph.as_graph_def().node:
        if inner.name in outside:
            continue
        names = [outside.get(name, f"{node.name}/{name}") for name in inner.input]
        del inner.input[:]
        inner.input.extend(names)
        inner.name = node.name if inner.name == "result" else f"{node.name}/{inner.name}"
        made.append(inner)
    return made
