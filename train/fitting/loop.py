"""The training loop: the state is carried from chunk to chunk, as a device carries it from symbol to symbol."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...runtime.common.errors import OutputError, ResumeError
from ..network.built_network import BuiltNetwork
from ..problems.problem import Problem, Recipe, Score, Streams
from ..problems.value_score import ValueScore
from .checkpoint import DivergedError, HistoryRow, TrainingState, read_checkpoint, write_checkpoint
from .evaluate import Evaluator
from .options import SCHEDULES, Options
from .start import Start, Transfer
from .updater import Updater

_STAGE_LEARNED = 0.95  # accuracy of the last updates at which the next problem of a curriculum comes


@dataclass(frozen=True)
class TrainingData:
    """Everything that training takes from its problem.

    Attributes:
        problem: The problem.
        recipe: Its recipe.
        stages: The curriculum, then the problem itself.
        evaluations: Held-out streams by name.
    """

    problem: Problem
    recipe: Recipe
    stages: tuple[Problem, ...]
    evaluations: Mapping[str, Streams]


@dataclass(frozen=True)
class Trained:
    """The result of the training loop.

    Attributes:
        data: The data.
        network: The network with its last weights.
        evaluator: Evaluates that network.
        state: History, best weights and reason of the end.
    """

    data: TrainingData
    network: BuiltNetwork
    evaluator: Evaluator
    state: TrainingState


class LazyScores(Mapping[str, Any]):
    """The scores of one set of weights, each made when it is first read."""

    def __init__(self, score: Callable[[Streams], Any], evaluations: Mapping[str, Streams]) -> None:
        """Take the function that makes a score, and its arguments by name."""
        self._score, self._evaluations = score, evaluations
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return the score of one evaluation."""
        if name not in self._made:
            self._made[name] = self._score(self._evaluations[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the evaluations."""
        return iter(self._evaluations)

    def __len__(self) -> int:
        """Return the number of evaluations."""
        return len(self._evaluations)


class TrainingLoop:
    """Train a network on data until it is solved, the budget is used up, or it no longer improves.

    Attributes:
        state: Its progress; `state.stopped` is set at the end.
    """

    def __init__(self, data: TrainingData, network: BuiltNetwork, cell: str, options: Options) -> None:
        """Prepare the updates and evaluations of `network`, whose recurrent layers are of kind `cell`."""
        recipe = data.recipe
        self.state = TrainingState()
        self._data, self._network, self._recipe, self._options = data, network, recipe, options
        self._updater = Updater(network, seed=options.seed, clip_norm=options.clip_norm, xla=recipe.xla)
        self._evaluator = Evaluator(network, xla=recipe.xla)
        self._max_updates = options.max_updates or (recipe.max_updates if options.minutes is None else None)
        self._learning_rate = options.learning_rate or recipe.learning_rate[cell]
        self._schedule = SCHEDULES[options.schedule or recipe.schedule]
        self._patience = recipe.patience if options.patience is None else options.patience
        self._began, self._cpu_began = time.monotonic(), time.process_time()

    def run(
        self,
        observe: Callable[[HistoryRow], None],
        checkpoint: Path | None,
        seconds: float,
        warn: Callable[[str], None],
    ) -> Trained:
        """Train to the end, or to Ctrl-C.

        Args:
            observe: Receives each row of the history.
            checkpoint: File to write at the end and every `seconds`; None: none is written.
            seconds: Least time between checkpoints.
            warn: Receives a text where a checkpoint cannot be written. The training goes on and tries again later.

        Raises:
            DivergedError: The loss became infinite or not a number before the first evaluation.
        """
        state, saved = self.state, time.monotonic()
        try:
            while not state.stopped:
                observe(self._advance())
                if checkpoint is not None and (state.stopped or time.monotonic() - saved > seconds):
                    try:
                        write_checkpoint(checkpoint, state, self._updater.snapshot())
                    except OutputError as error:
                        if not state.stopped:  # at the end the result is written in any case
                            warn(f"{error} The training goes on, and tries to write its checkpoint again later.")
                    saved = time.monotonic()
        except KeyboardInterrupt:
            state.stopped = "interrupted"
        return Trained(self._data, self._network, self._evaluator, state)

    def begin_with(self, start: Start) -> Transfer:
        """Begin with the weights of an earlier training, which are the best until others are better.

        Returns:
            The scores of these weights.

        Raises:
            ResumeError: They belong to another network.
        """
        try:
            self._network.set_weights(start.weights)
        except ValueError as error:
            raise ResumeError(
                "The model of the run to go on from is not of the network that its run.json describes: the files "
                "belong to different runs. Copy the run folder again."
            ) from error
        score = self._evaluator.score(self._data.evaluations[self._recipe.monitor])
        earlier = None if start.earlier is None else self._evaluator.score(start.earlier)
        if math.isfinite(score.loss):
            self.state.best_loss, self.state.best_weights = score.loss, self._network.weights()
        self._began = time.monotonic()
        return Transfer(start, score, earlier_before=earlier)

    def compare(self, transfer: Transfer, score: Any) -> Transfer:
        """Return `transfer` with the scores of the present weights; `score` is that on the data held out now."""
        earlier = transfer.start.earlier
        if score is None or earlier is None:  # Ctrl-C has cut the evaluation short, or there is nothing to compare
            return replace(transfer, new_after=score)
        return replace(transfer, new_after=score, earlier_after=self._evaluator.score(earlier))

    def restore(self, checkpoint: Path) -> None:
        """Go back to a checkpoint.

        Raises:
            ResumeError: It does not exist, or it is damaged.
        """
        self.state, snapshot = read_checkpoint(checkpoint)
        self._updater.restore(snapshot)
        self._began = time.monotonic() - self.state.seconds
        self._cpu_began = time.process_time() - self.state.cpu_seconds

    def _advance(self) -> HistoryRow:
        """Make the updates of one call and evaluate if it is time; set `state.stopped` at the end."""
        state, recipe, most, stages = self.state, self._recipe, self._max_updates, self._data.stages
        last = state.history[-1] if state.history else None
        accuracy = last.accuracy if last else 0.0
        stage = min(last.stage + (accuracy > _STAGE_LEARNED), len(stages) - 1) if last else 0
        learning_rate = self._learning_rate * self._schedule(self._used(state.update), accuracy)
        count = max(min(recipe.updates_per_call, most - state.update) if most else recipe.updates_per_call, 0)
        done = state.update + count
        loss = accuracy = math.nan
        evaluation = None
        if count:
            batches = stages[stage].batches(state.update, count, self._options.seed)
            loss, accuracy = self._updater.train(batches, state.update, learning_rate)
        used = self._used(done)
        if count and not math.isfinite(loss):
            if not state.best_weights:
                raise DivergedError(
                    f"The loss is {loss} after {done} updates. Lower the learning rate, now {learning_rate:g}."
                )
            state.stopped = "diverged"
            return HistoryRow(
                done, time.monotonic() - self._began, used, learning_rate, loss, math.nan, cpu_seconds=self._cpu()
            )
        if used >= 1.0:
            state.stopped = "updates" if most and done >= most else "minutes"
        elif done % recipe.evaluate_every < count and stage == len(stages) - 1:
            evaluation = self._evaluate()
        row = HistoryRow(
            done, time.monotonic() - self._began, used, learning_rate, loss, accuracy, evaluation, stage, self._cpu()
        )
        if count:
            state.history.append(row)
        return row

    def _cpu(self) -> float:
        return time.process_time() - self._cpu_began

    def _used(self, updates: int) -> float:
        """Return the used fraction of the budget: of updates or of time, the larger one."""
        of_updates = updates / self._max_updates if self._max_updates else 0.0
        minutes = self._options.minutes
        return max(of_updates, (time.monotonic() - self._began) / (60 * minutes) if minutes else 0.0)

    def _evaluate(self) -> Score | ValueScore:
        """Evaluate, keep the best weights, and decide whether to stop."""
        state, recipe = self.state, self._recipe
        scores = LazyScores(self._evaluator.score, self._data.evaluations)
        score: Score | ValueScore = scores[recipe.monitor]
        solved = self._data.problem.is_solved(scores)
        if score.loss < state.best_loss or solved:
            state.best_loss, state.best_weights, state.evaluations_since = score.loss, self._network.weights(), 0
        else:
            state.evaluations_since += 1
        if solved:
            state.stopped = "solved"
        elif self._patience and state.evaluations_since >= self._patience:
            state.stopped = "no longer improving"
        return score
