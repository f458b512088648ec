"""C of random steps: all kinds of operations, joined, in place, in memory that is used again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.random_steps import RandomStep

from stepcell.export.c.arithmetic import EXACT, Arithmetic, changed_program, run_program
from stepcell.export.c.compiler import CompiledStep
from stepcell.export.c.source import print_source
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.interpreters.numpy_engine import build_program
from stepcell.runtime.interpreters.step_plan.plan import plan_program
from stepcell.runtime.worker.messages import RunSpec

STEPS = 6


def check(step: RandomStep, folder, arithmetic=EXACT, allowed=1e-5) -> None:
    """Compare the C of a step with its numpy calls."""
    calculation, manifest = step.calculation(), step.manifest()
    shapes = {name: source.shape for name, source in calculation.inputs.items()}
    features = {"x": np.random.default_rng(1).normal(size=(STEPS, 6)).astype(np.float32)}
    spec = RunSpec(Inputs(np.zeros(STEPS, np.int32), features), initial_state(manifest.state))
    right = run_program(changed_program(build_program(calculation, shapes), arithmetic, rounds=True), manifest, spec)
    plan = plan_program(build_program(calculation, shapes, merge=False), manifest, int8=arithmetic.int8)
    source = print_source(plan, manifest, "step", arithmetic)
    found = CompiledStep(source, manifest, folder, ["-O0"]).trace(spec)
    assert np.abs(found.probabilities - right.probabilities).max() < allowed
    for name, values in right.states.items():
        assert np.abs(found.states[name] - values).max() < allowed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("steps")


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data(), count=st.integers(3, 12), seed=st.integers(0, 99))
def test_c_of_a_random_step_answers_as_numpy_does(data, count, seed, folder):
    check(RandomStep(lambda options: data.draw(st.sampled_from(list(options))), count, seed), folder)


@pytest.mark.slow
def test_c_of_many_random_steps_answers_as_numpy_does(folder):
    for seed in range(60):
        random = np.random.default_rng(seed)
        check(RandomStep(lambda options, r=random: list(options)[r.integers(len(list(options)))], 14, seed), folder)


@pytest.mark.slow
def test_c_of_random_steps_rounds_as_numpy_does(folder):
    for seed in range(100, 130):
        random = np.random.default_rng(seed)
        step = RandomStep(lambda options, r=random: list(options)[r.integers(len(list(options)))], 14, seed)
        check(step, folder, Arithmetic(int8=True, tables=seed % 2 == 0), allowed=1e-3)
