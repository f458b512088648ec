"""Whether a model file fits on a microcontroller, as the C that `stepcell c` writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..common.errors import OptionError
from ..format.model_file import read_model_file
from ..format.tensor_specs import MicroGraph
from ..interpreters.numpy_engine import CalculationError
from ..interpreters.step_plan.int8 import Int8Product
from ..interpreters.step_plan.plan import MemoryUse, StepPlan, plan_step
from ..interpreters.step_plan.statements import Loop

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}
# Code of a step in bytes, from `make mcu`: kernels, and for each assignment of a loop.
_KERNELS, _INT8, _ASSIGNMENT = 1050, 100, 26
_TABLES = 644  # bytes of the tables of `--no-fpu`


@dataclass(frozen=True)
class Core:
    """A kind of processor without an operating system.

    Attributes:
        title: The name that people know.
        has_fpu: It computes float32 by itself; without, a step takes some fifty times as many instructions.
        code: Bytes of code, relative to a Cortex-M4.
        stack: Bytes of stack that a step takes, at most; from `make mcu`.
    """

    title: str
    has_fpu: bool
    code: float
    stack: int


CORES: Mapping[str, Core] = {
    "cortex-m0": Core("Cortex-M0, M0+", False, 1.3, 256),
    "cortex-m4": Core("Cortex-M4F, M33", True, 1.0, 160),
    "cortex-m7": Core("Cortex-M7", True, 1.0, 160),
    "rv32imc": Core("RISC-V, RV32IMC (ESP32-C3)", False, 1.8, 256),
}


@dataclass(frozen=True)
class Fit:
    """Whether a file fits on a core.

    Attributes:
        path: The file.
        core: The core.
        use: The memory of a step; None: there is no C for the file.
        code: Bytes of code, estimated.
        multiplications: Of a step.
        problems: Why it does not fit; empty if it does, as far as sizes are given.
        sizes: "flash" and "RAM" of the chip, those that are given.
        options: Of `stepcell c`, for the C that is meant.
        micro: Of a file for TensorFlow Lite Micro, what that needs.
        graph: Bytes of the graph.
    """

    path: Path
    core: Core
    use: MemoryUse | None
    code: int
    multiplications: int
    problems: tuple[str, ...]
    sizes: Mapping[str, int]
    options: tuple[str, ...] = ()
    micro: MicroGraph | None = None
    graph: int = 0

    @property
    def flash(self) -> int:
        """Bytes of flash: code and constants."""
        return self.code + (self.use.constants if self.use else 0)

    @property
    def ram(self) -> int:
        """Bytes of RAM: one state, the scratch memory, and the stack."""
        return self.core.stack + (self.use.state + self.use.work if self.use else 0)

    def as_text(self) -> str:
        """Return the verdict and the figures."""
        if self.use is None:
            return f"does not run on {self.core.title}: {'; '.join(self.problems)}"
        fits = "does not fit on" if self.problems else "fits on" if self.sizes else "needs this on"
        given = {name: f" of {size:,}" for name, size in self.sizes.items()}
        int8 = "--quantize int8" in self.options
        speed = (
            "" if self.core.has_fpu or int8 else " in software, for want of an FPU (better: --quantize int8 --no-fpu)"
        )
        lines = [
            f"{fits} {self.core.title}{': ' if self.problems else ''}{'; '.join(self.problems)}",
            "",
            f"flash   {self.flash:,} bytes{given.get('flash', '')}: {self.use.constants:,} of constants, about "
            f"{self.code:,} of code",
            f"RAM     {self.ram:,} bytes{given.get('RAM', '')}: {self.use.state:,} of state, {self.use.work:,} of "
            f"scratch memory, {self.core.stack:,} of stack",
            f"        each further stream: {self.use.state:,} bytes",
            f"a step  {self.multiplications:,} multiplications{speed}",
            "",
            f"the C of it: {' '.join(['stepcell', 'c', str(self.path), *self.options])} --out build/c",
        ]
        if self.micro is not None:
            lines += [
                f"in TensorFlow Lite Micro, whose code comes on top: {self.graph:,} bytes of graph in flash, an arena",
                f"of {self.micro.arena:,} bytes in RAM, as measured on a 64-bit machine",
            ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        use = {"constants": 0, "state": 0, "work": 0} if self.use is None else vars(self.use)
        return {
            "fits": not self.problems,
            "problems": list(self.problems),
            "target": self.core.title,
            "file": str(self.path),
            "flash": self.flash,
            "ram": self.ram,
            "code": self.code,
            "stack": self.core.stack,
            **use,
            **({} if self.micro is None else {"tflm": {"graph": self.graph, "arena": self.micro.arena}}),
            "multiplications": self.multiplications,
        }


def fit(
    path: Path,
    core: str,
    *,
    flash: str | None = None,
    ram: str | None = None,
    int8: bool = False,
    tables: bool = False,
) -> Fit:
    """Find out whether the file at `path` fits on a core; nothing is compiled.

    Args:
        path: A model file.
        core: A key of `CORES`.
        flash: Size of the flash, like "256K"; None: not known.
        ram: Size of the RAM, likewise.
        int8: Of C with int8 weights.
        tables: Of C that looks up functions in tables.

    Raises:
        ModelFileError, ModelFileNotFoundError: The file cannot be read.
        OptionError: A size is none.
    """
    given = {name: text for name, text in (("flash", flash), ("RAM", ram)) if text is not None}
    sizes = {name: _bytes_of(text, name) for name, text in given.items()}
    kind, file = CORES[core], read_model_file(path)
    try:
        plan = plan_step(file, int8=int8)
    except CalculationError as error:
        return Fit(path, kind, None, 0, 0, (f"there is no C for it: {error}",), sizes)
    use, code = plan.memory_use(), _code_of(plan, kind)
    use = replace(use, constants=use.constants + _TABLES) if tables else use
    options = (*(["--quantize int8"] if int8 else []), *(["--no-fpu"] if tables else []))
    found = Fit(path, kind, use, code, plan.multiplications(), (), sizes, options)
    wanted = {"flash": found.flash, "RAM": found.ram}
    problems = [
        f"it takes {wanted[n]:,} bytes of {n}, there are {size:,}" for n, size in sizes.items() if wanted[n] > size
    ]
    return replace(found, problems=tuple(problems), micro=file.manifest.micro, graph=len(file.payload))


def _code_of(plan: StepPlan, core: Core) -> int:
    kernels = _KERNELS + (_INT8 if any(isinstance(each, Int8Product) for each in plan.statements) else 0)
    assignments = sum(len(each.body) if isinstance(each, Loop) else 2 for each in plan.statements)
    return int(core.code * (kernels + _ASSIGNMENT * assignments))


def _bytes_of(text: str, name: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([KM]?)i?B?", text.strip(), re.IGNORECASE)
    if not found or not int(found[1]):
        raise OptionError(f"The size {text!r} of the {name} is none. Give bytes, or a number with K or M: 256K.")
    return int(found[1]) * _UNITS[found[2].upper()]
