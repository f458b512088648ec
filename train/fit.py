"""The training engine: truncated BPTT with the state carried from chunk to chunk, in compiled loops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from ..runtime.arrays import Float32
from ..runtime.errors import ProblemError, StepcellError
from .evaluate import Evaluator
from .forward import Forward, State
from .network import Network
from .problem import Block, Problem, Streams
from .score import Score

_CLIP_NORM = 1.0


class DivergedError(StepcellError, ArithmeticError):
    """The loss became infinite or not a number before anything worth keeping had been learned."""


@dataclass(frozen=True)
class Options:
    """What the user decides about training; None leaves it to the problem's recipe.

    Attributes:
        seed: Everything random follows from it. Equal seeds give equal weights, except with a time limit.
        learning_rate: The highest learning rate.
        updates: Most updates to make.
        minutes: Time limit, compilation included, the last evaluation not.

    Raises:
        ProblemError: A value that makes no sense; all of them are named.
    """

    seed: int = 0
    learning_rate: float | None = None
    updates: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        problems = [
            f"{name} is {getattr(self, name)}, it must be above 0"
            for name in ("learning_rate", "updates", "minutes")
            if getattr(self, name) is not None and not getattr(self, name) > 0
        ]
        if self.seed < 0:
            problems.append(f"the seed is {self.seed}, it must not be below 0")
        if problems:
            raise ProblemError(f"These training options cannot be used: {'; '.join(problems)}.")


@dataclass(frozen=True)
class Row:
    """One line of the training history: the state of things after a block of updates.

    Attributes:
        update: Updates made.
        seconds: Since training began.
        used: Share of the budget that is used up, 0 to 1.
        learning_rate: During the block.
        loss: Mean loss of the block in nats.
        accuracy: Accuracy on the block, while learning it.
        carried: The evaluation on carried streams, where one was made.
    """

    update: int
    seconds: float
    used: float
    learning_rate: float
    loss: float
    accuracy: float
    carried: Score | None = None


@dataclass(frozen=True)
class Fitted:
    """The result of training.

    Attributes:
        model: The Keras model with the weights that were best on held-out streams.
        scores: Its evaluation, by name.
        history: One row per block.
        stopped: Why training ended: "solved", "updates", "minutes", "no longer improving", "diverged", "interrupted".
        parameters: How many trainable numbers the model has.
    """

    model: keras.Sequential
    scores: dict[str, Score]
    history: tuple[Row, ...]
    stopped: str
    parameters: int

    def effort(self) -> str:
        """Return how many updates it took and how long, in words."""
        if not self.history:
            return "before the first update"
        return f"after {self.history[-1].update:,} updates, {self.history[-1].seconds:.1f} s"


@dataclass
class _Best:
    """The best weights so far."""

    nats: float = math.inf
    weights: list[Float32] = field(default_factory=list)
    evaluations_since: int = 0


def fit(
    problem: Problem,
    network: Network,
    options: Options | None = None,
    observe: Callable[[Row], None] = lambda _: None,
) -> Fitted:
    """Train a network on a problem.

    Gradients flow through whole chunks; the state is carried from one chunk into the next, with random resets, as a
    device carries it. Training ends when the problem is solved on carried streams, when the budget is used up, when
    held-out streams no longer get better, or at Ctrl-C, which keeps what was learned so far.

    Args:
        problem: What to learn.
        network: The shape of the network.
        options: Seed and budget.
        observe: Is called after each block of updates.

    Raises:
        DivergedError: The loss became infinite or not a number before the first evaluation.
    """
    options = options or Options()
    recipe = problem.recipe
    outputs = len(problem.vocabulary if problem.labels is None else problem.labels)
    model = network.build(len(problem.vocabulary), outputs, options.seed)
    updater = _Updater(model, xla=recipe.xla)
    evaluator = Evaluator(model, xla=recipe.xla)
    evaluations = problem.evaluations(options.seed)
    most = options.updates or (recipe.updates if options.minutes is None else None)
    began = time.monotonic()
    history: list[Row] = []
    best = _Best()
    stopped = ""
    try:
        while not stopped:
            done = history[-1].update if history else 0
            used = _used(done, most, time.monotonic() - began, options.minutes)
            factor = recipe.schedule(used, history[-1].accuracy if history else 0.0)
            learning_rate = (options.learning_rate or recipe.learning_rate[network.cell]) * factor
            count = min(recipe.per_block, most - done) if most else recipe.per_block
            loss, accuracy = updater.learn(problem.block(done, count, options.seed), learning_rate)
            if not math.isfinite(loss):
                if not best.weights:
                    raise DivergedError(
                        f"The loss is {loss} after {done + count} updates. "
                        f"Lower the learning rate, now {learning_rate:g}."
                    )
                stopped = "diverged"
                break
            done += count
            used = _used(done, most, time.monotonic() - began, options.minutes)
            carried = None
            if used >= 1.0:
                stopped = "updates" if most and done >= most else "minutes"
            elif done % recipe.evaluate_every < count:
                carried, stopped = _judge(problem, evaluator, evaluations, updater, best, recipe.patience)
            history.append(Row(done, time.monotonic() - began, used, learning_rate, loss, accuracy, carried))
            observe(history[-1])
    except KeyboardInterrupt:
        stopped = "interrupted"
    return _finish(problem, evaluator, evaluations, updater, best, history, stopped)


def _used(updates: int, most: int | None, seconds: float, minutes: float | None) -> float:
    """Return the share of the budget that is used up: of updates or of time, whichever is further."""
    return max(updates / most if most else 0.0, seconds / (60 * minutes) if minutes else 0.0)


def _judge(
    problem: Problem,
    evaluator: Evaluator,
    evaluations: dict[str, Streams],
    updater: _Updater,
    best: _Best,
    patience: int | None,
) -> tuple[Score, str]:
    """Evaluate, remember the best weights, and say whether to stop, and why."""
    scores = {name: evaluator.score(streams) for name, streams in evaluations.items()}
    carried = scores["carried"]
    if carried.nats < best.nats:
        best.nats, best.weights, best.evaluations_since = carried.nats, updater.weights(), 0
    else:
        best.evaluations_since += 1
    if problem.is_solved(scores):
        best.weights = updater.weights()
        return carried, "solved"
    return carried, "no longer improving" if patience and best.evaluations_since >= patience else ""


def _finish(
    problem: Problem,
    evaluator: Evaluator,
    evaluations: dict[str, Streams],
    updater: _Updater,
    best: _Best,
    history: list[Row],
    stopped: str,
) -> Fitted:
    """Put the best weights back and evaluate them in full."""
    if stopped in ("updates", "minutes", "interrupted"):  # the last weights have not been judged yet
        last = evaluator.score(evaluations["carried"])
        if last.nats <= best.nats or not best.weights:
            best.weights = updater.weights()
    updater.set_weights(best.weights)
    scores = evaluator.score_all(evaluations)
    parameters = sum(math.prod(variable.shape) for variable in updater.model.trainable_variables)
    return Fitted(updater.model, scores, tuple(history), stopped, parameters)


class _Updater:
    """Makes updates of a model, a block of them per call, and carries the state of the lanes between calls."""

    def __init__(self, model: keras.Sequential, *, xla: bool) -> None:
        self.model = model
        self._forward = Forward(model)
        self._optimizer = keras.optimizers.Adam(global_clipnorm=_CLIP_NORM)
        self._optimizer.build(model.trainable_variables)
        self._state: State = []
        self._run = tf.function(self._updates, jit_compile=xla, autograph=False)

    def weights(self) -> list[Float32]:
        """Return a copy of the weights."""
        weights: list[Float32] = self.model.get_weights()
        return weights

    def set_weights(self, weights: list[Float32]) -> None:
        """Put weights back."""
        self.model.set_weights(weights)

    def learn(self, block: Block, learning_rate: float) -> tuple[float, float]:
        """Make the updates of `block`; return their mean loss and accuracy."""
        if not self._state:
            self._state = self._forward.zero_state(block.inputs.shape[2])
        self._optimizer.learning_rate.assign(learning_rate)
        # All data goes in as arguments: indexing it from outside would compile anew at every call under XLA.
        arrays = [tf.constant(array) for array in (block.inputs, block.targets, block.weights, block.resets)]
        loss, accuracy, self._state = self._run(*arrays, self._state)
        return float(loss), float(accuracy)

    def _updates(self, inputs: Any, targets: Any, weights: Any, resets: Any, state: State) -> tuple[Any, Any, State]:
        count = inputs.shape[0]

        def body(update: Any, loss: Any, accuracy: Any, state: State) -> tuple[Any, Any, Any, State]:
            keep = 1.0 - tf.cast(tf.gather(resets, update), tf.float32)[:, None]
            its_inputs, its_targets, its_weights = (tf.gather(array, update) for array in (inputs, targets, weights))
            state = [tensor * keep for tensor in state]
            its_loss, its_accuracy, state = self._update(its_inputs, its_targets, its_weights, state)
            return update + 1, loss + its_loss / count, accuracy + its_accuracy / count, state

        start = (tf.constant(0), tf.constant(0.0), tf.constant(0.0), state)
        _, loss, accuracy, state = tf.while_loop(
            lambda update, *_: update < count, body, start, maximum_iterations=count, parallel_iterations=1
        )
        return loss, accuracy, state

    def _update(self, inputs: Any, targets: Any, weights: Any, state: State) -> tuple[Any, Any, State]:
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            logits, following = self._forward.logits(inputs, state)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
            total = tf.maximum(tf.reduce_sum(weights), 1.0)
            loss = tf.reduce_sum(losses * weights) / total
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self._optimizer.apply([tf.convert_to_tensor(gradient) for gradient in gradients], variables)
        right = tf.cast(tf.equal(tf.argmax(logits, -1, tf.int32), targets), tf.float32)
        # The state goes on, gradients do not: that is the truncation.
        return loss, tf.reduce_sum(right * weights) / total, [tf.stop_gradient(tensor) for tensor in following]
