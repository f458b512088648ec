"""States in sight: models whose own inputs and outputs are the states of their layers, as decoders are built by hand.

A step file has every state as an input and an output anyway. So an input that is nothing but the `initial_state` of a
layer is its state, and the output that is the layer's last state is the next one. A last state that nothing reads is
left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from .keras_graph import Graph, GraphInput, LayerCall

_H_IS_OUTPUT = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)


@dataclass(frozen=True)
class GivenState:
    """A state that is an input of a model, or an output, or both.

    Attributes:
        call: Number of the output of the layer call that has the state.
        index: Which of its states.
        input: The input; None: there is none.
        output: Index of the output among those of the model; None: there is none.
    """

    call: int
    index: int
    input: GraphInput | None
    output: int | None


def with_explicit_states(graph: Graph, problems: list[str]) -> Graph:
    """Return `graph` without the inputs and outputs that are states, which `Graph.given` names.

    Appends to `problems` what cannot be paired.
    """
    graph = _with_outputs_for_last_h(graph)
    inputs = {each.number: each for each in graph.inputs}
    outputs: dict[int, int] = {}
    for index, output in enumerate(graph.outputs):
        outputs.setdefault(output.number, index)
    readers: dict[int, list[LayerCall]] = {}
    for call in graph.calls:
        for number in call.read:
            readers.setdefault(number, []).append(call)
    last_states = {call.output + 1 + index for call in graph.calls for index in range(call.outputs - 1)}
    given: list[GivenState] = []
    calls: list[LayerCall] = []
    offences: list[str] = []
    static = {each.number for each in graph.inputs if each.static}
    static.update(call.output for call in graph.calls if call.is_static)
    for call in graph.calls:
        found = _states_of(call, inputs, outputs, readers, static, last_states, offences)
        given += found
        states = {each.input.number for each in found if each.input is not None}
        begins = _is_static(call, static) and not states.intersection(call.begins_with)
        initial = tuple(None if isinstance(each, int) and not begins else each for each in call.initial)
        calls.append(replace(call, outputs=1, initial=initial))
    problems += dict.fromkeys(offences)  # h and c of a layer have the same reason
    gone = {each.output for each in given if each.output is not None}
    if len(gone) == len(graph.outputs):
        problems.append(
            "its outputs are states alone, which a step file has anyway; add the output of a layer, that of the last "
            "recurrent one for example"
        )
        gone = set()
    left = {each.input.number for each in given if each.input is not None}
    return replace(
        graph,
        calls=tuple(calls),
        inputs=tuple(each for each in graph.inputs if each.number not in left),
        outputs=tuple(each for index, each in enumerate(graph.outputs) if index not in gone),
        given=tuple(given),
    )


def _states_of(
    call: LayerCall,
    inputs: dict[int, GraphInput],
    outputs: dict[int, int],
    readers: dict[int, list[LayerCall]],
    static: set[int],
    last_states: set[int],
    problems: list[str],
) -> list[GivenState]:
    """Return the states of `call` that are inputs or outputs of the model."""
    found = []
    named = f"{call.layer.name} ({type(call.layer).__name__})"
    for index in range(max(call.outputs - 1, len(call.initial))):
        number = call.output + 1 + index if index < call.outputs - 1 else None
        initial = call.initial[index] if index < len(call.initial) else None
        output = None if number is None else outputs.get(number)
        reader = None if number is None else next(iter(readers.get(number, ())), None)
        if reader is not None:
            problems.append(
                f"{named}: its last state is read by {reader.layer.name!r}, which begins when the whole sequence has "
                "been read; export the parts before and behind it as two models, or give a window (--window N)"
            )
        given = inputs.get(initial) if isinstance(initial, int) else None
        if given is not None and output is not None and len(readers.get(given.number, ())) == 1:
            found.append(GivenState(call.output, index, given, output))
            continue
        if isinstance(initial, int) and initial not in last_states and not _is_static(call, static):
            problems.append(
                f"{named}: its initial_state is {_origin(initial, given, readers)}; make it an input of its own and "
                "its last state an output (return_state=True), or leave it out: a stream keeps the state and takes one"
            )
        if output is not None:
            found.append(GivenState(call.output, index, None, output))
    return found


def _is_static(call: LayerCall, static: set[int]) -> bool:
    """Tell whether the whole initial_state of a call is made of static inputs."""
    return bool(call.initial) and len(call.begins_with) == len(call.initial) and static.issuperset(call.begins_with)


def _origin(number: int, given: GraphInput | None, readers: dict[int, list[LayerCall]]) -> str:
    if given is None:
        return "computed by another layer"
    if len(readers.get(number, ())) > 1:
        return f"the input {given.name!r}, which other layers read too"
    return f"the input {given.name!r}, and its last state is no output"


def _with_outputs_for_last_h(graph: Graph) -> Graph:
    """Read the output of a layer where its last h is read: they are the same with return_sequences=False."""
    same = {
        call.output + 1: call.output
        for call in graph.calls
        if call.outputs > 1 and type(call.layer) in _H_IS_OUTPUT and not call.whole
    }
    read = {number for call in graph.calls for number in call.read} | {each.number for each in graph.outputs}
    # A model that returns both has two outputs, and the one is the state.
    same = {h: y for h, y in same.items() if h in read and (y not in read or any(h in c.read for c in graph.calls))}

    def known(numbers: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(same.get(number, number) if isinstance(number, int) else number for number in numbers)

    outputs = {each.number for each in graph.outputs}
    paired = {call.output + 1 for call in graph.calls if any(isinstance(each, int) for each in call.initial)}
    return replace(
        graph,
        calls=tuple(replace(call, inputs=known(call.inputs)) for call in graph.calls),
        outputs=tuple(
            replace(each, number=same[each.number])
            if each.number in same and each.number not in paired and same[each.number] not in outputs
            else each
            for each in graph.outputs
        ),
    )


def describe_given(graph: Graph, names: Mapping[int, Sequence[str]]) -> list[str]:
    """Return a sentence for each state that is an input or an output of the model.

    Args:
        graph: The graph.
        names: Number of the output of a call -> the names of its states in the file, in the order of Keras.
    """
    sentences = []
    for each in graph.given:
        name = names[each.call][each.index]
        if each.input is not None:
            sentences.append(f"its input {each.input.name!r} is the state {name}, and the output of it is next_{name}")
        else:
            sentences.append(f"an output of the model is the state next_{name} and no output beside it")
    return sentences
