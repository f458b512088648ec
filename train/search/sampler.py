"""What to try next: Optuna's sampler, kept below the smallest network that has solved the problem.

Optuna rather than KerasTuner, because it needs no Keras model or tuner class to wrap the training in (ask and tell),
can be told of earlier trials, and can shrink a range while it searches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...runtime.common.errors import MissingPackageError
from .space import Candidate, Space, round_rate
from .trial import Trial

try:
    import optuna
except ModuleNotFoundError as error:
    raise MissingPackageError(
        f"A search needs the package {error.name}. Install it: pip install 'stepcell[search]'"
    ) from error

_RANDOM = 5  # trials before the sampler trusts what it has seen
_PROPOSALS = 20  # to look through for a network that has not been tried with another learning rate
_DIVERGED = 1e6  # stands for the nats of a network that does not answer


def propose(space: Space, trials: Sequence[Trial], seed: int) -> Candidate | None:
    """Return the network to try after `trials`, which follows from them and the seed alone.

    The first is what would be trained without a search. The others come from a tree-structured Parzen estimator
    (Bergstra et al. 2011); from the first solved one on, only networks with fewer parameters than the smallest solved
    one are proposed.

    Args:
        space: What there is to choose from.
        trials: All that have been made.
        seed: Of the random choices.

    Returns:
        A network and a learning rate; None if there is no smaller network left to try.
    """
    if not trials:
        return space.start
    below = min((trial.parameters for trial in trials if trial.solved), default=None)
    most_units = {(cell, layers): most for cell, layers, most in space.shapes(below)}
    if not most_units:
        return None
    random = np.random.default_rng([seed, 10, len(trials)])
    study = _study(space, trials, int(random.integers(2**31)))
    tried = {(trial.cell, trial.layers, trial.units) for trial in trials}
    for _ in range(_PROPOSALS):
        asked = study.ask()
        cell = asked.suggest_categorical("cell", space.cells)
        layers = asked.suggest_int("layers", space.layers[0], space.layers[-1])
        if (cell, layers) not in most_units:  # none of this shape is small enough
            cell, layers = list(most_units)[random.integers(len(most_units))]
        units = asked.suggest_int("units", space.units[0], most_units[cell, layers], log=True)
        low, high = space.learning_rates
        learning_rate = round_rate(asked.suggest_float("learning_rate", low, high, log=True))
        if (cell, layers, units) not in tried:
            break
    return Candidate(space.network(cell, layers, units), min(max(learning_rate, low), high))


def _study(space: Space, trials: Sequence[Trial], seed: int) -> optuna.Study:
    """Return a study that knows `trials`. Made anew each time, it is the same in a resumed search."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(n_startup_trials=_RANDOM, seed=seed))
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        "cell": optuna.distributions.CategoricalDistribution(space.cells),
        "layers": optuna.distributions.IntDistribution(space.layers[0], space.layers[-1]),
        "units": optuna.distributions.IntDistribution(*space.units, log=True),
        "learning_rate": optuna.distributions.FloatDistribution(*space.learning_rates, log=True),
    }
    for trial in trials:
        parameters = {name: getattr(trial, name) for name in distributions}
        study.add_trial(optuna.trial.create_trial(params=parameters, distributions=distributions, value=_cost(trial)))
    return study


def _cost(trial: Trial) -> float:
    """Return what the sampler minimises: every solved trial is below every other one, smaller ones lower."""
    if trial.solved:
        return -1.0 / trial.parameters
    return trial.nats if math.isfinite(trial.nats) else _DIVERGED
