"""The step function of a Keras model: one step, with its state as argument and result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import keras

from ...runtime.common.errors import NotSteppableError
from ...runtime.format.manifest import Cell, StateTensor
from ...runtime.format.tensor_specs import EVERY_STEP, AnswerTimes, Feature, Window
from ..layers import CannotStepError, LayerStep, Lookup, apply_rule, registered_rule
from ..layers.explicit_state import describe_given, with_explicit_states
from ..layers.keras_graph import Graph, KerasModel, LayerCall, read_graph
from ..ops import Ops, Value
from .interface import Interface, OutputSpec, read_interface
from .plan import Node, Plan, Steps, plan
from .rates import read_rates
from .recompute import WholeWindow, lookups_of, of_whole_window, trace_window
from .rows import advance_rows, stacked
from .stagger import Staggered
from .window import window_length

# (arithmetic, inputs (B, ...), state) -> (outputs (B, K), next state); all by their names in the file.
Advance: TypeAlias = Callable[
    [Ops, Mapping[str, Value], Mapping[str, Value]], tuple[dict[str, Value], dict[str, Value]]
]

Translated: TypeAlias = list[tuple[LayerCall, Lookup | tuple[LayerStep, ...]]]
Rule: TypeAlias = Callable[[LayerCall], Lookup | tuple[LayerStep, ...]]


@dataclass(frozen=True)
class StepFunction:
    """One step of a model, as numpy weights and a pure function.

    Attributes:
        interface: Its inputs and outputs, and where they are in the Keras model.
        state: The state tensors in order.
        cells: The recurrent layers, first to last.
        advance: The computation.
        graph: The graph of the model.
        calls: Its calls, each with the result of its step rule.
        answers: The steps that answer; the outputs of the others are whatever is computed, and are never shown.
        window: The past that an answer depends on; None: all since the reset.
        restart: Makes `advance` of the state after a reset, where it depends on that: rows begin anew in a step.
        whole: The computation of a window that is computed anew.
    """

    interface: Interface
    state: tuple[StateTensor, ...]
    cells: tuple[Cell, ...]
    advance: Advance
    graph: Graph
    calls: Steps
    answers: AnswerTimes = EVERY_STEP
    window: Window | None = None
    restart: Callable[[tuple[StateTensor, ...]], Advance] | None = None
    whole: WholeWindow | None = None

    def starting_from(self, state: tuple[StateTensor, ...]) -> StepFunction:
        """Return it with the same state tensors that have other values after a reset."""
        return replace(self, state=state, advance=self.restart(state) if self.restart else self.advance)

    def answer(self, a: Ops, values: Mapping[int, Value]) -> Value:
        """Return the main output, given all values of the graph by number."""
        found = values[self.main.number]
        return a.activation("softmax", found) if self.main.from_logits else found

    @property
    def notes(self) -> list[str]:
        """What else is to be known of it, in sentences."""
        names: dict[int, list[str]] = {}
        number = 0
        for call, found in self.calls:
            for step in (step for step in _layer_steps(found) if step.state):
                names.setdefault(call.output, []).extend(f"{local}{number}" for local in step.state or ())
                number += 1
        return describe_given(self.graph, names)

    @property
    def symbols(self) -> int:
        """Number of symbols it reads, V; 0: it reads features alone."""
        return self.interface.symbols

    @property
    def features(self) -> tuple[Feature, ...]:
        """Its inputs beside the symbol."""
        return tuple(self.interface.features.values())

    @property
    def traced(self) -> tuple[str, ...]:
        """The layers and operations that have no step rule and were traced, with their types."""
        return tuple(
            f"{call.layer.name} ({type(call.layer).__name__})"
            for call, found in self.calls
            if any(step.traced for step in _layer_steps(found))
        )

    @property
    def main(self) -> OutputSpec:
        """The main output."""
        return self.interface.outputs[0]

    @property
    def extra_outputs(self) -> tuple[OutputSpec, ...]:
        """The other outputs."""
        return self.interface.outputs[1:]

    @property
    def outputs(self) -> int:
        """Size of the main output, K."""
        return self.main.size

    @property
    def predicts_symbols(self) -> bool:
        """Whether the main output may be the next symbol: as many probabilities as there are symbols."""
        return self.main.activation != "linear" and self.outputs == self.symbols


def build_step_function(
    model: KerasModel,
    *,
    one_hot: bool = False,
    values: bool = False,
    labelled: bool = False,
    name: str | None = None,
    window: int | None = None,
    carried: bool = False,
) -> StepFunction:
    """Build the step function of `model`.

    Args:
        model: A built Sequential or functional Keras model.
        one_hot: Its symbols are one-hot vectors, float of shape (B, T, V), and are to be stepped by id.
        values: The numbers of its main output are returned as they are; they are no probabilities. Without it they are
            where nothing else can be meant: a single linear number, or linear numbers of a model without symbols.
        labelled: The main output has labels, so that logits are of these.
        name: Its name in messages; None: that of Keras.
        window: An answer depends on so many time steps; None: see `window_length`.
        carried: An answer depends on all since the reset.

    Raises:
        NotSteppableError: Something in it cannot be stepped; everything in the way is named.
    """
    graph, problems = read_graph(model, lambda layer: registered_rule(layer) is not None)
    read, unpaired = graph, list[str]()
    if graph is not None:
        graph = with_explicit_states(graph, unpaired)
    endless = carried or (graph is not None and any(each.input for each in graph.given))
    length = window_length(graph, problems, window, endless) if graph else None
    _refuse_if(problems if length else (), model, name)
    if graph is not None and length:
        options = {"one_hot": one_hot, "values": values, "labelled": labelled}
        if unpaired and read is not None:  # rows have no place for a state that another layer reads
            return _computed_anew(model, read, length, options, name, unpaired)
        return _of_window(model, graph, length, options, name)
    problems += unpaired
    unknown: set[int] = set()  # numbers of the values behind a call that cannot be stepped
    steps = _translated(graph, apply_rule, problems, unknown) if graph else []
    interface, rates = None, read_rates(graph, steps, problems) if graph and not problems else {}
    if graph is not None:
        interface = read_interface(
            graph, steps, problems, one_hot=one_hot, values=values, labelled=labelled, unknown=unknown
        )
        problems += _no_state(steps) if not problems else []
    _refuse_if(problems, model, name)
    assert graph is not None, "a model that cannot be read is a problem"
    assert interface is not None, "it is read where there is a graph"
    planned = plan(graph, steps, interface.tables, rates)
    static = tuple(interface.static.values())
    _refuse_if(interface.clashes((*planned.state, *static)), model, name)
    return StepFunction(
        interface=interface,
        state=(*planned.state, *static),
        cells=planned.cells,
        advance=_carried(interface, planned),
        graph=graph,
        calls=tuple(steps),
        answers=rates.get(interface.outputs[0].number, EVERY_STEP),
    )


def _translated(graph: Graph, rule: Rule, problems: list[str], unknown: set[int]) -> Translated:
    """Return the calls of `graph`, each with the result of `rule`.

    A call that cannot be translated is appended to `problems`, and the numbers of all values behind it to `unknown`.
    """
    steps: Translated = []
    zeros: dict[int, int] = {}  # number of a value -> zeros before its sequence
    for call in graph.calls:
        if not unknown.isdisjoint(call.read):
            unknown.add(call.output)
            problems += _problems_of_layer(call)
            continue
        try:
            padded = replace(call, padding=max(zeros.get(number, 0) for number in call.inputs) if call.inputs else 0)
            steps.append((call, rule(padded)))
            if call.timed and isinstance(call.layer, keras.layers.ZeroPadding1D | keras.layers.ZeroPadding2D):
                zeros[call.output] = keras.tree.flatten(call.layer.padding)[0]
        except CannotStepError as error:
            unknown.add(call.output)
            problems.append(f"{call.layer.name} ({type(call.layer).__name__}): {error}")
    return steps


def _no_state(steps: Steps) -> list[str]:
    """Return the problem that no layer has a state, if that is so."""
    with_state = any(step.state for _, found in steps for step in _layer_steps(found))
    return [] if with_state else ["the model has no recurrent layer, so there is no state to step"]


def _of_window(
    model: KerasModel, graph: Graph, length: int, options: Mapping[str, Any], name: str | None
) -> StepFunction:
    """Return the step function of a window of `length` time steps: in rows, or where they cannot do computed anew."""
    problems: list[str] = []
    rows = Staggered(graph, length)
    steps = _translated(graph, rows.steps_of, problems, set())
    problems += [] if problems else rows.problems_of_outputs(graph)
    if not problems:
        interface = read_interface(graph, steps, problems, **options)
        problems += _no_state(steps) if not problems else []
        _refuse_if(problems, model, name)
        planned = plan(graph, steps, interface.tables, {})  # in rows the steps at which a value is there are constants
        static = tuple(interface.static.values())
        _refuse_if(interface.clashes((*planned.state, *static)), model, name)
        made = StepFunction(
            interface=interface,
            state=planned.state,
            cells=planned.cells,
            advance=_carried(interface, planned),
            graph=graph,
            calls=tuple(steps),
            answers=AnswerTimes(length),
            window=Window(length, "rows"),
            restart=lambda state: _in_rows(interface, planned.nodes, state),
        )
        return made.starting_from((*stacked(planned.state, length), *static))
    return _computed_anew(model, graph, length, options, name, problems)


def _computed_anew(
    model: KerasModel, graph: Graph, length: int, options: Mapping[str, Any], name: str | None, problems: Sequence[str]
) -> StepFunction:
    """Return the step function of a window that is computed anew, as rows have `problems`."""
    whole = of_whole_window(graph, model)
    others: list[str] = []
    interface = read_interface(whole, lookups_of(graph), others, **options)
    _refuse_if(others, model, name)
    try:
        window = trace_window(model, whole, interface, length)
    except CannotStepError as error:
        carried = f"nor can the whole window of {length} time steps be computed anew: {error}"
        _refuse_if([*problems, carried], model, name)
        raise
    state = (*window.state, *interface.static.values())
    _refuse_if(interface.clashes(state), model, name)
    return StepFunction(
        interface=interface,
        state=state,
        cells=(),
        advance=window.advance,
        graph=whole,
        calls=(),
        answers=AnswerTimes(length),
        window=Window(length, "recompute"),
        whole=window,
    )


def _problems_of_layer(call: LayerCall) -> list[str]:
    """Return the reason why the layer of `call` cannot be stepped whatever it reads; none if that depends on it."""
    reasons = []
    for timed in (call.timed, not call.timed):
        try:
            apply_rule(replace(call, timed=timed, mixed=False))
            return []
        except CannotStepError as error:
            reasons.append(f"{call.layer.name} ({type(call.layer).__name__}): {error}")
        except Exception:  # a rule may fail anyhow on shapes that it never gets
            return []
    return reasons[:1]


def _carried(interface: Interface, planned: Plan) -> Advance:
    """Return the computation of a step, one layer after the other."""

    def advance(
        a: Ops, inputs: Mapping[str, Value], state: Mapping[str, Value]
    ) -> tuple[dict[str, Value], dict[str, Value]]:
        made = interface.values(inputs, state)
        ticks, following = planned.clock.run(a, state) if planned.clock else ({}, {})
        for node in planned.nodes:
            made[node.output], moved = node.run(a, made, state, ticks.get(node.rate))
            following.update(moved)
        return _results(a, interface, made), {**following, **interface.static_of(state)}

    return advance


def _in_rows(interface: Interface, nodes: Sequence[Node], state: tuple[StateTensor, ...]) -> Advance:
    """Return the computation of a step of a window, in rows that begin in the last row of `state`."""
    numbers = [each.number for each in interface.outputs]
    rows = tuple(tensor for tensor in state if not tensor.given)

    def advance(
        a: Ops, inputs: Mapping[str, Value], before: Mapping[str, Value]
    ) -> tuple[dict[str, Value], dict[str, Value]]:
        made, following = advance_rows(a, nodes, rows, interface.values(inputs, before), before, numbers)
        return _results(a, interface, made), {**following, **interface.static_of(before)}

    return advance


def _results(a: Ops, interface: Interface, made: Mapping[int, Value]) -> dict[str, Value]:
    """Return the outputs by name."""
    found = {each.name: made[each.number] for each in interface.outputs}
    return {e.name: a.activation("softmax", found[e.name]) if e.from_logits else found[e.name]
            for e in interface.outputs}  # fmt: skip


def _refuse_if(problems: Sequence[str], model: KerasModel, name: str | None) -> None:
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise NotSteppableError(
            f"The model {name or getattr(model, 'name', '')!r} cannot be stepped one symbol at a time:\n{listed}\n"
            "Nothing was converted."
        )


def _layer_steps(found: Lookup | tuple[LayerStep, ...]) -> tuple[LayerStep, ...]:
    return () if isinstance(found, Lookup) else found
