"""C that is printed from model files, compiled and stepped."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import ADOPTED, DATA, path_of

from stepcell.export.c.compiler import SANITIZED, CompiledStep, find_compiler
from stepcell.export.c.prove import prove_source
from stepcell.export.c.source import c_source
from stepcell.export.c.write import write_c
from stepcell.runtime import OptionError, load, read_model_file
from stepcell.runtime.common.errors import CompilerError, NotSteppableError, ParityError
from stepcell.runtime.format.tensor_specs import AnswerTimes, Inputs
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.streams.raw_state import pack_raw_state, unpack_raw_state
from stepcell.runtime.worker.messages import RunSpec

STEPS = 60
MODELS = ["lstm", "three_lstm", "gru", "gru_reset_before", "started", "labelled", "sigmoid", "stack", "masked",
          "window", "convolution", "wide", "vectors", "sensor"]  # fmt: skip


def inputs_of(manifest, steps=STEPS, seed=1):
    random = np.random.default_rng(seed)
    features = {
        each.name: random.normal(size=(steps, *each.shape)).astype(np.float32)
        if each.ids is None
        else random.integers(0, each.ids, steps).astype(np.int32)
        for each in manifest.features
    }
    return Inputs(random.integers(0, max(len(manifest.vocabulary), 1), steps).astype(np.int32), features)


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("name", MODELS)
def test_c_answers_as_the_file_does(tmp_path, name, format):
    path = path_of(name, format)
    file = read_model_file(path)
    inputs = inputs_of(file.manifest)
    compiled = CompiledStep(c_source(file, name), file.manifest, tmp_path, ["-O1"])
    found = compiled.trace(RunSpec(inputs, initial_state(file.manifest.state)))
    stream = load(path, backend="numpy").stream()
    symbols = [file.manifest.vocabulary.symbols[id] for id in inputs.ids] if len(file.manifest.vocabulary) else None
    right = stream.run(symbols, inputs.features or None)
    assert np.abs(found.probabilities - right).max() < 2e-6
    for tensor, values in stream.state.items():
        assert np.abs(found.states[tensor][-1] - values[0]).max() < 2e-6


def test_no_sanitizer_has_anything_to_say_of_a_step(tmp_path):
    file = read_model_file(path_of("stack", "tflite"))
    compiled = CompiledStep(c_source(file, "stack"), file.manifest, tmp_path, SANITIZED)
    assert compiled.trace(RunSpec(inputs_of(file.manifest), initial_state(file.manifest.state))).microseconds > 0


def run_c(tmp_path, source, main, options=()):
    """Compile `main` around printed functions; return what it prints."""
    (tmp_path / f"{source.name}.h").write_text(source.header)
    (tmp_path / "main.c").write_text(source.body + main)
    command = [find_compiler().path, "-std=c99", "-Wall", "-Werror", *options, str(tmp_path / "main.c"), "-lm", "-o"]
    subprocess.run([*command, str(tmp_path / "main")], check=True, cwd=tmp_path)
    return subprocess.run([str(tmp_path / "main")], check=True, capture_output=True, text=True).stdout.split()


CODES = """
#include <stdio.h>
int main(void)
{
    static memory_state state, before;
    static memory_work work;
    float probabilities[memory_OUTPUTS];
    memory_reset(&state);
    memory_step(&state, &work, 1, probabilities);
    before = state;
    printf("%d ", memory_step(&state, &work, -1, probabilities));
    printf("%d ", memory_step(&state, &work, memory_SYMBOLS, probabilities));
    printf("%d ", memcmp(&state, &before, sizeof state));
    state.c0[3] = NAN;
    before = state;
    printf("%d ", memory_step(&state, &work, 2, probabilities));
    printf("%d ", memcmp(&state, &before, sizeof state));
    printf("%s\\n", memory_symbols[1]);
    return 0;
}
"""


def test_a_wrong_id_and_a_state_that_is_not_finite_are_refused_and_nothing_moves(tmp_path):
    source = c_source(read_model_file(DATA / "memory.tflite"), "memory")
    assert run_c(tmp_path, source, CODES) == ["-1", "-1", "0", "-2", "0", "1"]


FEATURES = """
#include <stdio.h>
int main(void)
{
    static sensor_state state, before;
    static sensor_work work;
    float features[sensor_FEATURES_features] = {0.0f, 1.0f, 2.0f, 3.0f}, values[sensor_OUTPUTS];
    sensor_reset(&state);
    printf("%d ", sensor_step(&state, &work, features, values));
    before = state;
    features[2] = INFINITY;
    printf("%d ", sensor_step(&state, &work, features, values));
    printf("%d\\n", memcmp(&state, &before, sizeof state));
    return 0;
}
"""


def test_a_feature_that_is_not_finite_is_refused_and_nothing_moves(tmp_path):
    source = c_source(read_model_file(path_of("sensor", "tflite")), "sensor")
    assert run_c(tmp_path, source, FEATURES) == ["0", "-2", "0"]


def test_static_inputs_are_given_at_the_reset(tmp_path):
    path = path_of("personal", "tflite")
    main = """
#include <stdio.h>
int main(void)
{
    static cell_state state;
    static cell_work work;
    const float user[cell_STATIC_user] = {0.5f, -1.0f, 2.0f};
    float probabilities[cell_OUTPUTS];
    cell_reset(&state, user);
    for (int t = 0; t < 4; t++) cell_step(&state, &work, t, probabilities);
    for (int i = 0; i < cell_OUTPUTS; i++) printf("%.7f ", (double)probabilities[i]);
    return 0;
}
"""
    found = run_c(tmp_path, c_source(read_model_file(path), "cell"), main)
    stream = load(path, backend="numpy").stream(static={"user": [0.5, -1.0, 2.0]})
    symbols = stream.file.manifest.vocabulary.symbols[:4]
    assert np.abs(np.array(found, float) - stream.run(symbols)[-1]).max() < 2e-6


def test_two_streams_share_scratch_memory(tmp_path):
    main = """
#include <stdio.h>
int main(void)
{
    static memory_state one, two, alone;
    static memory_work work;
    float a[memory_OUTPUTS], b[memory_OUTPUTS];
    memory_reset(&one), memory_reset(&two), memory_reset(&alone);
    for (int t = 0; t < 20; t++) {
        memory_step(&one, &work, t % 5, a);
        memory_step(&two, &work, (t * 3 + 1) % 5, b);
        memory_step(&alone, &work, t % 5, b);
        if (memcmp(a, b, sizeof a) || memcmp(&one, &alone, sizeof one)) return 1;
    }
    puts("same");
    return 0;
}
"""
    assert run_c(tmp_path, c_source(read_model_file(DATA / "memory.tflite"), "memory"), main) == ["same"]


def test_the_self_test_finds_a_weight_that_is_off(tmp_path):
    source = c_source(read_model_file(DATA / "memory.tflite"), "memory")
    main = '\n#include <stdio.h>\nint main(void) { printf("%g\\n", (double)memory_selftest()); return 0; }\n'
    assert float(run_c(tmp_path, source, main)[0]) < 1e-5
    broken = replace(source, body=source.body.replace("const float v1 = v0 * state->c0[i];", "const float v1 = v0;"))
    assert broken.body != source.body
    assert float(run_c(tmp_path, broken, main)[0]) > 1e-3


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("state->h0[i] = work->f[i];", "state->h0[i] = work->f[20 + i];"),  # c in the place of h
        ("state->c0[i] = work->f[20 + i];", "(void)0;"),  # c is not carried
        ("const float v7 = memory_tanh(v6);", "const float v7 = v6;"),
    ],
)
def test_c_that_is_miswired_is_refused_with_the_runs_that_show_it(tmp_path, right, wrong):
    path = DATA / "memory.tflite"
    source = c_source(read_model_file(path), "memory")
    assert right in source.body
    broken = replace(source, body=source.body.replace(right, wrong))
    with pytest.raises(ParityError, match=r"answers otherwise than the file[\s\S]*numpy, float64, each"):
        prove_source(broken, path, tmp_path, steps=100, backends=["numpy"])


def test_a_compiler_that_refuses_is_quoted(tmp_path):
    path = DATA / "memory.tflite"
    source = c_source(read_model_file(path), "memory")
    broken = replace(source, body=source.body.replace("return 0;", "return nothing;"))
    with pytest.raises(CompilerError, match=r"refuses memory_driver.c:[\s\S]*nothing"):
        prove_source(broken, path, tmp_path, steps=100, backends=["numpy"])


def test_without_a_compiler_nothing_is_written_unless_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(CompilerError, match="no C compiler here.*--unproven"):
        write_c(DATA / "memory.tflite", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    written = write_c(DATA / "memory.tflite", tmp_path / "out", proven=False)
    assert [path.name for path in written.files] == ["memory.h", "memory.c"]
    assert written.comparisons == ()


def test_a_file_is_written_after_a_comparison_with_its_interpreters(tmp_path):
    written = write_c(path_of("lstm", "onnx"), tmp_path, name="cell", steps=300)
    assert {"numpy, float64"} < {each.runtime for each in written.comparisons}
    assert {each.start for each in written.comparisons} == {"initial", "ramp", "each"}
    assert all(each.holds for each in written.comparisons)
    assert written.source.plan.memory_use().state == 2 * 12 * 4


def test_a_single_header_is_c_and_cpp_without_a_warning(tmp_path):
    (header,) = write_c(path_of("labelled", "tflite"), tmp_path, name="cell", single_header=True, proven=False).files
    assert header.name == "cell.h"
    (tmp_path / "sketch.cpp").write_text('#include "cell.h"\nint main() { return cell_selftest() < 1e-5f ? 0 : 1; }\n')
    compiler = find_compiler().path
    for language in ("c", "c++"):
        command = [compiler, "-x", language, "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-c"]
        command += ["-std=c++11" if language == "c++" else "-std=c99", str(tmp_path / "sketch.cpp"), "-o"]
        if language == "c":
            (tmp_path / "sketch.cpp").write_text(
                '#include "cell.h"\nint main(void) { return cell_selftest() < 1e-5f ? 0 : 1; }\n'
            )
        subprocess.run([*command, str(tmp_path / "sketch.o")], check=True)


def test_the_scratch_memory_of_an_lstm_is_that_of_its_gates():
    source = c_source(read_model_file(DATA / "memory.tflite"), "memory")
    assert vars(source.plan.memory_use()) == {"constants": 8660, "state": 160, "work": 320}


@pytest.mark.parametrize("path", ADOPTED)
def test_an_adopted_file_is_proven_like_any_other(tmp_path, path):
    source = c_source(read_model_file(path), "cell")
    results = prove_source(source, path, tmp_path, steps=50, backends=["numpy"])
    assert max(each.error for each in results) < 2e-6


def test_what_has_no_c_is_named_and_nothing_is_written(tmp_path, monkeypatch):
    with pytest.raises(NotSteppableError, match="whole sequences"):
        write_c(DATA / "lstm.sequence.onnx", tmp_path / "out")
    with pytest.raises(OptionError, match="'int'"):
        write_c(DATA / "memory.tflite", tmp_path / "out", name="int")
    monkeypatch.setattr("stepcell.runtime.interpreters.numpy_engine.from_tflite.KNOWN", frozenset(["SPLIT"]))
    with pytest.raises(NotSteppableError, match="does not know the operators .*LOGISTIC"):
        write_c(DATA / "memory.tflite", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@settings(max_examples=5, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=4), min_size=7, max_size=7, unique=True))
def test_symbols_are_what_the_vocabulary_says(tmp_path_factory, symbols):
    symbols = [symbol.replace("\0", "0") + str(number) for number, symbol in enumerate(symbols)]
    file = read_model_file(path_of("lstm", "tflite"))
    vocabulary = replace(file.manifest.vocabulary, symbols=tuple(symbols), unknown=None)
    source = c_source(replace(file, manifest=replace(file.manifest, vocabulary=vocabulary)), "cell")
    main = (
        "\n#include <stdio.h>\nint main(void)\n{\n    for (int s = 0; s < cell_SYMBOLS; s++) {\n"
        '        for (int i = 0; cell_symbols[s][i]; i++) printf("%02x", (unsigned char)cell_symbols[s][i]);\n'
        '        printf("\\n");\n    }\n    return 0;\n}\n'
    )
    found = run_c(tmp_path_factory.mktemp("symbols"), source, main)
    assert [bytes.fromhex(each).decode() for each in found] == symbols


SAVING = """
#include <stdio.h>
int main(void)
{
    static memory_state state, other;
    static memory_work work;
    float probabilities[memory_OUTPUTS];
    static uint8_t bytes[memory_SAVED_BYTES];
    memory_reset(&state);
    for (int t = 0; t < 5; t++) memory_step(&state, &work, t, probabilities);
    memory_save(&state, bytes);
    for (int i = 0; i < memory_SAVED_BYTES; i++) printf("%02x", bytes[i]);
    memory_reset(&other);
    printf(" %d", memory_load(&other, bytes));
    printf(" %d", memcmp(&state, &other, sizeof state));
    bytes[0] ^= 1;
    printf(" %d", memory_load(&other, bytes));
    bytes[0] ^= 1;
    bytes[11] = 0x7f;
    bytes[10] = 0xff;
    printf(" %d %d\\n", memory_load(&other, bytes), memcmp(&state, &other, sizeof state));
    return 0;
}
"""


def test_a_state_goes_from_c_to_python_and_back(tmp_path):
    file = read_model_file(DATA / "memory.tflite")
    saved, *codes = run_c(tmp_path, c_source(file, "memory"), SAVING)
    assert codes == ["0", "0", "-3", "-2", "0"]
    stream = load(DATA / "memory.tflite", backend="numpy").stream()
    stream.absorb("01234")
    state, _ = unpack_raw_state(file, bytes.fromhex(saved))
    for name, values in stream.state.items():
        assert np.abs(values - state[name]).max() < 1e-6
    assert pack_raw_state(file, state) == bytes.fromhex(saved)


def test_c_says_at_which_steps_there_is_an_answer(tmp_path):
    file = read_model_file(DATA / "memory.tflite")
    rare = replace(file, manifest=replace(file.manifest, answers=AnswerTimes(4, 3)))
    main = """
#include <stdio.h>
int main(void)
{
    static memory_state state;
    static memory_work work;
    float probabilities[memory_OUTPUTS];
    memory_reset(&state);
    for (int t = 1; t < 12; t++) if (memory_step(&state, &work, 0, probabilities) == 0) printf("%d ", t);
    memory_reset(&state);
    printf("%d\\n", memory_step(&state, &work, 0, probabilities));
    return 0;
}
"""
    assert run_c(tmp_path, c_source(rare, "memory"), main) == ["4", "7", "10", "1"]
