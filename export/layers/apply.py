"""Find the step rule for a call of a layer, and make sure that the call is one that rules can follow."""

from __future__ import annotations

from keras import layers

from .keras_graph import LayerCall
from .recurrent import recurrent
from .rule import CannotStepError, LayerStep, Lookup, NoRuleError, Registered, registered_rule, stateless
from .traced import traced_layer


def apply_rule(call: LayerCall) -> Lookup | tuple[LayerStep, ...]:
    """Return the result of the rule for the layer of `call`.

    Raises:
        CannotStepError: There is no rule, it refuses, or the layer is used in a way that no rule can follow.
    """
    layer = call.layer
    if call.spread:
        shape = [size or 0 for size in call.output_shape[2:]]
        return (stateless(lambda a, x: a.reshape(x, shape)),)
    registered = registered_rule(layer)
    if registered is None and isinstance(layer, layers.RNN):
        registered = Registered(recurrent, several=False, padded=False)
    if registered is None:
        registered = Registered(lambda _, call: traced_layer(call), several=True, padded=False)
    _require_plain(call, registered)
    try:
        steps = registered.rule(layer, call)
    except NoRuleError as error:
        try:
            steps = traced_layer(call)
        except CannotStepError:
            raise error from None
    if isinstance(steps, Lookup):
        return steps
    chain = (steps,) if isinstance(steps, LayerStep) else tuple(steps)
    if call.mask is not None and any(step.state and step.held is None for step in chain):
        raise CannotStepError("it has a state and gets masked steps, and its step rule does not say how to hold it")
    for name in (name for step in chain for name in step.state or ()):
        if not name.isidentifier() or name[-1].isdigit() or name.startswith("next_"):
            raise CannotStepError(f"its step rule calls a state {name!r}; use a word that does not end in a digit")
    return chain


def _require_plain(call: LayerCall, registered: Registered) -> None:
    layer = call.layer
    if call.outputs != 1:
        raise CannotStepError(
            "it returns its state or other values beside its output; stepcell makes the state explicit by itself: "
            "set return_state=False"
        )
    if call.mixed and call.static:
        raise CannotStepError(
            f"its inputs {call.input_shapes} are a sequence and a static input, which has no time axis; put a "
            "RepeatVector or keras.ops.expand_dims(x, 1) behind the static input"
        )
    if call.mixed:
        raise CannotStepError(
            f"its inputs {call.input_shapes} are a whole sequence and the output of a layer with "
            "return_sequences=False; set return_sequences=True there, or False everywhere"
        )
    if len(call.inputs) != 1 and not registered.several:
        raise CannotStepError("it has several inputs (or a given initial_state); leave it with one")
    if call.padding and not registered.padded:
        raise CannotStepError(
            "it reads a sequence with zeros before its beginning (ZeroPadding1D or 2D), which only a convolution or "
            "pooling takes back; move it behind that"
        )
    if getattr(layer, "compute_dtype", "float32") not in ("float32", "float64"):
        raise CannotStepError(f"it computes in {layer.compute_dtype}; load the model with the dtype policy float32")
    if getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None):
        raise CannotStepError(
            "it is quantized or has LoRA weights beside its own; export the float32 model it came from"
        )
