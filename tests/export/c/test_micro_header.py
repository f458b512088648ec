"""The C header of a file for TensorFlow Lite Micro: positions, sizes, symbols."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from support.models import DATA

from stepcell.export.c.micro_header import micro_header
from stepcell.runtime import Vocabulary, read_model_file

FILES = ["lstm40.int8.tflm.tflite", "sensor.tflm.tflite"]


@pytest.mark.parametrize("compiler", [["cc", "-std=c99"], ["c++", "-std=c++11", "-x", "c++"]])
@pytest.mark.parametrize("name", FILES)
def test_it_compiles_as_c99_and_as_cpp11_without_warnings(tmp_path, name, compiler):
    file = read_model_file(DATA / name)
    odd = replace(file.manifest, name='a "*/ model??/', vocabulary=Vocabulary(('"', "\n", "??/", "ä")))
    for number, manifest in enumerate((file.manifest, odd if len(file.manifest.vocabulary) else file.manifest)):
        header = micro_header(replace(file, manifest=manifest))
        source = tmp_path / f"{number}.c"
        source.write_text(header + "int main(void) { return 0; }\n")
        command = [*compiler, "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable"]
        subprocess.run([*command, "-Wno-unused-const-variable", "-fsyntax-only", source], check=True)


def test_its_numbers_are_those_of_the_manifest(tmp_path):
    file = read_model_file(DATA / "lstm40.int8.tflm.tflite")
    assert file.manifest.micro.inputs == ("symbol", "h0", "c0")
    header = micro_header(file)
    for line in ("lstm40_IN_symbol = 0,", "lstm40_IN_h0 = 1,", "lstm40_IN_c0 = 2,", "lstm40_OUT_next_c0 = 2,",
                 "{lstm40_IN_c0, lstm40_OUT_next_c0},", "#define lstm40_SYMBOLS 20",
                 f"#define lstm40_ARENA_BYTES {file.manifest.micro.arena} ",
                 f"#define lstm40_GRAPH_BYTES {len(file.payload)} "):  # fmt: skip
        assert line in header


def test_a_state_that_does_not_begin_at_0_is_listed():
    file = read_model_file(DATA / "sensor.tflm.tflite")
    (h0,) = file.manifest.state
    started = replace(file.manifest, state=(replace(h0, initial=tuple(range(8))),))
    header = micro_header(replace(file, manifest=started))
    assert "static const float sensor_start_h0[8] = {" in header
    assert "sensor_start_h0: after a reset it is 0 everywhere" in micro_header(file)
