"""From a step function to the payload of a .tflite file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from ..runtime.errors import NotSteppableError
from .arithmetic import TensorFlowArithmetic
from .step_function import StepFunction

STEP, ABSORB = "step", "absorb"
# The converter orders signatures by name, and tflite-runtime 2.14 runs XNNPACK in the first subgraph alone: 19.6
# microseconds a step there against 32 in the second (256 units). So `step` is converted under a name that comes first.
_STEP_WHILE_CONVERTING = "aaaa"
# In a file whose weights were left outside (variables in place of constants), or that wants TensorFlow itself.
_FORBIDDEN_OPERATORS = ("READ_VARIABLE", "VAR_HANDLE", "ASSIGN_VARIABLE", "CALL_ONCE", "CUSTOM")


def tflite_payload(step_function: StepFunction) -> tuple[bytes, dict[str, int]]:
    """Convert `step_function` to float32 TFLite.

    Returns:
        The payload with its two signatures, and the highest version of each operator in it.

    Raises:
        NotSteppableError: The converter made a file that cannot be right.
    """
    arithmetic = TensorFlowArithmetic()
    module = tf.Module()  # holds functions alone: with Keras layers in it, the file would come out without weights
    module.step = step_graph(step_function, arithmetic)
    module.absorb = _absorb_graph(step_function, arithmetic)
    signatures = {
        _STEP_WHILE_CONVERTING: module.step.get_concrete_function(),
        ABSORB: module.absorb.get_concrete_function(),
    }
    with tempfile.TemporaryDirectory(prefix="stepcell-") as folder:
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        payload = _rename_signature(converter.convert(), _STEP_WHILE_CONVERTING, STEP)
    operators = operator_versions(payload)
    forbidden = [name for name in _FORBIDDEN_OPERATORS if name in operators]
    if forbidden or len(payload) < arithmetic.bytes_used():
        raise NotSteppableError(
            f"The TFLite converter made a file of {len(payload)} bytes for {arithmetic.bytes_used()} bytes of weights, "
            f"with the operators {', '.join(sorted(operators))}. Its weights are missing, or it "
            "needs TensorFlow to run."
        )
    return payload, operators


def step_graph(step_function: StepFunction, arithmetic: TensorFlowArithmetic) -> Any:
    """Return the TensorFlow function `step`: symbol (B,) and state in, probabilities (B, K) and next state out."""

    def step(symbol: Any, state: dict[str, Any]) -> dict[str, Any]:
        return _named(step_function, *step_function.advance(arithmetic, symbol, state))

    return _with_signature(step, tf.TensorSpec([None], tf.int32, name="symbol"), step_function, batch=None)


def _absorb_graph(step_function: StepFunction, arithmetic: TensorFlowArithmetic) -> Any:
    """Return the TensorFlow function `absorb`: symbols (T,) and the state of one stream in, as `step` out."""

    def absorb(symbols: Any, state: dict[str, Any]) -> dict[str, Any]:
        def symbol_at(t: Any) -> Any:
            return tf.reshape(symbols[t], [1])  # a slice of unknown length would make TFLite refuse the loop

        def advance(t: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return t + 1, step_function.advance(arithmetic, symbol_at(t), state)[1]

        last = tf.shape(symbols)[0] - 1
        _, state = tf.while_loop(lambda t, _: t < last, advance, (tf.constant(0), state))
        return _named(step_function, *step_function.advance(arithmetic, symbol_at(last), state))

    return _with_signature(absorb, tf.TensorSpec([None], tf.int32, name="symbols"), step_function, batch=1)


def _with_signature(
    function: Callable[[Any, dict[str, Any]], dict[str, Any]],
    first: Any,
    step_function: StepFunction,
    batch: int | None,
) -> Any:
    """Compile `function` for tensors that carry the names of the file format: signatures take them from the specs."""
    names = [tensor.name for tensor in step_function.state]
    specs = [tf.TensorSpec([batch, *t.shape], tf.float32, name=t.name) for t in step_function.state]

    def flat(symbols: Any, *state: Any) -> dict[str, Any]:
        return function(symbols, dict(zip(names, state, strict=True)))

    return tf.function(flat, input_signature=[first, *specs], autograph=False)


def _named(step_function: StepFunction, probabilities: Any, following: dict[str, Any]) -> dict[str, Any]:
    return {"probabilities": probabilities, **{t.next: following[t.name] for t in step_function.state}}


def _rename_signature(payload: bytes, name: str, new_name: str) -> bytes:
    """Return `payload` with the signature `name` called `new_name`, which is as long: no other byte moves."""
    import flatbuffers

    content = bytearray(payload)
    model = schema.Model.GetRootAs(payload, 0)
    for index in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(index)
        if signature.SignatureKey() == name.encode():
            # Where the generated accessor SignatureKey() reads: field 2 of the table, a string behind its length.
            field = signature._tab.Pos + signature._tab.Offset(4 + 2 * 2)
            length = field + flatbuffers.encode.Get(flatbuffers.packer.uoffset, payload, field)
            content[length + 4 : length + 4 + len(name)] = new_name.encode()
    return bytes(content)


def operator_versions(payload: bytes) -> dict[str, int]:
    """Return operator name -> highest version of it in a TFLite file, sorted by name."""
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model = schema.Model.GetRootAs(payload, 0)
    versions: dict[str, int] = {}
    for index in range(model.OperatorCodesLength()):
        operator = model.OperatorCodes(index)
        name = names[max(operator.BuiltinCode(), operator.DeprecatedBuiltinCode())]
        versions[name] = max(versions.get(name, 0), operator.Version())
    return dict(sorted(versions.items()))
