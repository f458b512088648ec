"""Model files as C on emulated microcontrollers: self-test, 1,000 carried steps, instructions, flash, RAM and stack.

    python benchmarks/mcu/emulate.py tests/data/memory.tflite                  # all boards
    python benchmarks/mcu/emulate.py tests/data/memory.tflite --board cortex-m4
    python benchmarks/mcu/emulate.py tests/data/memory.tflite --board cortex-m4 --quantize int8

Without --quantize and --no-fpu each board runs the C of float32, and one without FPU that of both options too.

The C is that of `stepcell c`, compiled with -O2 by a cross compiler and run by QEMU. The outputs are compared with
numpy in float64. QEMU counts instructions and no cycles.
What is missing on this machine is named; nothing is installed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from stepcell.export.c.arithmetic import Arithmetic, exact_program, rounded_program, run_program
from stepcell.export.c.names import array
from stepcell.export.c.prove import ROUNDING, TOLERANCE
from stepcell.export.c.selftest import reset_call
from stepcell.export.c.source import CSource, c_source
from stepcell.runtime import read_model_file
from stepcell.runtime.common.errors import StepcellError
from stepcell.runtime.common.terminal import print_table
from stepcell.runtime.format.manifest import Manifest
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.worker.messages import RunSpec

HERE = Path(__file__).parent
STEPS = 1000
KNOWN_LOOP = 200_000  # instructions
WARNINGS = ("-Wall", "-Wextra", "-Wconversion")
HEADER = ("board", "model", "flash: code", "constants", "RAM: state", "work", "stack", "instructions a step", "error")


@dataclass(frozen=True)
class Board:
    """A microcontroller that QEMU emulates.

    Attributes:
        compiler: The cross compiler.
        flags: Its flags for the core.
        emulator: The program that emulates it.
        machine: What it calls the board.
        packages: Debian packages of both.
        flash: Size of its flash, as the linker reads it.
        ram: Size of its RAM.
        shift: Of the counter: a tick is 2^shift ns.
        libraries: Flags that choose a C library.
    """

    compiler: str
    flags: tuple[str, ...]
    emulator: str
    machine: str
    packages: str
    flash: str = "4M"
    ram: str = "4M"
    shift: int = 6
    libraries: tuple[str, ...] = field(default=())

    @property
    def has_fpu(self) -> bool:
        """Whether it computes float32 by itself."""
        return any(flag.startswith("-mfpu") for flag in self.flags)


_ARM = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
_RISCV = "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc"
BOARDS = {
    "cortex-m4": Board("arm-none-eabi-gcc", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-mthumb"),
                       "qemu-system-arm", "mps2-an386", _ARM),
    "cortex-m7": Board("arm-none-eabi-gcc", ("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", "-mthumb"),
                       "qemu-system-arm", "mps2-an500", _ARM),
    "cortex-m0": Board("arm-none-eabi-gcc", ("-mcpu=cortex-m0", "-mthumb"), "qemu-system-arm", "microbit", _ARM, "256K",
                       "16K", 3),
    "rv32imc": Board("riscv64-unknown-elf-gcc", ("-march=rv32imc", "-mabi=ilp32"), "qemu-system-riscv32", "virt",
                     _RISCV, shift=0, libraries=("--specs=picolibc.specs",)),
}  # fmt: skip


class NotHereError(Exception):
    """A tool that is not installed; the text says what to install."""


def main() -> int:
    """Run all models on all boards; return 1 if one answers wrongly, 2 if a tool is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="model files")
    parser.add_argument("--board", action="append", choices=BOARDS, help="default: all")
    parser.add_argument("--quantize", choices=["int8"], help="store the weights in 8 bits")
    parser.add_argument("--no-fpu", action="store_true", help="take tables for tanh, sigmoid and softmax")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--if-possible", action="store_true", help="missing tools are said, and are no error")
    options = parser.parse_args()
    asked = Arithmetic(int8=options.quantize == "int8", tables=options.no_fpu)
    rows, failed, missing = [], 0, 0
    for name in options.board or BOARDS:
        without_fpu = [Arithmetic(int8=True, tables=True)] if asked.is_exact and not BOARDS[name].has_fpu else []
        for path, arithmetic in product(options.files, [asked, *without_fpu]):
            try:
                row, good = emulate(path, name, options.steps, arithmetic)
            except NotHereError as error:
                print(f"{name}: {error}", file=sys.stderr)
                missing += 1
                break
            except StepcellError as error:
                print(f"{name}: {error}", file=sys.stderr)
                failed += 1
                continue
            rows.append(row)
            failed += not good
    if rows:
        note = (
            "bytes; error: largest difference of an output from numpy in float64, with int8 weights from numpy with "
            f"the same weights, {options.steps} steps"
        )
        print_table(list(HEADER), rows, note)
    return 1 if failed else 2 if missing and not options.if_possible else 0


def emulate(path: Path, board_name: str, steps: int, arithmetic: Arithmetic) -> tuple[list[str], bool]:
    """Run one model on one board; return the row of the table, and whether it answers rightly."""
    board, file = BOARDS[board_name], read_model_file(path)
    for tool in (board.compiler, board.emulator):
        if shutil.which(tool) is None:
            raise NotHereError(f"{tool} is not installed (sudo apt-get install {board.packages})")
    source = c_source(file, "model", arithmetic)
    manifest, random = file.manifest, np.random.default_rng(4)
    features = {
        each.name: random.normal(size=(steps, *each.shape)).astype(np.float32)
        if each.ids is None
        else random.integers(0, each.ids, steps).astype(np.int32)
        for each in manifest.features
    }
    inputs = Inputs(random.integers(0, max(len(manifest.vocabulary), 1), steps).astype(np.int32), features)
    spec = RunSpec(inputs, initial_state(manifest.state))
    right, rounded = (
        run_program(program, manifest, spec).probabilities
        for program in (exact_program(file, arithmetic), rounded_program(file, arithmetic))
    )
    allowed = max(TOLERANCE, ROUNDING * float(np.abs(rounded - right).max()))
    with tempfile.TemporaryDirectory() as folder:
        program, code_size = build(source, manifest, inputs, board, Path(folder))
        lines = run(program, board)
    found = {kind: [int(line[1:], 16) for line in lines if line.startswith(kind)] for kind in "SOCIT"}
    if not found["I"]:
        raise StepcellError(f"{path.name} did not end on {board_name}: {lines[-3:]}")
    answers = np.array(found["O"], np.uint32).view(np.float32).reshape(steps, -1)
    selftest = float(np.array(found["S"], np.uint32).view(np.float32)[0])
    error = float(np.abs(answers - right).max())
    per_step = found["I"][0] * (KNOWN_LOOP / found["C"][0]) / steps
    sizes, name = source.memory_use, ", ".join([path.name, *arithmetic.names])
    row = [
        board_name, name, f"{code_size:,}", f"{sizes.constants:,}", f"{sizes.state:,}", f"{sizes.work:,}",
        f"{found['T'][0]:,}", f"{per_step:,.0f}", f"{error:.1e}",
    ]  # fmt: skip
    return row, selftest <= source.tolerance and error <= allowed


def build(source: CSource, manifest: Manifest, inputs: Inputs, board: Board, folder: Path) -> tuple[Path, int]:
    """Compile the program; return it, and the bytes of code of the model alone."""
    (folder / "model.h").write_text(source.single_header)
    (folder / "inputs.h").write_text(inputs_header(source, manifest, inputs))
    (folder / "model.c").write_text(source.body)
    linker = (HERE / "arm.ld").read_text().replace("FLASH_SIZE", board.flash).replace("RAM_SIZE", board.ram)
    (folder / "arm.ld").write_text(linker)
    flags = [*board.flags, *board.libraries, "-std=c99", "-O2", "-ffunction-sections", "-fdata-sections",
             "-fno-math-errno", f"-I{folder}"]  # fmt: skip
    alone = folder / "alone.o"
    (folder / "model_only.h").write_text(source.header)
    body = source.body.replace('#include "model.h"', '#include "model_only.h"')
    (folder / "alone.c").write_text(body)
    call([board.compiler, *flags, *WARNINGS, "-Werror", "-c", str(folder / "alone.c"), "-o", str(alone)])
    program = folder / "program.elf"
    link = ["-nostartfiles", f"-T{folder / 'arm.ld'}"]
    if "riscv" in board.compiler:
        link = ["--crt0=minimal", "-Wl,--defsym=__flash=0x80000000", "-Wl,--defsym=__flash_size=4M",
                "-Wl,--defsym=__ram=0x80400000", "-Wl,--defsym=__ram_size=4M"]  # fmt: skip
    flags = [flag.replace("c99", "gnu99") for flag in flags]
    call([board.compiler, *flags, *link, "-Wl,--gc-sections", str(HERE / "program.c"), "-lm", "-o", str(program)])
    listed = call([board.compiler.replace("gcc", "size"), "-A", str(alone)])
    # The self-test is for the desk; what is not called is left out by the linker.
    code = {m[1]: int(m[2]) for m in re.finditer(r"^\.text\.?(\S*)\s+(\d+)", listed, re.M)}
    return program, sum(size for name, size in code.items() if "selftest" not in name)


def inputs_header(source: CSource, manifest: Manifest, inputs: Inputs) -> str:
    """Return the inputs as arrays, and macros that step them."""
    plan, arguments, lines = source.plan, [], []
    if plan.symbol:
        lines.append(array("ids", inputs.ids))
        arguments.append("ids[t]")
    for number, name in enumerate(plan.features):
        values = inputs.features[name]
        lines.append(array(f"feature{number}", values.reshape(-1)))
        arguments.append(f"feature{number} + t * {values[0].size}")
    outputs = list(plan.outputs.values())
    lines += [f"static float output{number}[{view.size}];" for number, view in enumerate(outputs)]
    arguments += [f"output{number}" for number in range(len(outputs))]
    return "\n".join(
        [
            *lines,
            "static model_state state;",
            "static model_work work;",
            f"#define START {reset_call(plan, 'model', 'model_zeros')}",
            "#define SELFTEST model_selftest()",
            "#define OUTPUT(i) output0[i]",
            f"#define OUTPUTS {outputs[0].size}",
            f"#define STEPS {len(inputs)}",
            "__attribute__((noinline)) static int STEP(int t)",
            "{",
            f"    return model_step(&state, &work, {', '.join(arguments)});",
            "}",
            "",
        ]
    )


def run(program: Path, board: Board) -> list[str]:
    """Run the program; return the lines that it writes."""
    command = [
        board.emulator, "-M", board.machine, "-display", "none", "-monitor", "none", "-serial", "none",
        "-semihosting-config", "enable=on,target=native", "-icount", f"shift={board.shift}", "-kernel", str(program),
    ]  # fmt: skip
    if "riscv" in board.emulator:
        command += ["-bios", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    return (done.stderr + done.stdout).splitlines()


def call(command: list[str]) -> str:
    """Run a tool; return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepcellError(f"{' '.join(command[:2])} failed:\n{done.stderr[:2000]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
