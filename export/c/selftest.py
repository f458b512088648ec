"""The self-test in C: the golden sequence of a model file, and the function that replays it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...runtime.common.errors import NotSteppableError
from ...runtime.format.manifest import GoldenRun, Manifest
from ...runtime.interpreters.step_plan.plan import StepPlan
from .names import array, number
from .printer import indented


def reset_call(plan: StepPlan, name: str, zeros: str) -> str:
    """Return the call that resets `state`, with `zeros` for static inputs."""
    return f"{name}_reset({', '.join(['&state', *(zeros for _ in plan.static)])})"


class SelfTest:
    """Prints the self-test of one model: its golden sequence, and the function that replays it."""

    def __init__(self, manifest: Manifest, plan: StepPlan, name: str, arguments: Mapping[str, str]) -> None:
        """Print for a model called `name`, with `arguments` of features and outputs."""
        self.manifest, self.plan, self.name, self.arguments = manifest, plan, name, arguments
        self.features = {feature.name: feature for feature in manifest.features}

    def lines(self) -> list[str]:
        """Return the lines of the function and of its numbers."""
        n, golden = self.name, self.manifest.golden
        if golden is None:
            raise NotSteppableError("A file without a golden sequence cannot be written as C. Nothing was written.")
        constants, lines = [], []
        outputs = list(self.plan.outputs.items())
        if self.plan.static:  # a golden run that starts from the initial state has zeros there
            widest = max(each.before.size for each in self.plan.static)
            constants.append(array(f"{n}_zeros", np.zeros(widest, np.float32)))
        for number_of_run, run in enumerate(golden.runs):
            constants += self._golden_arrays(run, number_of_run)
        recorded = np.array(golden.outputs, np.int32)
        constants.append(array(f"{n}_golden_outputs", recorded))
        buffers = [f"static float {self.arguments[name]}[{view.size}];" for name, view in outputs]
        for number_of_run, run in enumerate(golden.runs):
            lines += self._replay(run, number_of_run, len(recorded))
        return [
            *constants,
            "",
            f"float {n}_selftest(void)",
            "{",
            *indented(
                [
                    f"static {n}_state state;",
                    f"static {n}_work work;",
                    *buffers,
                    "float worst = 0.0f;",
                    *lines,
                    "return worst;",
                ]
            ),
            "}",
        ]

    def _golden_arrays(self, run: GoldenRun, number_of_run: int) -> list[str]:
        n = f"{self.name}_golden{number_of_run}"
        found = [array(f"{n}_ids", np.array(run.ids, np.int32))] if self.plan.symbol else []
        for name, rows in run.features.items():
            dtype = np.float32 if self.features[name].ids is None else np.int32
            found.append(array(f"{n}_{self.arguments[name]}", np.array(rows, dtype).reshape(-1)))
        found.append(array(f"{n}_right", np.array(run.probabilities, np.float32).reshape(-1)))
        for name, rows in run.extra_outputs.items():
            found.append(array(f"{n}_{self.arguments[name]}", np.array(rows, np.float32).reshape(-1)))
        return found

    def _replay(self, run: GoldenRun, number_of_run: int, recorded: int) -> list[str]:
        n = f"{self.name}_golden{number_of_run}"
        given = [f"{n}_ids[t]"] if self.plan.symbol else []
        given += [f"{n}_{self.arguments[name]} + t * {view.size}" for name, view in self.plan.features.items()]
        given += [self.arguments[name] for name in self.plan.outputs]
        main, *_ = self.plan.outputs
        compared = [f"{self.arguments[main]}[{self.name}_golden_outputs[i]] - {n}_right[t * {recorded} + i]"]
        widths = [recorded]
        for name, rows in run.extra_outputs.items():
            widths.append(len(rows[0]))
            compared.append(f"{self.arguments[name]}[i] - {n}_{self.arguments[name]}[t * {len(rows[0])} + i]")
        lines = self._ramp() if run.start == "ramp" else [f"{reset_call(self.plan, self.name, f'{self.name}_zeros')};"]
        lines += [
            f"for (int t = 0; t < {len(run.ids)}; t++) {{",
            f"    if ({self.name}_step(&state, &work, {', '.join(given)}) < 0) return INFINITY;",
        ]
        for text, width in zip(compared, widths, strict=True):
            lines += [
                f"    for (int i = 0; i < {width}; i++) {{",
                f"        const float off = fabsf({text});",
                "        worst = worst < off ? off : worst;",
                "    }",
            ]
        return [*lines, "}"]

    def _ramp(self) -> list[str]:
        """Return the lines that set the state to the ramp of the golden sequence."""
        lines, begin = [], 0
        for each in self.plan.state:
            name, size = each.tensor.name, each.before.size
            lines.append(
                f"for (int i = 0; i < {size}; i++) "
                f"state.{name}[i] = (float)((37 * (i + {begin}L) + 11) % 101) / 101.0f - 0.5f;"
            )
            begin += size
        return lines

    def main(self) -> list[str]:
        """Return the lines of a program that runs the self-test, for a desk."""
        n, golden = self.name, self.manifest.golden
        assert golden is not None
        return [
            f"#ifdef {n}_MAIN",
            "#include <stdio.h>",
            "int main(void)",
            "{",
            f"    const float error = {n}_selftest();",
            f"    const int good = error <= {number(golden.tolerance)};",
            f'    printf("{n}: largest error %.2g, allowed {golden.tolerance:.2g}: %s\\n", (double)error, '
            'good ? "ok" : "WRONG");',
            "    return good ? 0 : 1;",
            "}",
            "#endif",
        ]
