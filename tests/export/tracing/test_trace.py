"""A traced function is the same function: in a graph, in float32 and in float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from stepcell.export.ops import NumpyOps
from stepcell.export.ops.tensorflow_ops import TensorFlowOps
from stepcell.export.tracing.trace import CannotTraceError, trace

ops = keras.ops
X = np.random.default_rng(0).normal(size=(50, 6)).astype("f4") * 3
FUNCTIONS = {
    "gelu": keras.activations.gelu,
    "erf": ops.erf,
    "log1p": lambda x: ops.log1p(ops.abs(x)),
    "expm1": lambda x: ops.expm1(ops.tanh(x)),
    "hyperbolic": lambda x: ops.sinh(ops.tanh(x)) + ops.cosh(ops.tanh(x)),
    "tangent": lambda x: ops.tan(ops.tanh(x)),
    "a loop": lambda x: ops.while_loop(lambda n, a: n < 3, lambda n, a: (n + 1, a * 0.5 + 1), (0, x))[1],
    "truth": lambda x: x > 0,
    "weights alone": lambda x: x @ tf.linalg.expm(tf.constant(np.eye(6, dtype="f4"))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_traced_function_is_the_same_function(name):
    graph = trace(lambda given: [FUNCTIONS[name](given[0])], [((6,), "float32")])
    right = np.asarray(ops.cast(FUNCTIONS[name](tf.constant(X)), "float32"))
    for arithmetic in (TensorFlowOps(), NumpyOps(), NumpyOps(np.float32)):
        (found,) = arithmetic.traced(graph, [X])
        assert np.abs(np.asarray(found) - right).max() <= 2e-6


def test_the_results_in_float64_are_those_of_float64_arithmetic():
    graph = trace(lambda given: [ops.tanh(given[0]) / 3], [((6,), "float32")])
    (found,) = NumpyOps().traced(graph, [X])
    third = np.float64(np.float32(3))
    assert np.abs(found - np.tanh(X.astype("f8")) / third).max() < 1e-14


def test_what_depends_on_no_input_is_computed_once():
    graph = trace(FUNCTIONS_OF_LIST["expm"], [((6,), "float32")])
    assert {node.op for node in graph.definition.node} <= {"Placeholder", "Const", "MatMul", "Identity"}


FUNCTIONS_OF_LIST = {"expm": lambda given: [given[0] @ tf.linalg.expm(tf.constant(np.eye(6, dtype="f4")))]}


def test_an_operator_inside_of_a_function_of_the_graph_is_found():
    def noisy(given):
        return [tf.while_loop(lambda n, a: n < 3, lambda n, a: (n + 1, a + tf.random.normal([6])), (0, given[0]))[1]]

    with pytest.raises(CannotTraceError, match=r"draws random numbers.*RandomStandardNormal"):
        trace(noisy, [((6,), "float32")])


def test_python_inside_is_refused():
    with pytest.raises(CannotTraceError, match=r"it calls Python.*PyFunc"):
        trace(lambda given: [tf.py_function(lambda x: x, given, tf.float32)], [((6,), "float32")])


def test_one_of_several_results_can_be_taken_alone():
    graph = trace(lambda given: [given[0] * 2, ops.tanh(given[0])], [((6,), "float32")]).selected(0)
    (found,) = NumpyOps().traced(graph, [X])
    assert np.array_equal(found, X.astype("f8") * 2)
    assert "Tanh" not in {node.op for node in graph.definition.node}


def test_weights_are_rounded_where_those_of_rules_are():
    matrix = np.random.default_rng(1).normal(size=(6, 64)).astype("f4")
    graph = trace(lambda given: [given[0] @ tf.constant(matrix)], [((6,), "float32")])
    half = matrix.astype("f2").astype("f4")
    (found,) = NumpyOps(rounding=lambda weights: weights.astype("f2").astype("f4")).traced(graph, [X])
    assert np.abs(found - X.astype("f8") @ half).max() < 1e-12
