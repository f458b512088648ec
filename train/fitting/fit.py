"""Train a network on a problem: problem -> data -> network -> training loop -> evaluation.

Each stage takes the whole result of the one before and does not ask it again. The run folder (`run.folder`) takes the
result of the last.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ...runtime.common.arrays import Float32
from ...runtime.common.errors import ProblemError
from ..network.built_network import BuiltNetwork
from ..network.network import Network
from ..problems.problem import Problem, Score, sizes_of
from ..problems.value_score import ValueScore
from .checkpoint import CHECKPOINT_SECONDS, DivergedError, HistoryRow
from .loop import Trained, TrainingData, TrainingLoop
from .options import Options
from .predictions import Predictions, ValuePredictions
from .start import Start, Transfer

_MANY_UNITS = 256  # below, two threads wait for each other longer than they compute


@dataclass(frozen=True)
class FitResult:
    """The result of training.

    Attributes:
        data: The data that the network was trained on.
        network: The network with its best weights on held-out streams.
        scores: Its evaluation, by name: a `Score`, or a `ValueScore` of values.
        history: One row per call of the compiled loop.
        stopped: Why training ended: "solved", "updates", "minutes", "no longer improving", "diverged", "interrupted".
        carried: The predictions for the carried streams; None where Ctrl-C cut the evaluation short, and then some
            scores may be missing too.
        transfer: Scores before and after, of a training that went on from an earlier one; None: it did not.
        kept_update: The update whose weights were kept: those with the best evaluation.
        learned: The score on a part of the data that was learned from, as large as the held-out part; None: generated
            data, or cut short.
    """

    data: TrainingData
    network: BuiltNetwork
    scores: dict[str, Any]
    history: tuple[HistoryRow, ...]
    stopped: str
    carried: Predictions | ValuePredictions | None
    transfer: Transfer | None = None
    kept_update: int = 0
    learned: Score | ValueScore | None = None

    @cached_property
    def baselines(self) -> Mapping[str, Score | ValueScore]:
        """Name -> the score on the held-out data of what needs no network; empty of generated data."""
        summary = self.data.problem.data
        return {} if summary is None else summary.baselines()

    @property
    def model(self) -> keras.Model:
        """The Keras model."""
        return self.network.model

    @property
    def parameters(self) -> int:
        """The number of trained numbers."""
        return sum(math.prod(variable.shape) for variable in self.network.variables)

    @property
    def initial_state(self) -> dict[str, Float32]:
        """Name ("h0", "c0", ...) -> the learned state that follows a reset, (1, U); empty: zeros."""
        return self.network.initial_state.arrays()

    def effort(self) -> str:
        """Return the number of updates and seconds in words."""
        if not self.history:
            return "before the first update"
        last = self.history[-1]
        return f"after {last.update:,} updates, {last.seconds:.1f} s, {last.cpu_seconds:.1f} CPU-s"


def fit(
    problem: Problem,
    network: Network,
    options: Options | None = None,
    observe: Callable[[HistoryRow], None] = lambda _: None,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    warn: Callable[[str], None] = warnings.warn,
    start: Start | None = None,
) -> FitResult:
    """Train a network on a problem.

    Gradients flow through whole chunks; the state is carried from one chunk into the next, with random resets, as a
    device carries it. Training ends when the problem is solved on carried streams, when the budget is used up, when
    held-out streams no longer get better, or at Ctrl-C, which keeps what was learned so far.

    Args:
        problem: The problem.
        network: The shape of the network.
        options: Seed and budget.
        observe: Receives each row of the history.
        checkpoint: File to write everything to that resuming needs, at the end and every `checkpoint_seconds`.
        resume: Go on from `checkpoint`. The final weights are those of a training that was never interrupted, bit for
            bit, unless there is a time limit.
        checkpoint_seconds: Least time between checkpoints.
        warn: Receives a text where a checkpoint cannot be written. The training goes on and tries again later.
        start: Weights of an earlier training to begin with, as the best so far; None: new ones. The optimizer begins
            anew.

    Raises:
        DivergedError: The loss became infinite or not a number before the first evaluation.
        ResumeError: There is no checkpoint, or it is damaged.
    """
    options = options or Options()
    use_threads(options.threads, network)
    data = prepare_data(problem, options)
    loop = TrainingLoop(data, build_network(data, network, options), network.cell, options)
    transfer = None if start is None else loop.begin_with(start)
    if resume and checkpoint is not None:
        loop.restore(checkpoint)
    fitted = evaluate(loop.run(observe, checkpoint, checkpoint_seconds, warn), options.seed)
    if transfer is None:
        return fitted
    return replace(fitted, transfer=loop.compare(transfer, fitted.scores.get(data.recipe.monitor)))


def use_threads(count: int | None, network: Network) -> None:
    """Let TensorFlow compute with `count` threads.

    TensorFlow takes this number before its first computation only: the first training of a process decides.

    Args:
        count: Threads; None: one for a small network, all there are for a large one, and the earlier number where
            TensorFlow has begun.
        network: The network that will be trained.

    Raises:
        ProblemError: TensorFlow has begun to compute with another number.
    """
    if count is None and network.units >= _MANY_UNITS:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count or 1)
        tf.config.threading.set_inter_op_parallelism_threads(count or 1)
    except RuntimeError:
        if count is not None:
            found = tf.config.threading.get_intra_op_parallelism_threads() or "all"
            raise ProblemError(
                f"TensorFlow already computes with {found} threads in this process, not with {count}. "
                "Train in a process of its own, or leave the number of threads open."
            ) from None


def prepare_data(problem: Problem, options: Options) -> TrainingData:
    """Return everything that training takes from `problem`."""
    recipe = problem.recipe
    stages = (*(recipe.curriculum if options.curriculum else ()), problem)
    return TrainingData(problem, recipe, stages, problem.evaluations(options.seed))


def build_network(data: TrainingData, network: Network, options: Options) -> BuiltNetwork:
    """Return the untrained network for `data`."""
    problem = data.problem
    summary = problem.data
    values = None if summary is None else summary.values
    symbols, outputs, _ = sizes_of(problem)
    model = network.build(
        symbols,
        outputs,
        options.seed,
        max_lag=data.recipe.max_lag,
        scales=() if summary is None else summary.scales,
        values=values,
    )
    return BuiltNetwork.of(model, learn_initial_state=options.learn_initial_state, values=values)


def evaluate(trained: Trained, seed: int) -> FitResult:
    """Restore the best weights and evaluate them in full; Ctrl-C cuts the evaluation short and loses nothing.

    Raises:
        DivergedError: The last weights are the only ones, and their predictions are not finite.
    """
    data, network, state, evaluator = trained.data, trained.network, trained.state, trained.evaluator
    best, stopped, kept = state.best_weights, state.stopped, state.best_update
    scores: dict[str, Any] = {}
    carried = learned = None
    try:
        if stopped in ("updates", "minutes", "interrupted"):  # the last weights have not been evaluated yet
            last = evaluator.score(data.evaluations[data.recipe.monitor])
            if not math.isfinite(last.loss) and not best:
                raise DivergedError(
                    f"The answers are {last.loss} after {state.update} updates. Lower the learning rate."
                )
            if last.loss <= state.best_loss or not best:
                best, kept = network.weights(), state.update
        network.set_weights(best)
        scores, carried = evaluator.score_all(data.evaluations, data.recipe.time_steps, seed)
        sample = data.problem.learned_sample()
        learned = None if sample is None else evaluator.score(sample)
    except KeyboardInterrupt:
        stopped = "interrupted"
        if best:
            network.set_weights(best)
    return FitResult(data, network, scores, tuple(state.history), stopped, carried, kept_update=kept, learned=learned)
