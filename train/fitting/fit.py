"""The training engine: the state is carried from chunk to chunk, as a device will carry it from symbol to symbol.

How many threads TensorFlow computes with.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras
import tensorflow as tf

from ...runtime.common.arrays import Float32
from ...runtime.common.errors import ProblemError, StepcellError
from ..network.network import Network
from ..problems.problem import Problem, Recipe, Streams
from ..problems.score import Score
from .checkpoint import HistoryRow, TrainingState, read_checkpoint, write_checkpoint
from .evaluate import Evaluator, Predictions
from .options import SCHEDULES, Options
from .updater import Updater

_WORTH_SHARING = 256  # units; below, two threads wait for each other longer than they compute


def use_threads(count: int | None, network: Network) -> None:
    """Let TensorFlow compute with `count` threads.

    TensorFlow asks for this before it computes anything: the first training of a process decides.

    Args:
        count: How many; None: one for a small network, all there are for a large one, and whatever has been decided
            where TensorFlow has begun.
        network: What will be trained.

    Raises:
        ProblemError: TensorFlow has begun to compute with another number.
    """
    if count is None and network.units >= _WORTH_SHARING:
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


_CHECKPOINT_SECONDS = 20.0
_LEARNED = 0.95  # accuracy on a block at which the next problem of a curriculum comes


class DivergedError(StepcellError, ArithmeticError):
    """The loss became infinite or not a number before anything worth keeping had been learned."""


@dataclass(frozen=True)
class FitResult:
    """The result of training.

    Attributes:
        model: The Keras model with the weights that were best on held-out streams.
        scores: Its evaluation, by name.
        history: One row per block.
        stopped: Why training ended: "solved", "updates", "minutes", "no longer improving", "diverged", "interrupted".
        parameters: How many trainable numbers the model has.
        carried: Every answer on the carried streams; None where Ctrl-C cut the evaluation short, and then some scores
            may be missing too.
        initial_state: Name ("h0", "c0", ...) -> the state that was learned to follow a reset, (1, U); empty: zeros.
    """

    model: keras.Model
    scores: dict[str, Score]
    history: tuple[HistoryRow, ...]
    stopped: str
    parameters: int
    carried: Predictions | None
    initial_state: Mapping[str, Float32] = field(default_factory=dict)

    def effort(self) -> str:
        """Return how many updates it took and how long, in words."""
        if not self.history:
            return "before the first update"
        return f"after {self.history[-1].update:,} updates, {self.history[-1].seconds:.1f} s"


def fit(
    problem: Problem,
    network: Network,
    options: Options | None = None,
    observe: Callable[[HistoryRow], None] = lambda _: None,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> FitResult:
    """Train a network on a problem.

    Gradients flow through whole chunks; the state is carried from one chunk into the next, with random resets, as a
    device carries it. Training ends when the problem is solved on carried streams, when the budget is used up, when
    held-out streams no longer get better, or at Ctrl-C, which keeps what was learned so far.

    Args:
        problem: What to learn.
        network: The shape of the network.
        options: Seed and budget.
        observe: Is called after each block of updates.
        checkpoint: File to write everything to that is needed to go on, every 20 seconds and at the end.
        resume: Go on from `checkpoint`. The final weights are those of a training that was never interrupted, bit for
            bit, unless there is a time limit.

    Raises:
        DivergedError: The loss became infinite or not a number before the first evaluation.
        ResumeError: There is no checkpoint, or it is damaged.
        OutputError: The checkpoint cannot be written.
    """
    options = options or Options()
    use_threads(options.threads, network)
    training = _Training(problem, network, options)
    if resume and checkpoint is not None:
        training.restore(checkpoint)
    saved = time.monotonic()
    try:
        while not training.state.stopped:
            observe(training.learn_block())
            if checkpoint is not None and (training.state.stopped or time.monotonic() - saved > _CHECKPOINT_SECONDS):
                training.save(checkpoint)
                saved = time.monotonic()
    except KeyboardInterrupt:
        training.state.stopped = "interrupted"
    return training.finish()


class _Training:
    """One training on its way."""

    def __init__(self, problem: Problem, network: Network, options: Options) -> None:
        self.state = TrainingState()
        self._problem, self._options = problem, options
        self._recipe: Recipe = problem.recipe
        self._stages = (*(self._recipe.curriculum if options.curriculum else ()), problem)
        outputs = len(problem.vocabulary if problem.labels is None else problem.labels)
        model = network.build(
            len(problem.vocabulary),
            outputs,
            options.seed,
            max_lag=self._recipe.max_lag,
            scales=() if problem.data is None else problem.data.scales,
        )
        self._updater = Updater(
            model,
            seed=options.seed,
            clip_norm=options.clip_norm,
            xla=self._recipe.xla,
            learn_initial_state=options.learn_initial_state,
        )
        self._evaluator = Evaluator(model, xla=self._recipe.xla, start=self._updater.start)
        self._evaluations = problem.evaluations(options.seed)
        self._most = options.max_updates or (self._recipe.max_updates if options.minutes is None else None)
        self._learning_rate = options.learning_rate or self._recipe.learning_rate[network.cell]
        self._schedule = SCHEDULES[options.schedule or self._recipe.schedule]
        self._began = time.monotonic()

    def restore(self, checkpoint: Path) -> None:
        """Go back to a checkpoint."""
        self.state, snapshot = read_checkpoint(checkpoint)
        self._updater.restore(snapshot)
        self._began = time.monotonic() - self.state.seconds

    def save(self, checkpoint: Path) -> None:
        """Write a checkpoint."""
        write_checkpoint(checkpoint, self.state, self._updater.snapshot())

    def learn_block(self) -> HistoryRow:
        """Make a block of updates and evaluate if it is time; set `state.stopped` when there is nothing more to do."""
        state, recipe, most = self.state, self._recipe, self._most
        stage = self._stage()
        factor = self._schedule(self._used(state.update), state.history[-1].accuracy if state.history else 0.0)
        learning_rate = self._learning_rate * factor
        count = min(recipe.updates_per_call, most - state.update) if most else recipe.updates_per_call
        done = state.update + max(count, 0)
        loss, accuracy = math.nan, math.nan
        if count > 0:
            batches = self._stages[stage].batches(state.update, count, self._options.seed)
            loss, accuracy = self._updater.train(batches, state.update, learning_rate)
            if not math.isfinite(loss):
                return self._diverge(done, learning_rate, loss)
        used = self._used(done)
        judged = None
        if used >= 1.0:
            state.stopped = "updates" if most and done >= most else "minutes"
        elif done % recipe.evaluate_every < count and stage == len(self._stages) - 1:
            judged = self._judge()
        row = HistoryRow(done, time.monotonic() - self._began, used, learning_rate, loss, accuracy, judged, stage)
        if count > 0:
            state.history.append(row)
        return row

    def finish(self) -> FitResult:
        """Put the best weights back and evaluate them in full; Ctrl-C cuts the evaluation short and loses nothing."""
        state, updater = self.state, self._updater
        scores: dict[str, Score] = {}
        carried = None
        try:
            if state.stopped in ("updates", "minutes", "interrupted"):  # the last weights have not been judged yet
                last = self._evaluator.score(self._evaluations[self._recipe.monitor])
                if not math.isfinite(last.nats) and not state.best_weights:
                    raise DivergedError(
                        f"The answers are {last.nats} after {state.update} updates. Lower the learning rate."
                    )
                if last.nats <= state.best_nats or not state.best_weights:
                    state.best_weights = updater.weights()
            updater.set_weights(state.best_weights)
            scores, carried = self._evaluator.score_all(self._evaluations, self._recipe.time_steps, self._options.seed)
        except KeyboardInterrupt:
            state.stopped = "interrupted"
            if state.best_weights:
                updater.set_weights(state.best_weights)
        start = updater.start
        learned = [*updater.model.trainable_variables, *start.variables]
        parameters = sum(math.prod(variable.shape) for variable in learned)
        return FitResult(
            updater.model, scores, tuple(state.history), state.stopped, parameters, carried, start.arrays()
        )

    def _stage(self) -> int:
        """Return which problem of the curriculum comes next: the one after the last if that has been learned."""
        if not self.state.history:
            return 0
        last = self.state.history[-1]
        return min(last.stage + (last.accuracy > _LEARNED), len(self._stages) - 1)

    def _used(self, updates: int) -> float:
        """Return the share of the budget that is used up: of updates or of time, whichever is further."""
        of_updates = updates / self._most if self._most else 0.0
        minutes = self._options.minutes
        return max(of_updates, (time.monotonic() - self._began) / (60 * minutes) if minutes else 0.0)

    def _judge(self) -> Score:
        """Evaluate, remember the best weights, and decide whether to stop."""
        scores = _Scores(self._evaluator, self._evaluations)
        judged, state = scores[self._recipe.monitor], self.state
        solved = self._problem.is_solved(scores)
        if judged.nats < state.best_nats or solved:
            state.best_nats, state.best_weights, state.evaluations_since = judged.nats, self._updater.weights(), 0
        else:
            state.evaluations_since += 1
        if solved:
            state.stopped = "solved"
        elif self._recipe.patience and state.evaluations_since >= self._recipe.patience:
            state.stopped = "no longer improving"
        return judged

    def _diverge(self, done: int, learning_rate: float, loss: float) -> HistoryRow:
        """Stop with the best weights there are, or raise where there are none."""
        if not self.state.best_weights:
            raise DivergedError(
                f"The loss is {loss} after {done} updates. Lower the learning rate, now {learning_rate:g}."
            )
        self.state.stopped = "diverged"
        return HistoryRow(done, time.monotonic() - self._began, self._used(done), learning_rate, loss, math.nan)


class _Scores(Mapping[str, Score]):
    """The scores of some weights on `evaluations`; each is made when it is asked for, and not again."""

    def __init__(self, evaluator: Evaluator, evaluations: Mapping[str, Streams]) -> None:
        self._evaluator, self._evaluations = evaluator, evaluations
        self._made: dict[str, Score] = {}

    def __getitem__(self, name: str) -> Score:
        if name not in self._made:
            self._made[name] = self._evaluator.score(self._evaluations[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._evaluations)

    def __len__(self) -> int:
        return len(self._evaluations)
