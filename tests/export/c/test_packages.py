"""Libraries for Arduino, PlatformIO, Zephyr and ESP-IDF."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from support.models import DATA, path_of

from stepcell.export.c.compiler import find_compiler
from stepcell.export.c.packages import PACKAGES
from stepcell.export.c.write import write_c
from stepcell.runtime import OptionError

# What the sketch uses of Arduino, and nothing else.
ARDUINO = """
#include <stdio.h>
#include <stdint.h>
struct SerialPort {
    void begin(long) {}
    void print(const char *text) { printf("%s", text); }
    void print(int number) { printf("%d", number); }
    void println(float number, int digits) { printf("%.*f\\n", digits, (double)number); }
};
static SerialPort Serial;
static void delay(int) {}
"""
RUN = "\nint main() { setup(); for (int i = 0; i < 3; i++) loop(); }\n"


def package(folder, kind, model="memory"):
    written = write_c(path_of(model, "tflite"), folder, name="cell", package=kind, proven=False)
    return {str(path.relative_to(folder)): path for path in written.files}


def compiled(folder, *sources, includes=(), language="c"):
    compiler = find_compiler().path
    options = [f"-I{each}" for each in includes] + ["-Wall", "-Werror"]
    objects = []
    for number, source in enumerate(sources):
        target = folder / f"{number}.o"
        kind = "c" if source.suffix == ".c" else "c++"
        subprocess.run([compiler, "-x", kind, *options, "-c", str(source), "-o", str(target)], check=True)
        objects.append(str(target))
    program = folder / "program"
    subprocess.run([compiler, *objects, "-lstdc++", "-lm", "-o", str(program)], check=True)
    return subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("model", ["memory", "wide", "sensor"])
@pytest.mark.parametrize(
    ("kind", "sketch"), [("arduino", "examples/step/step.ino"), ("platformio", "examples/step/main.cpp")]
)
def test_a_sketch_compiles_and_steps(tmp_path, kind, sketch, model):
    files = package(tmp_path, kind, model)
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    main = tmp_path / "main.cpp"
    main.write_text(
        '#include "Arduino.h"\n' + files[f"cell/{sketch}"].read_text().replace("<Arduino.h>", '"Arduino.h"') + RUN
    )
    (tmp_path / "Arduino.h").write_text("#pragma once\n" + ARDUINO)
    lines = compiled(tmp_path, main, files["cell/src/cell.c"], includes=[tmp_path / "cell/src", tmp_path])
    assert float(lines[0].split(":")[1]) < 1e-5
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("kind", "main", "code", "include"),
    [
        ("zephyr", "samples/step/src/main.c", "src/cell.c", "include"),
        ("esp-idf", "examples/step/main/main.c", "cell.c", "."),
    ],
)
def test_a_program_compiles_and_steps(tmp_path, kind, main, code, include):
    files = package(tmp_path, kind)
    program = tmp_path / "main.c"
    text = files[f"cell/{main}"].read_text()
    program.write_text(text + ("\nint main(void) { app_main(); return 0; }\n" if "app_main" in text else ""))
    lines = compiled(tmp_path, program, files[f"cell/{code}"], includes=[tmp_path / "cell" / include])
    assert len(lines) == 11


def test_the_library_of_arduino_has_the_fields_that_it_must_have(tmp_path):
    text = package(tmp_path, "arduino")["cell/library.properties"].read_text()
    fields = dict(line.split("=", 1) for line in text.splitlines())
    wanted = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
    assert wanted <= fields.keys()
    assert re.fullmatch(r"\d+\.\d+\.\d+", fields["version"])
    assert fields["category"] in ("Data Processing", "Other", "Signal Input/Output", "Sensors")


def test_the_library_of_platformio_has_the_fields_that_it_must_have(tmp_path):
    library = json.loads(package(tmp_path, "platformio")["cell/library.json"].read_text())
    assert re.fullmatch(r"[a-zA-Z0-9 _-]+", library["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", library["version"])
    assert {"description", "keywords", "frameworks", "platforms"} <= library.keys()
    assert all((tmp_path / "cell" / each["base"] / each["files"][0]).exists() for each in library["examples"])


def test_the_others_have_their_description_and_build_files(tmp_path):
    zephyr, idf = package(tmp_path / "z", "zephyr"), package(tmp_path / "i", "esp-idf")
    assert zephyr["cell/zephyr/module.yml"].read_text() == "name: cell\nbuild:\n  cmake: .\n"
    assert "zephyr_library_sources(src/cell.c)" in zephyr["cell/CMakeLists.txt"].read_text()
    assert 'idf_component_register(SRCS "cell.c"' in idf["cell/CMakeLists.txt"].read_text()
    assert re.search(r'^version: "\d+\.\d+\.\d+"$', idf["cell/idf_component.yml"].read_text(), re.M)


def test_a_package_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(OptionError, match=", ".join(PACKAGES)):
        write_c(DATA / "memory.tflite", tmp_path, package="mbed")
    with pytest.raises(OptionError, match="single_header, package"):
        write_c(DATA / "memory.tflite", tmp_path, package="arduino", single_header=True)
