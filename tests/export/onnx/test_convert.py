"""The bytes of an ONNX file follow from the step function, not from the order in which a converter leaves its nodes."""

from __future__ import annotations

import random

import onnx
import pytest
from support.keras_models import sharp_model

from stepcell.export import build_step_function
from stepcell.export.onnx.convert import finish_model, onnx_payload


def in_another_order(payload, seed):
    """The model with its nodes in another order in which each still comes after those that it needs."""
    model = onnx.load_from_string(payload)
    nodes, made, ordered = list(model.graph.node), {""}, []
    made |= {value.name for value in [*model.graph.input, *model.graph.initializer]}
    while nodes:
        ready = [node for node in nodes if set(node.input) <= made]
        node = random.Random(f"{seed} {len(nodes)}").choice(ready)
        nodes.remove(node)
        made |= set(node.output)
        ordered.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    return model


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_independent_nodes_does_not_change_the_bytes(seed):
    payload, _ = onnx_payload(build_step_function(sharp_model("lstm", 2)))
    other = in_another_order(payload, seed)
    assert other.SerializeToString(deterministic=True) != payload
    assert finish_model(other)[0] == payload
