"""The search space, and the number of parameters of a network that is not built yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...runtime.common.errors import ProblemError
from ..fitting.options import Options
from ..network.network import CELLS, Network
from ..network.size import count_parameters
from ..problems.problem import Problem, sizes_of

SEARCHED = ("cell", "layers", "units", "learning_rate", "dropout", "embedding")
_OF_RECORDED = ("dropout", "embedding")  # generated data cannot be learned by heart, and have few symbols
_DROPOUTS = (0.0, 0.1, 0.2, 0.35, 0.5)
_LAYERS = (1, 2)
_UNITS_DOWN, _UNITS_UP = 16, 2  # divisor and factor of the units that the problem has by default
_RATE_DOWN, _RATE_UP = 4, 4  # of the learning rates that the problem has by default


@dataclass(frozen=True)
class Candidate:
    """A network to try, and its peak learning rate."""

    network: Network
    learning_rate: float


@dataclass(frozen=True)
class Space:
    """The networks and learning rates that a search chooses from.

    Attributes:
        start: The first candidate: the one that would be trained without a search.
        symbols: Size of the vocabulary.
        outputs: Size of the output vocabulary, or number of values.
        cells: Kinds of recurrent layers.
        layers: Numbers of recurrent layers.
        units: The fewest and the most units of each.
        learning_rates: The lowest and the highest learning rate.
        features: Number of features.
        dropouts: Fractions of the outputs to drop.
        embeddings: Sizes of the embedding.
        max_parameters: Most parameters of a network; None: there is no limit.
        learn_initial_state: The state that follows a reset is learned too.
    """

    start: Candidate
    symbols: int
    outputs: int
    cells: tuple[str, ...]
    layers: tuple[int, ...]
    units: tuple[int, int]
    learning_rates: tuple[float, float]
    features: int = 0
    dropouts: tuple[float, ...] = (0.0,)
    embeddings: tuple[int, ...] = (0,)
    max_parameters: int | None = None
    learn_initial_state: bool = False

    @classmethod
    def around(
        cls, problem: Problem, network: Network, options: Options, fixed: Collection[str] = (),
        max_parameters: int | None = None,
    ) -> Space:  # fmt: skip
        """Return the space around the network that would be trained without a search.

        Args:
            problem: The problem; its recipe has the usual learning rates.
            network: The first network; fixed values are taken from it.
            options: With the learning rate to begin with, if it is not the recipe's.
            fixed: Those of `SEARCHED` that are not searched.
            max_parameters: Most parameters of a network; `network` has no more.

        Raises:
            ProblemError: Everything is fixed, or something is that cannot be.
        """
        unknown = sorted(set(fixed) - set(SEARCHED))
        if unknown:
            raise ProblemError(f"{', '.join(unknown)} cannot be fixed; a search chooses {', '.join(SEARCHED)}.")
        searched = set(SEARCHED) - set(fixed) - set(() if problem.data is not None else _OF_RECORDED)
        if not searched:
            given = [name for name in SEARCHED if name in fixed]
            raise ProblemError(f"Nothing is left to search: {', '.join(given)} are all given. Leave one of them out.")
        usual = problem.recipe.learning_rate
        rate = options.learning_rate or usual[network.cell]
        low, high = min(rate, *usual.values()) / _RATE_DOWN, max(rate, *usual.values()) * _RATE_UP
        symbols, outputs, features = sizes_of(problem)
        return cls(
            start=Candidate(network, rate),
            symbols=symbols,
            outputs=outputs,
            features=features,
            dropouts=tuple(sorted({network.dropout, *_DROPOUTS})) if "dropout" in searched else (network.dropout,),
            embeddings=_embeddings(symbols, network.embedding) if "embedding" in searched else (network.embedding,),
            max_parameters=max_parameters,
            learn_initial_state=options.learn_initial_state,
            cells=(network.cell,) if "cell" in fixed else tuple(CELLS),
            layers=(network.layers,) if "layers" in fixed else _LAYERS,
            units=(network.units, network.units)
            if "units" in fixed
            else (max(network.units // _UNITS_DOWN, 1), network.units * _UNITS_UP),
            learning_rates=(rate, rate) if "learning_rate" in fixed else (round_rate(low), round_rate(high)),
        )

    def network(
        self, cell: str, layers: int, units: int, dropout: float | None = None, embedding: int | None = None
    ) -> Network:
        """Return the network to begin with, in another shape; None: its own dropout and embedding."""
        start = self.start.network
        dropout, embedding = (
            start.dropout if dropout is None else dropout, start.embedding if embedding is None else embedding
        )  # fmt: skip
        return replace(start, cell=cell, layers=layers, units=units, dropout=dropout, embedding=embedding)

    def count(self, network: Network) -> int:
        """Return the number of trained numbers of `network`."""
        learned = self.learn_initial_state
        return count_parameters(network, self.symbols, self.outputs, self.features, learn_initial_state=learned)

    def shapes(self, below: int | None, embedding: int) -> Iterator[tuple[str, int, int]]:
        """Give cell, layers and most units of all networks with fewer than `below` parameters; None: of all.

        They have this `embedding`. None of them has more than `max_parameters`.
        """
        if self.max_parameters is not None:
            below = self.max_parameters + 1 if below is None else min(below, self.max_parameters + 1)
        for cell in self.cells:
            for layers in self.layers:
                least, most = self.units
                while (
                    most >= least
                    and below is not None
                    and self.count(self.network(cell, layers, most, embedding=embedding)) >= below
                ):
                    most -= 1
                if most >= least:
                    yield cell, layers, most

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object."""
        values = asdict(self)
        usual: dict[str, Any] = {"features": 0, "max_parameters": None, "learn_initial_state": False}
        usual |= {name: values[name] for name in ("dropouts", "embeddings") if len(values[name]) == 1}
        return {name: value for name, value in values.items() if name not in usual or value != usual[name]}


def _embeddings(symbols: int, size: int) -> tuple[int, ...]:
    """Return the sizes to choose from: the one to begin with, its half and double, and one-hot of few symbols."""
    if not symbols:
        return (size,)
    usual = size or max(4, 4 * round(symbols**0.5 / 2))
    return tuple(sorted({size, usual // 2, usual, 2 * usual}))


def round_rate(learning_rate: float) -> float:
    """Return it with three digits, so that it can be given again by hand."""
    return float(f"{learning_rate:.3g}")
