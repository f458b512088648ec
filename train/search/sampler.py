"""The trials of a search in an Optuna storage, and Optuna's proposal of the next one.

Optuna rather than KerasTuner, because it needs no Keras model or tuner class to wrap the training in (ask and tell),
can be told of earlier trials, and can shrink a range while it searches.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.common.errors import MissingPackageError, OutputError, ResumeError
from .space import Candidate, Space, round_rate
from .trial import Trial

try:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool
except ModuleNotFoundError as error:
    raise MissingPackageError(
        f"A search needs the package {error.name}. Install it: pip install 'stepcell[search]'"
    ) from error

# The packages too, so that a missing one is named wherever it is needed.
__all__ = [
    "NullPool", "SQLAlchemyError", "TrialStorage", "from_optuna", "optuna", "propose", "running_in_optuna", "to_optuna",
]  # fmt: skip

_RANDOM = 5  # trials before the sampler trusts what it has seen
_PROPOSALS = 20  # to look through for a network that has not been tried with another learning rate
_DIVERGED = 1e6  # replaces the nats of a network whose answers are not finite
_STUDY = "search"
_FIELDS = {field.name for field in fields(Trial)}


def propose(
    space: Space, trials: Sequence[Trial], seed: int, running: Sequence[Candidate] = (), made: int | None = None
) -> Candidate | None:
    """Return the network to try after `trials`, which follows from them, from those running and the seed alone.

    The first is the network that would be trained without a search. The others come from a tree-structured Parzen
    estimator (Bergstra et al. 2011), seeded anew for each trial; after the first solved trial, only networks with fewer
    parameters than the smallest solved one are proposed.

    Args:
        space: The search space.
        trials: All earlier trials, in order.
        seed: Of the random choices.
        running: Networks that other workers are training.
        made: Number of trials that have been begun; None: those two together.

    Returns:
        A network and a learning rate; None if there is no smaller network left to try.
    """
    made = len(trials) + len(running) if made is None else made
    if not made:
        return space.start
    below = min((trial.parameters for trial in trials if trial.solved), default=None)
    all_units = {
        size: found
        for size in space.embeddings
        if (found := {(cell, layers): most for cell, layers, most in space.shapes(below, size)})
    }
    if not all_units:
        return None
    random = np.random.default_rng([seed, 10, made])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(n_startup_trials=_RANDOM, seed=int(random.integers(2**31)))
    study = optuna.create_study(sampler=sampler)
    study.add_trials([to_optuna(trial, space) for trial in trials])
    tried = {(trial.cell, trial.layers, trial.units) for trial in trials}
    tried |= {(one.network.cell, one.network.layers, one.network.units) for one in running}
    for _ in range(_PROPOSALS):
        asked = study.ask()
        dropout, embedding = space.dropouts[0], space.embeddings[0]
        if len(space.dropouts) > 1:
            dropout = asked.suggest_categorical("dropout", space.dropouts)
        if len(space.embeddings) > 1:
            embedding = asked.suggest_categorical("embedding", space.embeddings)
        if embedding not in all_units:  # no network with it is small enough
            embedding = list(all_units)[random.integers(len(all_units))]
        max_units = all_units[embedding]
        cell = asked.suggest_categorical("cell", space.cells)
        layers = asked.suggest_int("layers", space.layers[0], space.layers[-1])
        if (cell, layers) not in max_units:  # no network of this shape is small enough
            cell, layers = list(max_units)[random.integers(len(max_units))]
        units = asked.suggest_int("units", space.units[0], max_units[cell, layers], log=True)
        low, high = space.learning_rates
        learning_rate = round_rate(asked.suggest_float("learning_rate", low, high, log=True))
        if (cell, layers, units) not in tried:
            break
    return Candidate(space.network(cell, layers, units, dropout, embedding), min(max(learning_rate, low), high))


class TrialStorage:
    """Finished trials in a SQLite file that Optuna and its dashboard read. A crash leaves a trial in it or not."""

    def __init__(self, path: Path, space: Space) -> None:
        """Open the file at `path` with the trials of `space`; it is made if it does not exist.

        Raises:
            ResumeError: It is damaged.
        """
        self._path, self._space = path, space
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            storage = optuna.storages.RDBStorage(
                "sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(path), "poolclass": NullPool}
            )
            self._study = optuna.create_study(study_name=_STUDY, storage=storage, load_if_exists=True)
            self.trials = [from_optuna(trial) for trial in self._study.trials]
        except Exception as error:  # SQLAlchemy and Optuna raise whatever the damaged part ran into
            found = getattr(error, "orig", error)  # without the SQL statement
            raise ResumeError(f"{path} is damaged ({found}). Start again without --resume.") from error

    def add(self, trial: Trial) -> None:
        """Write a finished trial.

        Raises:
            OutputError: It cannot be written; earlier trials are unchanged.
        """
        try:
            self._study.add_trial(to_optuna(trial, self._space))
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise OutputError(f"Cannot write to {self._path}: {getattr(error, 'orig', error)}.") from error
        self.trials.append(trial)


def to_optuna(trial: Trial, space: Space) -> optuna.trial.FrozenTrial:
    """Return a finished trial as Optuna stores it."""
    ranges = _distributions(space)
    values = vars(trial)
    params = {name: values[name] for name in ranges}
    measured = {name: value for name, value in values.items() if name not in ranges}
    return optuna.trial.create_trial(params=params, distributions=ranges, value=_cost(trial), user_attrs=measured)


def running_in_optuna(candidate: Candidate, space: Space, facts: dict[str, Any]) -> optuna.trial.FrozenTrial:
    """Return a trial of `candidate` that has just begun, with `facts` about it."""
    network = candidate.network
    ranges = _distributions(space)
    values = {**vars(network), "learning_rate": candidate.learning_rate}
    params = {name: values[name] for name in ranges}
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING, params=params, distributions=ranges, user_attrs=facts
    )


def from_optuna(trial: optuna.trial.FrozenTrial) -> Trial:
    """Return a finished trial that Optuna stored.

    Raises:
        TypeError: Something of it is missing.
        ValueError: A number of it cannot be.
    """
    measured = {name: value for name, value in trial.user_attrs.items() if name in _FIELDS - set(trial.params)}
    found = Trial(**trial.params, **measured)
    counts = (found.trial, found.units, found.layers, found.parameters)
    if not all(type(count) is int and count > 0 for count in counts) or not 0 < found.learning_rate < math.inf:
        raise ValueError(f"a trial with {found}")
    return found


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    chosen = {"dropout": space.dropouts, "embedding": space.embeddings}
    return {
        **{n: optuna.distributions.CategoricalDistribution(each) for n, each in chosen.items() if len(each) > 1},
        "cell": optuna.distributions.CategoricalDistribution(space.cells),
        "layers": optuna.distributions.IntDistribution(space.layers[0], space.layers[-1]),
        "units": optuna.distributions.IntDistribution(*space.units, log=True),
        "learning_rate": optuna.distributions.FloatDistribution(*space.learning_rates, log=True),
    }


def _cost(trial: Trial) -> float:
    """Return the value that the sampler minimises: solved trials below the others, smaller ones lower."""
    if trial.solved:
        return -1.0 / trial.parameters
    return trial.nats if math.isfinite(trial.nats) else _DIVERGED
