"""C with int8 weights, and with tables for cores without FPU."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from support.models import DATA, path_of
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export.c import tables
from stepcell.export.c.arithmetic import Arithmetic, exact_program, rounded_program, run_program
from stepcell.export.c.compiler import SANITIZED, CompiledStep, find_compiler
from stepcell.export.c.kernels import kernels_text
from stepcell.export.c.prove import prove_source
from stepcell.export.c.source import c_source, print_source
from stepcell.export.c.write import write_c
from stepcell.runtime import OptionError, read_model_file
from stepcell.runtime.common.errors import ParityError
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.interpreters.numpy_engine import Calculation, build_program
from stepcell.runtime.interpreters.numpy_engine.graph import Operation, Source
from stepcell.runtime.interpreters.step_plan.int8 import to_int8
from stepcell.runtime.interpreters.step_plan.plan import plan_program
from stepcell.runtime.worker.messages import RunSpec

from .test_c import CODES, inputs_of, run_c

INT8, NO_FPU, BOTH = Arithmetic(int8=True), Arithmetic(tables=True), Arithmetic(int8=True, tables=True)
MEMORY = DATA / "memory.tflite"


@pytest.mark.parametrize(
    ("name", "arithmetic"),
    [
        ("stack", BOTH),
        ("gru", INT8),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("stack", NO_FPU), ("wide", BOTH), ("window", INT8))
        ),
    ],
)
def test_c_answers_as_numpy_does_with_the_same_rounding(tmp_path, name, arithmetic):
    file = read_model_file(path_of(name, "onnx"))
    spec = RunSpec(inputs_of(file.manifest), initial_state(file.manifest.state))
    source = c_source(file, "cell", arithmetic)
    found = CompiledStep(source, file.manifest, tmp_path, SANITIZED).trace(spec)
    right, rounded = (
        run_program(program(file, arithmetic), file.manifest, spec).probabilities
        for program in (exact_program, rounded_program)
    )
    assert np.abs(rounded - right).max() < 2e-4
    assert np.abs(found.probabilities - right).max() < 2 * np.abs(rounded - right).max() + 1e-6


def test_the_self_test_has_the_tolerance_of_int8_files(tmp_path):
    source = c_source(read_model_file(path_of("stack", "tflite")), "cell", BOTH)
    main = '\n#include <stdio.h>\nint main(void) { printf("%g\\n", (double)cell_selftest()); return 0; }\n'
    assert 1e-5 < float(run_c(tmp_path, source, main)[0]) < source.tolerance
    assert 1e-3 <= source.tolerance < 1e-2
    assert f"error <= {source.tolerance}" in source.body


@pytest.mark.parametrize("arithmetic", [INT8, BOTH])
def test_what_is_not_finite_is_refused_and_nothing_moves(tmp_path, arithmetic):
    source = c_source(read_model_file(MEMORY), "memory", arithmetic)
    codes = CODES.replace("state.c0[3] = NAN;", "state.h0[3] = INFINITY;") if arithmetic.int8 else CODES
    assert run_c(tmp_path, source, codes, SANITIZED) == ["-1", "-1", "0", "-2", "0", "1"]


def test_sums_of_the_largest_numbers_do_not_overflow(tmp_path):
    rows = 3000
    base = read_model_file(path_of("sensor", "tflite")).manifest
    feature = replace(base.features[0], shape=(rows,))
    operations = (
        Operation("matmul", ("x", "w"), ("y",), {}, "MATMUL"),
        *(Operation("multiply", (each.name, "one"), (each.next,), {}, "MUL") for each in base.state),
    )
    inputs = {feature.name: Source("x", "float32", (1, rows))}
    inputs |= {each.name: Source(each.name, "float32", (1, *each.shape)) for each in base.state}
    outputs = {base.answer: "y", **{each.next: each.next for each in base.state}}
    weights = np.ones((rows, base.output_size), np.float32)
    weights[:, 1:] *= -1
    calculation = Calculation(inputs, outputs, {"w": weights, "one": np.float32(0.5)}, operations)
    shapes = {name: source.shape for name, source in inputs.items()}
    runs = [replace(run, features={feature.name: ((0.0,) * rows,) * len(run.ids)}) for run in base.golden.runs]
    manifest = replace(base, features=(feature,), golden=replace(base.golden, runs=tuple(runs)))
    source = print_source(
        plan_program(build_program(calculation, shapes, merge=False), manifest, int8=True), manifest, "sums", INT8
    )
    spec = RunSpec(inputs_of(manifest, 2), initial_state(manifest.state))
    spec.inputs.features[feature.name][0] = 1e30
    spec.inputs.features[feature.name][1] = 1e-40
    found = CompiledStep(source, manifest, tmp_path, SANITIZED).trace(spec).probabilities
    assert np.abs(found[0, 0] / (rows * 1e30) - 1) < 1e-5
    assert np.abs(found[0, 1:] / (rows * 1e30) + 1).max(initial=0) < 1e-5
    assert (np.abs(found[1]) < 1e-30).all()


MISWIRED = [
    ("(float)b * (back * scales[j + 1])", "(float)b * (back * scales[j])"),  # the scale of another column
    ("memory_row8(memory_t0 + (size_t)symbol * 80", "memory_row8(memory_t0"),
    ("x[i] * to +", "x[i] * to * 0.9f +"),
    ("memory_curve(x, 94208.0f)", "memory_curve(x, 188416.0f)"),
    ("+ (uint32_t)(entry[1] - entry[0]) * (at % 4096)", ""),  # steps in the place of lines
    ("state->c0[i] = work->f[20 + i];", "(void)0;"),
]


def refused(tmp_path, right, wrong):
    source = c_source(read_model_file(MEMORY), "memory", BOTH)
    assert right in source.body
    broken = replace(source, body=source.body.replace(right, wrong))
    with pytest.raises(ParityError, match=r"answers otherwise than the file[\s\S]*int8 weights, each"):
        prove_source(broken, MEMORY, tmp_path, steps=100, backends=["numpy"])


def test_c_with_the_scale_of_another_column_is_refused(tmp_path):
    refused(tmp_path, *MISWIRED[0])


@pytest.mark.slow
@pytest.mark.parametrize(("right", "wrong"), MISWIRED[1:])
def test_c_that_rounds_otherwise_than_it_says_is_refused(tmp_path, right, wrong):
    refused(tmp_path, right, wrong)


@pytest.mark.slow
def test_answers_that_change_more_than_those_of_an_int8_file_are_refused_unless_it_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr("stepcell.export.c.arithmetic.to_int8", coarse)
    monkeypatch.setattr("stepcell.runtime.interpreters.step_plan.int8.to_int8", coarse)
    source = c_source(read_model_file(MEMORY), "memory", INT8)
    with pytest.raises(ParityError, match=r"the NLL changes by [\s\S]*Leave out --quantize int8, or have it"):
        prove_source(source, MEMORY, tmp_path, steps=400, backends=["numpy"])
    results = prove_source(source, MEMORY, tmp_path, steps=400, backends=["numpy"], allow_inaccurate=True)
    assert any(each.missed for each in results)


def coarse(weights):
    found = to_int8(weights)
    return replace(found, numbers=(found.numbers // 32 * 32).astype(np.int8))


@pytest.mark.slow
def test_files_with_int8_weights_are_written_after_their_proof(tmp_path):
    written = write_c(path_of("lstm40.int8", "tflite"), tmp_path, name="cell", quantize="int8", fpu=False, steps=200)
    assert all(each.holds for each in written.comparisons)
    assert "static const int8_t cell_w" in (tmp_path / "cell.c").read_text()


def test_a_precision_that_c_does_not_have_is_refused(tmp_path):
    with pytest.raises(OptionError, match="'int4'"):
        write_c(MEMORY, tmp_path / "out", quantize="int4")
    assert not (tmp_path / "out").exists()


def test_the_command_takes_both_options_and_says_what_they_take(tmp_path):
    options = ["--quantize", "int8", "--no-fpu", "--single-header", "--unproven", "--out", str(tmp_path), "--json"]
    done = CliRunner().invoke(app, ["c", str(MEMORY), *options])
    assert done.exit_code == 0, done.output
    constants = 20 * 80 + 20 * 8 + 5 * 80 + 4 * (80 + 5 + 80 + 5)
    tables_of_functions = 2 * 257 + 2 * 65
    assert json.loads(done.stdout)["bytes"] == {"constants": constants + tables_of_functions, "state": 160, "work": 360}


def test_without_a_floating_point_unit_the_check_is_one_of_bits():
    body = c_source(read_model_file(MEMORY), "memory", NO_FPU).body
    step = body[body.index("int memory_step") : body.index("float memory_selftest")]
    assert "check |= memory_not_finite(v" in step
    assert not re.search(r"\* 0\.0f", step)


KERNELS = """
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
%s
int main(void)
{
    for (int i = -200000; i <= 200000; i++) {
        const float x = (float)i * 0.0005f;
        const float found[3] = {m_tanh(x), m_logistic(x), m_exp(i > 0 ? -x : x)};
        fwrite(found, sizeof found, 1, stdout);
    }
    const float rare[5] = {NAN, INFINITY, -INFINITY, 1e-40f, -3e38f};
    for (int i = 0; i < 5; i++) {
        const float found[3] = {m_tanh(rare[i]), m_logistic(rare[i]), m_exp(i == 1 || i == 3 ? -rare[i] : rare[i])};
        fwrite(found, sizeof found, 1, stdout);
    }
    return 0;
}
"""


def test_tables_are_as_exact_as_they_say_and_the_same_in_numpy(tmp_path):
    text = kernels_text({"tanh", "logistic", "exp"}, "m", tables=True)
    (tmp_path / "main.c").write_text(KERNELS % text)
    find_compiler().compile(tmp_path / "main.c", tmp_path / "main", SANITIZED)
    printed = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout
    found = np.frombuffer(printed, np.float32).reshape(-1, 3)
    x = (np.arange(-200000, 200001).astype(np.float32) * np.float32(0.0005)).astype(np.float64)
    regular, rare = found[:-5], found[-5:]
    power = np.exp(-np.abs(x))
    assert np.abs(regular[:, 0] - np.tanh(x)).max() < tables.TANH_ERROR
    assert np.abs(regular[:, 1] - 1 / (1 + np.exp(-x))).max() < tables.LOGISTIC_ERROR
    kept = np.abs(x) < 87
    assert (np.abs(regular[:, 2] / power - 1)[kept]).max() < tables.EXP_ERROR
    assert np.abs(regular[:, 0] - tables.tanh(x)).max() < 6e-6  # a step of the way between two numbers
    assert np.abs(regular[:, 1] - tables.logistic(x)).max() < 6e-6
    assert np.abs(regular[kept, 2] / tables.exp(-np.abs(x[kept])) - 1).max() < 2e-5
    assert np.isnan(rare[0]).all()
    assert rare[1:].tolist() == [[1, 1, 0], [-1, 0, 0], [0, 0.5, 1], [-1, 0, 0]]
