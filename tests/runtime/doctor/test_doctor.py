"""The doctor: its verdict about a file and a machine is right, and no file makes it crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import flatbuffers
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper
from support.models import DATA
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.runtime import ModelFileNotFoundError, read_model_file
from stepcell.runtime.doctor import TARGET_NAMES, as_json, as_text, diagnose, find_target
from stepcell.runtime.doctor.packages import INTERPRETERS, Target, availability, numpy_problem
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.interpreters.registry import BACKEND_NAMES, describe_backend

TFLITE, ONNX = DATA / "memory.tflite", DATA / "memory.onnx"
# The limits were measured on this one; there is none so new for Python 3.10.
NEWEST_ONNXRUNTIME = tuple(map(int, version("onnxruntime").split(".")[:2])) >= (1, 31)
PIS = [name for name in TARGET_NAMES if name != "this"]
LITERT, TFLITE_RUNTIME, *_ = INTERPRETERS
INSTALLED = {name: describe_backend(name) for name in BACKEND_NAMES}  # "ai-edge-litert 2.3.0", ...
BOTH = f"{INSTALLED['litert']} and {INSTALLED['tflite']}"


def changed_tflite(path, change, *, manifest=True):
    """Write the memory model to `path` changed by `change`, a function of the object of its schema."""
    file = read_model_file(TFLITE)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.payload, 0))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    payload = bytes(builder.Output())
    path.write_bytes(pack(payload, file.manifest, "tflite") if manifest else payload)
    return path


def with_version(name, version):
    def change(model):
        number = getattr(schema.BuiltinOperator, name)
        for code in model.operatorCodes:
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
                code.version = version

    return change


def with_operator(custom="", builtin="CUSTOM"):
    def change(model):
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, builtin)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.customCode, code.version = custom.encode() or None, 1
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes) - 1, [], []
        model.subgraphs[0].operators.append(operator)

    return change


def with_type(type):
    def change(model):
        model.subgraphs[0].tensors[-1].type = getattr(schema.TensorType, type)

    return change


def onnx_file(path, *, opset=17, ir_version=8, domain="", operator="Identity"):
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], domain=domain)], "g", value[:1], value[1:])
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = ir_version
    path.write_bytes(model.SerializeToString())
    return path


def by_backend(diagnosis):
    return {finding.interpreter.backend: finding for finding in diagnosis.findings}


@pytest.mark.tflite_runtime
@pytest.mark.parametrize(
    ("file", "verdict"), [(TFLITE, f"runs here on {BOTH}"), (ONNX, f"runs here on {INSTALLED['onnxruntime']}")]
)
def test_a_good_file_runs_here_with_its_golden_sequence_replayed_and_its_steps_timed(file, verdict):
    diagnosis = diagnose(file, find_target("this"))
    assert (diagnosis.runs, diagnosis.verdict, diagnosis.advice) == (True, verdict, ())
    for finding in diagnosis.findings:
        assert finding.smoke_test.golden_error < 1e-5
        assert 0.05 < finding.smoke_test.us_per_step < 10_000
        assert 0 < finding.smoke_test.load_ms < 10_000
        assert 20 < finding.smoke_test.resident_mb < 500
    assert as_text(diagnosis).splitlines()[0] == verdict


# What exists where: measured.md, and what was found in emulated Pi userlands.
@pytest.mark.parametrize(
    ("target", "file", "expected"),
    [
        ("pi-bookworm-64", TFLITE, {"litert": True, "tflite": True}),
        ("pi-bookworm-64", ONNX, {"onnxruntime": True}),
        ("pi-bookworm-32", TFLITE, {"litert": False, "tflite": True}),
        ("pi-bookworm-32", ONNX, {"onnxruntime": False}),
        ("pi-trixie-64", TFLITE, {"litert": True, "tflite": False}),
        ("pi-trixie-64", ONNX, {"onnxruntime": True}),
        ("pi-trixie-32", TFLITE, {"litert": False, "tflite": False}),
        ("pi-trixie-32", ONNX, {"onnxruntime": True}),
    ],
)
def test_every_pi_has_the_interpreters_that_exist_for_it(target, file, expected):
    diagnosis = diagnose(file, find_target(target))
    assert {name: finding.runs for name, finding in by_backend(diagnosis).items()} == expected | {"numpy": True}
    assert diagnosis.verdict.startswith(f"runs on {target}: ")
    assert ("numpy" in diagnosis.verdict) == (not any(expected.values()))
    assert diagnosis.advice


def test_what_to_install_depends_on_the_machine():
    def advice(target, file=TFLITE):
        return "\n".join(diagnose(file, find_target(target)).advice)

    assert advice("pi-bookworm-64") == advice("pi-trixie-64") == "pip install 'stepcell[tflite]'"
    assert "apt install python3-venv python3-numpy\n" in advice("pi-bookworm-32")
    assert "--format onnx: onnxruntime 1.21" in advice("pi-trixie-32")
    assert "apt install python3-venv python3-numpy\n" in advice("pi-trixie-32")
    assert "python3-onnxruntime" in advice("pi-trixie-32", ONNX)
    assert "--format tflite: tflite-runtime 2.14" in advice("pi-bookworm-32", ONNX)


@pytest.mark.tflite_runtime
def test_without_a_file_the_verdict_says_which_files_a_machine_can_run():
    verdicts = {name: diagnose(None, find_target(name)).verdict for name in TARGET_NAMES}
    assert verdicts["this"] == (
        f"this machine steps .tflite files on {BOTH}, .onnx files on {INSTALLED['onnxruntime']}"
    )
    assert verdicts["pi-trixie-32"] == "pi-trixie-32 steps .tflite files on numpy 2.2, .onnx files on onnxruntime 1.21"
    assert verdicts["pi-bookworm-32"] == (
        "pi-bookworm-32 steps .tflite files on tflite-runtime 2.14, .onnx files on numpy 1.24"
    )


@pytest.mark.tflite_runtime
def test_an_operator_too_new_for_tflite_runtime_is_named_with_its_version(tmp_path):
    path = changed_tflite(tmp_path / "new.tflite", with_version("FULLY_CONNECTED", 12))
    found = by_backend(diagnose(path, find_target("pi-bookworm-64")))
    assert found["tflite"].problems == ("FULLY_CONNECTED version 12: it has versions up to 10",)
    assert found["litert"].runs
    assert diagnose(path, find_target("pi-bookworm-64")).advice == ("pip install 'stepcell[litert]'",)
    diagnosis = diagnose(path, find_target("pi-bookworm-32"))
    assert diagnosis.verdict == "runs on pi-bookworm-32: numpy 1.24"
    assert "tflite-runtime 2.14: FULLY_CONNECTED version 12: it has versions up to 10" in as_text(diagnosis)
    here = by_backend(diagnose(path, find_target("this")))
    assert here["litert"].runs
    assert here["tflite"].problems[0] == "FULLY_CONNECTED version 12: it has versions up to 10"
    assert "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'" in here["tflite"].problems[1]


@pytest.mark.tflite_runtime
@pytest.mark.parametrize("version", [10, 11])
def test_the_table_of_versions_agrees_with_what_tflite_runtime_does(version, tmp_path):
    path = changed_tflite(tmp_path / "model.tflite", with_version("FULLY_CONNECTED", version))
    elsewhere = by_backend(diagnose(path, find_target("pi-bookworm-64")))["tflite"]
    here = by_backend(diagnose(path, find_target("this")))["tflite"]
    assert elsewhere.takes_it == here.takes_it == (version == 10)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (with_operator("FlexTensorListReserve"), "it needs TensorFlow for FlexTensorListReserve"),
        (with_operator(builtin="VAR_HANDLE"), "keeps its state inside (VAR_HANDLE)"),
        (with_operator("MyOperator"), "the custom operator 'MyOperator', which it does not have"),
        (with_type("INT4"), "tflite-runtime 2.14: int4 weights, on which it crashes"),
        (with_type("BFLOAT16"), "tensors of type bfloat16, which it does not know"),
        (with_operator(builtin="STABLEHLO_TANH"), "STABLEHLO_TANH version 1: it does not have it"),
    ],
    ids=["flex", "variables", "custom", "int4", "bfloat16", "unknown"],
)
def test_operators_and_types_that_an_interpreter_does_not_have_are_named(change, problem, tmp_path):
    diagnosis = diagnose(changed_tflite(tmp_path / "model.tflite", change), find_target("pi-bookworm-32"))
    assert diagnosis.problems or not by_backend(diagnosis)["tflite"].takes_it
    assert problem in as_text(diagnosis)
    assert problem.removeprefix("tflite-runtime 2.14: ") in json.dumps(as_json(diagnosis), ensure_ascii=False)


def test_weights_that_tflite_runtime_reads_wrongly_are_noticed(tmp_path):
    def per_channel(model):
        graph = model.subgraphs[0]
        number = schema.BuiltinOperator.FULLY_CONNECTED
        codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
        operator = next(one for one in graph.operators if codes[one.opcodeIndex] == number)
        weights = graph.tensors[operator.inputs[1]]
        weights.type = schema.TensorType.INT8
        weights.quantization = schema.QuantizationParametersT()
        weights.quantization.scale = [0.1] * weights.shape[0]

    path = changed_tflite(tmp_path / "model.tflite", per_channel)
    assert "answers garbage" in " ".join(by_backend(diagnose(path, find_target("pi-bookworm-32")))["tflite"].problems)


@pytest.mark.parametrize(
    ("options", "target", "problem"),
    [
        ({"opset": 23}, "pi-trixie-32", "opset 23: it takes up to 22"),
        ({"ir_version": 11}, "pi-trixie-32", "IR version 11: it takes up to 10"),
        ({"ir_version": 14}, "pi-trixie-64", "IR version 14: it takes up to 13"),
        ({"ir_version": 99}, "this", "IR version 99: it takes up to 1"),
        ({"domain": "my.own"}, "pi-bookworm-64", "operators that it does not have: my.own.Identity"),
        ({"domain": "my.own"}, "this", "operators that it does not have: my.own.Identity"),
    ],
)
def test_an_onnx_file_too_new_or_with_operators_of_its_own_is_not_taken(options, target, problem, tmp_path):
    diagnosis = diagnose(onnx_file(tmp_path / "model.onnx", **options), find_target(target))
    assert not diagnosis.runs
    assert problem in as_text(diagnosis)


def test_the_limits_of_onnxruntime_are_where_it_stops(tmp_path):
    for options, taken in (({"opset": 26}, True), ({"opset": 27}, False), ({"ir_version": 13}, True)):
        path = onnx_file(tmp_path / "model.onnx", **options)
        for target in ("this", "pi-trixie-64") if NEWEST_ONNXRUNTIME else ("pi-trixie-64",):
            assert by_backend(diagnose(path, find_target(target)))["onnxruntime"].takes_it == taken


@pytest.mark.tflite_runtime
def test_a_file_without_a_manifest_is_described_and_tried_but_does_not_run(tmp_path):
    path = tmp_path / "keyword.tflite"
    path.write_bytes(read_model_file(TFLITE).payload)
    diagnosis = diagnose(path, find_target("this"))
    assert not diagnosis.runs
    assert "keyword.tflite carries no stepcell manifest" in diagnosis.verdict
    assert f"({BOTH} load its graph)" in diagnosis.verdict
    assert "graph   input  symbol: int32 [-1]" in as_text(diagnosis)
    assert "graph   output next_h0: float32 [-1, 20]" in as_text(diagnosis)


def test_a_graph_that_would_crash_an_interpreter_is_not_given_to_one(tmp_path):
    file = read_model_file(TFLITE)
    path = tmp_path / "model.tflite"
    cut = file.payload[: len(file.payload) // 2]  # sha256 and manifest are right, as if it had been exported so
    path.write_bytes(pack(cut, file.manifest, "tflite"))
    diagnosis = diagnose(path, find_target("this"))
    assert not diagnosis.runs
    assert "its graph cannot be read" in diagnosis.verdict
    assert diagnosis.findings == ()


def test_a_crash_of_an_interpreter_is_reported_as_the_signal_that_ended_its_process(tmp_path, monkeypatch):
    fake = tmp_path / "onnxruntime.py"
    fake.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    diagnosis = diagnose(ONNX, find_target("this"))
    assert diagnosis.verdict == f"runs here on {INSTALLED['numpy']}"
    assert by_backend(diagnosis)["onnxruntime"].reasons() == [f"{INSTALLED['onnxruntime']}: crashed (signal 11)"]


@pytest.mark.parametrize("name", ["memory.tflite", "memory.onnx"])
def test_damaged_files_end_in_a_diagnosis(name, tmp_path):
    content = (DATA / name).read_bytes()
    target = find_target("pi-bookworm-64")
    path = tmp_path / name
    for place in range(0, len(content), len(content) // 40):
        flipped = bytearray(content)
        flipped[place] ^= 0xFF
        for damaged in (content[:place], bytes(flipped)):
            path.write_bytes(damaged)
            diagnosis = diagnose(path, target)
            assert not diagnosis.runs
            assert as_text(diagnosis)


def test_a_file_that_is_no_model_is_said_to_be_none(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff")
    assert diagnose(path, find_target("this")).verdict.startswith(
        "does not run here: photo.jpg is neither a TFLite nor an ONNX file"
    )
    with pytest.raises(ModelFileNotFoundError):
        diagnose(tmp_path / "nothing.tflite", find_target("this"))


@pytest.mark.parametrize(
    ("change", "interpreter", "missing"),
    [
        ({"glibc": None}, LITERT, "ai-edge-litert has no wheels for a C library other than glibc"),
        ({"glibc": (2, 31)}, TFLITE_RUNTIME, "tflite-runtime has no wheels for glibc below 2.34"),
        ({"machine": "armv6l"}, TFLITE_RUNTIME, "tflite-runtime has no wheels for armv6l"),
        ({"machine": "riscv64", "python": (3, 14)}, TFLITE_RUNTIME, "for riscv64 or for Python 3.14"),
        ({"system": "darwin"}, TFLITE_RUNTIME, "tflite-runtime has wheels for Linux alone"),
    ],
)
def test_a_machine_for_which_there_is_no_wheel_is_told_why(change, interpreter, missing):
    target = replace(find_target("pi-bookworm-64"), apt={}, **change)
    assert missing in availability(interpreter, target).missing


def test_numpy_2_is_named_as_the_reason_why_tflite_runtime_fails():
    target = Target("this", "this machine", (3, 11), "x86_64", (2, 36), numpy="2.2.1")
    assert "here is numpy 2.2.1: pip install 'numpy<2'" in numpy_problem(TFLITE_RUNTIME, target)
    assert numpy_problem(TFLITE_RUNTIME, replace(target, numpy="1.26.4")) == ""
    assert numpy_problem(LITERT, target) == ""


def test_a_python_too_old_for_stepcell_is_named_first():
    bullseye = replace(find_target("pi-bookworm-64"), name="bullseye", python=(3, 9), glibc=(2, 31))
    assert diagnose(TFLITE, bullseye).verdict == ("does not run on bullseye: stepcell needs Python 3.10, there is 3.9")


def test_numpy_alone_does_where_nothing_else_is_installed(monkeypatch):
    monkeypatch.setattr("stepcell.runtime.doctor.diagnosis.is_installed", lambda backend: backend == "numpy")
    diagnosis = diagnose(TFLITE, find_target("this"))
    assert diagnosis.verdict == f"runs here on {INSTALLED['numpy']}"
    assert diagnosis.advice == ("pip install 'stepcell[tflite]'",)


def test_operators_that_numpy_does_not_know_are_named(tmp_path):
    path = onnx_file(tmp_path / "model.onnx", operator="Sin")
    found = by_backend(diagnose(path, find_target("pi-bookworm-32")))
    assert found["numpy"].problems == ("it does not know the operators Sin",)


def test_the_command_prints_the_verdict_first_and_exits_with_it(tmp_path):
    path = changed_tflite(tmp_path / "model.tflite", with_operator("FlexOperator"))
    result = CliRunner().invoke(app, ["doctor", str(path), "--target", "pi-trixie-32"])
    assert result.exit_code == 1
    assert result.stdout.startswith("does not run on pi-trixie-32: ")
    result = CliRunner().invoke(app, ["doctor", str(ONNX), "--target", "pi-trixie-32", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["runs"] is True


@pytest.mark.tflite_runtime
def test_the_doctor_needs_nothing_but_numpy_and_an_interpreter(tmp_path):
    # A Python that cannot import packages that `stepcell[tflite]` does not install.
    blocked = ("tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert", "tf2onnx", "flatbuffers", "google")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    code = "import sys; from stepcell.cli import app; app(sys.argv[1:])"
    result = subprocess.run(
        [sys.executable, "-c", code, "doctor", str(TFLITE)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert result.stderr == ""
    assert result.stdout.splitlines()[0] == f"runs here on {INSTALLED['tflite']}"


def test_the_checked_in_onnx_file_keeps_to_what_every_supported_onnxruntime_takes():
    model = onnx.load(ONNX)
    assert (model.ir_version, model.opset_import[0].version) <= (10, 22)
