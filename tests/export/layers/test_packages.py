"""Recurrent layers of packages: each steps as the package runs it on the whole sequence."""

from __future__ import annotations

import keras
import keras_lmu
import ncps
import ncps.keras
import pytest
from support.layer_rules import model_around, run_rule_test
from tcn import TCN

from stepcell.export import build_step_function, export

L = keras.layers
SEQUENCES = {"return_sequences": True}


def lmu(hidden, **options):
    return keras_lmu.LMU(2, 4, 8, hidden, return_sequences=True, **options)


LAYERS = {
    "CfC": lambda: ncps.keras.CfC(5, backbone_units=8, **SEQUENCES),
    "CfC without a gate": lambda: ncps.keras.CfC(5, mode="no_gate", backbone_units=8, **SEQUENCES),
    "CfC as a pure solution": lambda: ncps.keras.CfC(5, mode="pure", backbone_units=8, **SEQUENCES),
    "CfC with mixed memory": lambda: ncps.keras.CfC(5, mixed_memory=True, backbone_units=8, **SEQUENCES),
    "a wired CfC": lambda: ncps.keras.CfC(ncps.wirings.AutoNCP(10, 4), **SEQUENCES),
    "LTC": lambda: ncps.keras.LTC(5, **SEQUENCES),
    "a wired LTC, an NCP": lambda: ncps.keras.LTC(ncps.wirings.AutoNCP(10, 4), **SEQUENCES),
    "LMU with feedback": lambda: lmu(L.SimpleRNNCell(5), hidden_to_memory=True, memory_to_memory=True),
    "LMU with a delay that is learned": lambda: lmu(L.Dense(5), trainable_theta=True),
    "LMU without feedback": lambda: lmu(L.SimpleRNNCell(5), input_to_hidden=True),
    "LMU of memory alone": lambda: lmu(None),
    "TCN": lambda: TCN(4, 2, dilations=(1, 2), **SEQUENCES),
    "TCN with norms and dropout": lambda: TCN(
        4, 2, nb_stacks=2, dilations=(1, 2), use_batch_norm=True, dropout_rate=0.3, **SEQUENCES
    ),
    "TCN with layer norms, without skips": lambda: TCN(
        4, 2, dilations=(1, 2), use_layer_norm=True, use_skip_connections=False, **SEQUENCES
    ),
    "the last answer of a TCN": lambda: TCN(4, 2, dilations=(1, 2)),
}
# Keras answers with an impulse response that ends after five times theta where the length of its input is not known.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Approximating unknown impulse length")]


def small(name):
    """A model around the layer with the weights it was made with: packages start from weights that make sense."""
    keras.utils.set_random_seed(1)
    source = keras.Input((None,), dtype="int32")
    x = LAYERS[name]()(L.Embedding(6, 4)(source))
    return keras.Model(source, L.Dense(6, activation="softmax")(x))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_a_package_steps_as_it_runs(name):
    run_rule_test(small(name))


@pytest.mark.parametrize("name", ["CfC", "a wired LTC, an NCP", "LMU with feedback", "LMU without feedback", "TCN"])
def test_a_layer_of_a_package_in_a_file_equals_it_on_every_interpreter(name, tmp_path):
    exported = export(small(name), tmp_path, steps=200)
    assert {parity.backend for parity in exported.parity} - {"native"} == {"litert", "tflite", "onnxruntime"}
    assert all(parity.holds for parity in exported.parity)


def test_a_tcn_has_the_states_of_its_convolutions_and_nothing_in_it_is_traced():
    step_function = build_step_function(model_around(TCN(4, 2, dilations=(1, 2), **SEQUENCES)))
    assert [tensor.shape for tensor in step_function.state[1:]] == [(1, 6), (1, 4), (2, 4), (2, 4)]
    assert step_function.traced == ()


def test_a_cell_of_a_package_is_named_among_what_was_traced():
    step_function = build_step_function(small("CfC"))
    assert [name.split("(")[1] for name in step_function.traced] == ["CfC)"]
