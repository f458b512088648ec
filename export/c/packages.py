"""The folders that four ecosystems expect of a library: Arduino, PlatformIO, Zephyr and ESP-IDF.

Fields and places as their documentation has them: Arduino's library specification, PlatformIO's library.json, Zephyr's
modules, the component manager of ESP-IDF.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from ... import __version__
from ...runtime.format.manifest import Manifest
from .selftest import reset_call
from .source import CSource

# An Arduino version is three numbers; so is that of stepcell.
_SENTENCE = "One step of a recurrent model with explicit state, printed as C."


def package_files(source: CSource, manifest: Manifest, kind: str) -> dict[str, str]:
    """Return path -> text of all files of a library.

    Args:
        source: The C of a model.
        manifest: That of its model file.
        kind: A key of `PACKAGES`.
    """
    return PACKAGES[kind](source, manifest)


def _arduino(source: CSource, manifest: Manifest) -> dict[str, str]:
    name = source.name
    properties = {
        "name": name,
        "version": __version__,
        "author": "stepcell",
        "maintainer": "stepcell",
        "sentence": _SENTENCE,
        "paragraph": f"Model {_plain(manifest.name)}, fingerprint {manifest.fingerprint[:16]}. No allocation.",
        "category": "Data Processing",
        "url": "https://example.org/stepcell",
        "architectures": "*",
        "includes": f"{name}.h",
    }
    return {
        f"{name}/library.properties": "".join(f"{key}={value}\n" for key, value in properties.items()),
        f"{name}/src/{name}.h": source.header,
        f"{name}/src/{name}.c": source.body,
        f"{name}/examples/step/step.ino": _sketch(source, manifest),
    }


def _platformio(source: CSource, manifest: Manifest) -> dict[str, str]:
    name = source.name
    library = {
        "name": name,
        "version": __version__,
        "description": f"{_SENTENCE} Model {_plain(manifest.name)}.",
        "keywords": ["recurrent-neural-network", "tinyml", "lstm", "gru"],
        "headers": f"{name}.h",
        "frameworks": "*",
        "platforms": "*",
        "examples": [{"name": "step", "base": "examples/step", "files": ["main.cpp"]}],
    }
    return {
        f"{name}/library.json": json.dumps(library, indent=2) + "\n",
        f"{name}/src/{name}.h": source.header,
        f"{name}/src/{name}.c": source.body,
        f"{name}/examples/step/main.cpp": "#include <Arduino.h>\n" + _sketch(source, manifest),
    }


def _zephyr(source: CSource, manifest: Manifest) -> dict[str, str]:
    name = source.name
    return {
        f"{name}/zephyr/module.yml": f"name: {name}\nbuild:\n  cmake: .\n",
        f"{name}/CMakeLists.txt": (
            f"zephyr_include_directories(include)\nzephyr_library_named({name})\nzephyr_library_sources(src/{name}.c)\n"
        ),
        f"{name}/include/{name}.h": source.header,
        f"{name}/src/{name}.c": source.body,
        f"{name}/samples/step/CMakeLists.txt": (
            "cmake_minimum_required(VERSION 3.20.0)\n"
            "list(APPEND ZEPHYR_EXTRA_MODULES ${CMAKE_CURRENT_SOURCE_DIR}/../..)\n"
            "find_package(Zephyr REQUIRED HINTS $ENV{ZEPHYR_BASE})\n"
            f"project({name}_step)\ntarget_sources(app PRIVATE src/main.c)\n"
        ),
        f"{name}/samples/step/prj.conf": "CONFIG_FPU=y\nCONFIG_CBPRINTF_FP_SUPPORT=y\n",
        f"{name}/samples/step/src/main.c": _program(source, manifest, "int main(void)", "return 0;"),
    }


def _esp_idf(source: CSource, manifest: Manifest) -> dict[str, str]:
    name = source.name
    return {
        f"{name}/CMakeLists.txt": f'idf_component_register(SRCS "{name}.c" INCLUDE_DIRS ".")\n',
        f"{name}/idf_component.yml": (
            f'version: "{__version__}"\ndescription: "{_SENTENCE}"\nurl: "https://example.org/stepcell"\n'
        ),
        f"{name}/{name}.h": source.header,
        f"{name}/{name}.c": source.body,
        f"{name}/examples/step/CMakeLists.txt": (
            "cmake_minimum_required(VERSION 3.16)\n"
            'set(EXTRA_COMPONENT_DIRS "../..")\n'
            "include($ENV{IDF_PATH}/tools/cmake/project.cmake)\n"
            f"project({name}_step)\n"
        ),
        f"{name}/examples/step/main/CMakeLists.txt": f'idf_component_register(SRCS "main.c" REQUIRES {name})\n',
        f"{name}/examples/step/main/main.c": _program(source, manifest, "void app_main(void)", ""),
    }


def _call(source: CSource) -> tuple[list[str], str]:
    """Return the buffers of a step, and the call of it for the symbol `t % SYMBOLS`."""
    n, plan = source.name, source.plan
    buffers = [f"static {'float' if view.memory.dtype == 'float32' else 'int32_t'} in{number}[{view.size}];"
               for number, view in enumerate(plan.features.values())]  # fmt: skip
    buffers += [f"static float out{number}[{view.size}];" for number, view in enumerate(plan.outputs.values())]
    if plan.static:
        buffers.append(
            f"static const float still[{max(each.before.size for each in plan.static)}] = {{0}}; /* static inputs */"
        )
    given = [f"t % {n}_SYMBOLS"] if plan.symbol else []
    given += [f"in{number}" for number in range(len(plan.features))]
    given += [f"out{number}" for number in range(len(plan.outputs))]
    return buffers, f"{n}_step(&state, &work, {', '.join(given)})"


def _sketch(source: CSource, manifest: Manifest) -> str:
    """Return a sketch that steps the model once a second and prints the first output."""
    n, (buffers, call) = source.name, _call(source)
    lines = [
        f"// Steps the model {_plain(manifest.name)} once a second. Replace the input by your own.",
        f"#include <{n}.h>",
        "",
        f"static {n}_state state;",
        f"static {n}_work work;",
        *buffers,
        "static int32_t t = 0;",
        "",
        "void setup() {",
        "  Serial.begin(115200);",
        f"  {reset_call(source.plan, n, 'still')};",
        '  Serial.print("self-test, largest error: ");',
        f"  Serial.println({n}_selftest(), 8);",
        "}",
        "",
        "void loop() {",
        f"  if ({call} == 0) {{",
        "    int best = 0;",
        f"    for (int i = 1; i < {n}_OUTPUTS; i++) best = out0[i] > out0[best] ? i : best;",
        "    Serial.print(best);",
        '    Serial.print(" ");',
        "    Serial.println(out0[best], 4);",
        "  }",
        "  t++;",
        "  delay(1000);",
        "}",
        "",
    ]
    return "\n".join(lines)


def _program(source: CSource, manifest: Manifest, head: str, end: str) -> str:
    """Return a program that steps the model ten times and prints the first output."""
    n, (buffers, call) = source.name, _call(source)
    lines = [
        f"/* Steps the model {_plain(manifest.name)} ten times. Replace the input by your own. */",
        "#include <stdio.h>",
        f"#include <{n}.h>",
        "",
        f"static {n}_state state;",
        f"static {n}_work work;",
        *buffers,
        "",
        head,
        "{",
        f'    printf("self-test, largest error: %g\\n", (double){n}_selftest());',
        f"    {reset_call(source.plan, n, 'still')};",
        "    for (int32_t t = 0; t < 10; t++) {",
        "        int best = 0;",
        f"        if ({call} != 0) continue;",
        f"        for (int i = 1; i < {n}_OUTPUTS; i++) best = out0[i] > out0[best] ? i : best;",
        '        printf("%d %.4f\\n", best, (double)out0[best]);',
        "    }",
        *([f"    {end}"] if end else []),
        "}",
        "",
    ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return `text` as it may stand in a comment or a line of properties."""
    return "".join(char if char.isascii() and char.isprintable() and char not in "*/\\\"'" else "_" for char in text)


PACKAGES: Mapping[str, Callable[[CSource, Manifest], dict[str, str]]] = {
    "arduino": _arduino,
    "platformio": _platformio,
    "zephyr": _zephyr,
    "esp-idf": _esp_idf,
}
