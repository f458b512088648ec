"""The number of parameters of a network that is not built yet, and the largest network within a limit."""

from __future__ import annotations

from dataclasses import replace

from ...runtime.common.errors import ProblemError
from .network import MAX_UNITS, Network

_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def count_parameters(
    network: Network, symbols: int, outputs: int, features: int = 0, *, learn_initial_state: bool = False
) -> int:
    """Return the number of trained numbers of the model that `network.build` returns.

    Args:
        network: Its shape.
        symbols: Size of the vocabulary.
        outputs: Size of the output vocabulary, or number of values.
        features: Number of features.
        learn_initial_state: The state that follows a reset is learned too.
    """
    units = network.units
    inputs = (network.embedding if symbols and network.embedding else symbols) + features
    total = symbols * network.embedding + (units + 1) * outputs  # a one-hot table is not trained
    biases = 2 if network.cell == "gru" else 1  # reset_after has one for the input and one for the recurrence
    for _ in range(network.layers):
        total += _GATES[network.cell] * units * (inputs + units + biases)
        inputs = units
    if learn_initial_state:
        total += network.layers * units * (2 if network.cell == "lstm" else 1)
    return total


def largest_within(
    limit: int, network: Network, symbols: int, outputs: int, features: int = 0, *, learn_initial_state: bool = False
) -> Network:
    """Return `network` with the most units with which it has no more than `limit` parameters.

    Raises:
        ProblemError: One unit is too many.
    """

    def count(units: int) -> int:
        shape = replace(network, units=units)
        return count_parameters(shape, symbols, outputs, features, learn_initial_state=learn_initial_state)

    if count(1) > limit:
        table = "; --embedding N makes the table of symbols smaller" if network.embedding else ""
        rare = "; --min-count leaves rare symbols out" if symbols else ""
        raise ProblemError(
            f"--max-parameters is {limit:,}, and a network of one unit has {count(1):,} with {symbols:,} symbols and "
            f"{outputs:,} answers. Give --max-parameters {count(1)} or more{rare}{table}."
        )
    low, high = 1, MAX_UNITS
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(middle) <= limit else (low, middle - 1)
    return replace(network, units=low)
