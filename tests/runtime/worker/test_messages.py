"""Run specifications and results go from one process to another unchanged."""

import ast

import numpy as np
import pytest

from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.worker.messages import RunResult, RunSpec


@pytest.fixture
def no_syntax_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be parsed as Python: on 3.11 that fails, now and then, in a thread beside another that does."""

    def refuse(*_: object, **__: object) -> None:
        raise SystemError("AST constructor recursion depth mismatch")

    monkeypatch.setattr(ast, "parse", refuse)


def _same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == array.dtype and found[name].shape == array.shape and np.array_equal(found[name], array)
        for name, array in expected.items()
    )


@pytest.mark.usefixtures("no_syntax_trees")
def test_a_run_spec_is_read_as_it_was_written_and_without_a_syntax_tree() -> None:
    random = np.random.default_rng(0)
    features = {"temperature": random.normal(size=(7, 2)).astype(np.float32), "door": np.arange(7, dtype=np.int32)}
    state = {"h0": random.normal(size=(1, 3)).astype(np.float32), "queue0": np.zeros((1, 0, 4), np.float32)}
    kept = np.array([0, 3, 6], np.int32)
    spec = RunSpec(Inputs(np.arange(7, dtype=np.int32), features), state, each=True, kept=kept)
    read = RunSpec.from_bytes(spec.to_bytes())
    assert (read.each, read.after_reset) == (True, False)
    assert np.array_equal(read.kept_steps, kept)
    assert RunSpec.from_bytes(RunSpec(spec.inputs, state).to_bytes()).kept is None
    assert np.array_equal(read.inputs.ids, spec.inputs.ids)
    assert _same(dict(read.inputs.features), features)
    assert _same(dict(read.state), state)


@pytest.mark.usefixtures("no_syntax_trees")
@pytest.mark.parametrize("microseconds", [None, 1.5])
def test_a_run_result_is_read_as_it_was_written_and_without_a_syntax_tree(microseconds: float | None) -> None:
    random = np.random.default_rng(1)
    answers, other = random.random((5, 4)), random.random((5, 2)).astype(np.float32)
    states = {"h0": random.normal(size=(2, 3)), "c0": random.normal(size=(2, 3))[:, ::-1]}
    alternate = RunResult(answers.astype(np.float32), {"h0": np.full((1, 3), np.nan)})
    written = RunResult(answers, states, microseconds, {"alarm": other}, {"a batch": alternate})
    read = RunResult.from_bytes(written.to_bytes())
    assert read.microseconds == microseconds
    assert _same({"main": read.probabilities}, {"main": answers})
    assert _same(dict(read.states), states)
    assert _same(dict(read.extra_outputs), {"alarm": other})
    assert np.isnan(read.alternates["a batch"].states["h0"]).all()
    assert _same({"": read.alternates["a batch"].probabilities}, {"": alternate.probabilities})
    read.states["h0"][:] = 0  # an array of its own
