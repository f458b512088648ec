"""Model files with explicit state, made by other means than stepcell's exporter."""

from __future__ import annotations

import flatbuffers
import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

SYMBOLS, UNITS = 6, 5


def lstm_weights(seed=3):
    """Kernel (V, 4U), recurrent kernel (U, 4U), bias (4U,), dense kernel (U, V): gates in the order i, f, c, o."""
    random = np.random.default_rng(seed)
    shapes = [(SYMBOLS, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,), (UNITS, SYMBOLS)]
    return [random.normal(0, 1, shape).astype(np.float32) for shape in shapes]


def lstm_step(x, h, c, weights, *, logits):
    """One step of an LSTM in TensorFlow, written by hand."""
    kernel, recurrent, bias, dense = weights
    i, f, g, o = tf.split(tf.gather(kernel, x) + h @ recurrent + bias, 4, axis=1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    h = tf.sigmoid(o) * tf.tanh(c)
    answer = h @ dense
    return answer if logits else tf.nn.softmax(answer), h, c


def expected(ids, weights=None):
    """Return the probabilities after each of `ids`, computed in float64."""
    kernel, recurrent, bias, dense = (np.float64(w) for w in (weights or lstm_weights()))
    h = c = np.zeros(UNITS)
    rows = []
    for id in ids:
        i, f, g, o = np.split(kernel[id] + h @ recurrent + bias, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        powers = np.exp(h @ dense - (h @ dense).max())
        rows.append(powers / powers.sum())
    return np.array(rows)


def keras_lstm():
    """Return the same network as a Keras model."""
    kernel, recurrent, bias, dense = lstm_weights()
    model = keras.Sequential([
        keras.Input((None,), dtype="int32"),
        keras.layers.Embedding(SYMBOLS, SYMBOLS),
        keras.layers.LSTM(UNITS, return_sequences=True),
        keras.layers.Dense(SYMBOLS, activation="softmax", use_bias=False),
    ])  # fmt: skip
    model.set_weights([np.eye(SYMBOLS, dtype=np.float32), kernel, recurrent, bias, dense])
    return model


def positional_tflite(path):
    """A tf.function whose state is its second and third argument, converted as tutorials do: there is no signature."""
    weights = lstm_weights()

    @tf.function(input_signature=[tf.TensorSpec([1], tf.int32)] + 2 * [tf.TensorSpec([1, UNITS], tf.float32)])
    def step(x, h, c):
        return lstm_step(x, h, c, weights, logits=False)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([step.get_concrete_function()])
    path.write_bytes(converter.convert())
    return path


def signed_tflite(path, folder, *, symbol=tf.int64, logits=True):
    """A SavedModel with names of its own, logits, and a state with a time dimension."""
    weights = lstm_weights()
    module = tf.Module()
    specs = [tf.TensorSpec([1, 1], symbol, name="token")]
    specs += [tf.TensorSpec([1, 1, UNITS], tf.float32, name=name) for name in ("c_in", "h_in")]

    @tf.function(input_signature=specs)
    def step(token, c_in, h_in):
        x = tf.reshape(token, [1])
        answer, h, c = lstm_step(x, h_in[0], c_in[0], weights, logits=logits)
        return {"h_out": h[tf.newaxis], "c_out": c[tf.newaxis], "scores": answer[tf.newaxis]}

    module.step = step
    tf.saved_model.save(module, str(folder), signatures={"serving_default": step})
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    return path


def helper_onnx(path, *, symbols=SYMBOLS, **change):
    """A simple recurrent network built node by node with onnx.helper: int64 symbol (1, 1), one state, logits."""
    kernel, recurrent, _, dense = lstm_weights()
    constants = {
        "table": kernel[:symbols, :UNITS], "recurrent": recurrent[:, :UNITS], "dense": dense, "one": np.array([0]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Squeeze", ["token", "one"], ["id"]),
        helper.make_node("Gather", ["table", "id"], ["row"]),
        helper.make_node("MatMul", ["hidden_prev", "recurrent"], ["mixed"]),
        helper.make_node("Add", ["row", "mixed"], ["sum"]),
        helper.make_node(change.get("activation", "Tanh"), ["sum"], ["hidden_next"]),
        helper.make_node("MatMul", ["hidden_next", "dense"], ["logits"]),
        *change.get("more", []),
    ]
    inputs = [
        helper.make_tensor_value_info("token", TensorProto.INT64, [1, "batch"]),
        helper.make_tensor_value_info("hidden_prev", TensorProto.FLOAT, ["batch", UNITS]),
        *change.get("inputs", []),
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", SYMBOLS]),
        helper.make_tensor_value_info("hidden_next", TensorProto.FLOAT, ["batch", UNITS]),
        *change.get("outputs", []),
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "step", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def converted_onnx(path):
    """What tf2onnx makes of a function with its own names; the outputs come in alphabetical order."""
    weights = lstm_weights()
    specs = [tf.TensorSpec([None], tf.int32, name="x")]
    specs += [tf.TensorSpec([None, UNITS], tf.float32, name=name) for name in ("state_h", "state_c")]

    @tf.function(input_signature=specs)
    def step(x, state_h, state_c):
        answer, h, c = lstm_step(x, state_h, state_c, weights, logits=False)
        return {"probs": answer, "new_state_h": h, "new_state_c": c}

    model, _ = tf2onnx.convert.from_function(step, input_signature=step.input_signature, opset=17)
    path.write_bytes(model.SerializeToString())
    return path


def tflite_of(function, *specs):
    """What TensorFlow makes of `function`, which takes float32 tensors of the shapes `specs`."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([
        tf.function(function, input_signature=[tf.TensorSpec(s, tf.float32) for s in specs]).get_concrete_function()
    ])  # fmt: skip
    return converter.convert()


def operators_tflite(path):
    """Operators that files of others hold and those of stepcell do not."""

    def step(x, y):
        ids = tf.cast(tf.abs(x[0, :3]), tf.int32)
        table = tf.constant(np.arange(24, dtype=np.float32).reshape(8, 3) / 7)
        a, b, c = tf.split(x, [1, 2, 3], axis=1)
        d, e = tf.unstack(y[:, :2], axis=1)
        stacked = tf.stack([d, e, tf.squeeze(a, 1)], axis=0)
        batched = tf.linalg.matmul(tf.reshape(x, [2, 1, 3]), tf.reshape(y[:, :6], [2, 1, 3]), transpose_b=True)
        return [
            tf.nn.embedding_lookup(table, ids), tf.gather(table, ids[:2], axis=1),
            tf.one_hot(ids, 4, 2.0, -1.0), b * tf.nn.relu6(b), tf.nn.leaky_relu(c, 0.3), tf.nn.elu(c), stacked, batched,
            tf.reduce_mean(x, axis=1), tf.reduce_mean(x, axis=[0, 1], keepdims=True), tf.reduce_min(y, axis=-1),
            tf.reduce_max(x, axis=0), tf.where(x > y, x, y * 2.0), tf.cast(tf.logical_not(x <= 0.5), tf.float32),
            tf.cast(tf.logical_and(x < y, x >= 0.0) | (x == y), tf.float32), tf.pow(tf.abs(x) + 0.5, y),
            tf.slice(x, [0, 2], [1, -1]), x[:, ::2], x[0, 1:-1, tf.newaxis], x[..., -1], tf.expand_dims(x, 0),
            tf.math.squared_difference(x, y), tf.square(x), tf.math.rsqrt(tf.abs(x) + 1.0), tf.nn.softmax(x * 3.0),
            tf.broadcast_to(a, [4, 6]), tf.nn.gelu(x, approximate=True), tf.nn.log_softmax(y),
            x * tf.nn.relu6(x + 3.0) / 6.0, tf.clip_by_value(x, -1.0, 1.0), tf.nn.relu(x + y), tf.transpose(x),
            tf.cast(tf.shape(x), tf.float32) + 0.0 * x[0, 0],
        ]  # fmt: skip

    path.write_bytes(tflite_of(step, (1, 6), (1, 6)))
    return path


def softmax_tflite(path):
    """A softmax of (1, 4) with the temperature that TFLite calls beta at 2."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite_of(lambda x: [tf.nn.softmax(x)], (1, 4)), 0))
    model.subgraphs[0].operators[0].builtinOptions.beta = 2.0
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def open_tflite(path, folder):
    """A step on a chunk of any length, whose answer has that length too."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((1, None), name="chunk"), tf.TensorSpec((1, 1), name="h")])
    def step(chunk, h):
        following = 0.5 * h + tf.reduce_mean(chunk, 1, keepdims=True)
        return {"y": tf.tanh(following) * chunk, "h_out": following}

    module.step = step
    tf.saved_model.save(module, str(folder), signatures={"step": step})
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    return path


def dense8_weights():
    """The weights (64, 32) of `dense8_tflite`, as they were before they had 8 bits."""
    return np.random.default_rng(2).normal(0, 1, (64, 32)).astype(np.float32)


def dense8_tflite(path):
    """A product with weights of 8 bits, made by TensorFlow's dynamic range quantization."""
    model, weights = tf.Module(), dense8_weights()
    model.step = tf.function(lambda x: [x @ weights], input_signature=[tf.TensorSpec((1, 64), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([model.step.get_concrete_function()], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path.write_bytes(converter.convert())
    return path
