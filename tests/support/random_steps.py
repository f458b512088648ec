"""Random steps: calculations of all kinds of operations, with a feature, two states and an output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stepcell.runtime.format.manifest import Golden, GoldenRun, Manifest, StateTensor
from stepcell.runtime.format.tensor_specs import Feature
from stepcell.runtime.format.vocabulary import Vocabulary
from stepcell.runtime.interpreters.numpy_engine import Calculation
from stepcell.runtime.interpreters.numpy_engine.graph import Operation, Source

STATES = {"h0": (4,), "past1": (2, 3)}
FEATURE, OUTPUT = (6,), 3
# Steps of random numbers have no known answer; one of zeros is enough to print a self-test.
GOLDEN = Golden(9.0, (0,), (GoldenRun("initial", (0,), ((0.0,),), {"x": ((0.0,) * 6,)}),))
UNARY = ("abs", "logistic", "negative", "relu", "square", "tanh", "hard_sigmoid", "elu", "erf", "gelu")
BINARY = ("add", "multiply", "subtract", "maximum", "minimum")
COMPARISONS = ("greater", "less_equal", "not_equal")

Choose = Callable[[Sequence[Any]], Any]


class RandomStep:
    """A step of `count` operations; `choose` takes one of the options it is given."""

    def __init__(self, choose: Choose, count: int, seed: int) -> None:
        self.choose, self.random = choose, np.random.default_rng(seed)
        self.operations: list[Operation] = []
        self.constants: dict[str, np.ndarray] = {}
        self.shapes: dict[str, tuple[int, ...]] = {"x": (1, *FEATURE)}
        self.shapes |= {name: (1, *shape) for name, shape in STATES.items()}
        for _ in range(count):
            choose((self.unary, self.binary, self.select, self.joined, self.turned, self.product, self.reduced,
                    self.parts, self.softmax, self.stacked, self.slice, self.gathered))()  # fmt: skip
        outputs = {"y": (1, OUTPUT)}
        outputs |= {f"next_{name}": (1, *shape) for name, shape in STATES.items()}
        for name, shape in outputs.items():
            self.finish(name, shape)

    def calculation(self) -> Calculation:
        sources = {name: Source(name, "float32", (1, *shape)) for name, shape in {"x": FEATURE, **STATES}.items()}
        outputs = {"values": "y", **{f"next_{name}": f"next_{name}" for name in STATES}}
        return Calculation(sources, outputs, self.constants, tuple(self.operations))

    def manifest(self) -> Manifest:
        return Manifest(
            name="random", vocabulary=Vocabulary.none(), cells=(), output="linear", fingerprint="00" * 32,
            state=tuple(StateTensor(name, shape) for name, shape in STATES.items()),
            labels=Vocabulary.of_ids(OUTPUT), features=(Feature("x", FEATURE),), golden=GOLDEN,
        )  # fmt: skip

    def any(self, fits: Callable[[tuple[int, ...]], bool] = lambda shape: True) -> str | None:
        names = [name for name, shape in self.shapes.items() if fits(shape) and np.prod(shape) <= 64]
        return self.choose(names) if names else None

    def add(self, kind: str, inputs: Sequence[str], shape: tuple[int, ...], **options: Any) -> str:
        name = f"v{len(self.shapes)}"
        self.operations.append(Operation(kind, tuple(inputs), (name,), options, kind))
        self.shapes[name] = shape
        return name

    def constant(self, *shape: int) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = self.random.uniform(-1, 1, shape).astype(np.float32)
        return name

    def numbers(self, *values: int) -> str:
        name = f"n{len(self.constants)}"
        self.constants[name] = np.array(values, np.int32)
        return name

    def unary(self) -> None:
        x = self.any()
        self.add("tanh", [self.add(self.choose(UNARY), [x], self.shapes[x])], self.shapes[x])

    def binary(self) -> None:
        x = self.any()
        shape = self.shapes[x]
        y = self.choose(
            (self.any(lambda s: s == shape), self.constant(*shape[1:]), self.constant(1), self.constant(shape[-1]))
        )
        self.add(self.choose(BINARY), [x, y] if self.choose((True, False)) else [y, x], shape)

    def select(self) -> None:
        x = self.any()
        shape = self.shapes[x]
        y = self.any(lambda s: s == shape)
        name = f"v{len(self.shapes)}"
        self.operations.append(
            Operation(self.choose(COMPARISONS), (x, self.constant(1)), (f"{name} t",), {}, "compare")
        )
        self.add("select", [f"{name} t", x, y], shape)

    def joined(self) -> None:
        x = self.any(lambda s: len(s) > 1)
        shape = self.shapes[x]
        axis = self.choose(range(1, len(shape)))
        rest = (*shape[:axis], None, *shape[axis + 1 :])
        y = self.any(lambda s: len(s) == len(shape) and (*s[:axis], None, *s[axis + 1 :]) == rest)
        total = shape[axis] + self.shapes[y][axis]
        self.add("concatenate", [x, y], (*shape[:axis], total, *shape[axis + 1 :]), axis=axis)

    def turned(self) -> None:
        x = self.any(lambda s: len(s) == 3)
        if x is not None:
            a, b = self.shapes[x][1:]
            self.add("transpose", [x, self.numbers(0, 2, 1)], (1, b, a))

    def product(self) -> None:
        x = self.any(lambda s: len(s) > 1)
        shape, width = self.shapes[x], int(self.choose((1, 3, 5, 8)))
        if len(shape) == 3 and self.choose((True, False)):
            y = self.any(lambda s: len(s) == 3 and s[1] == shape[2])
            if y is not None:
                made = self.add("product", [x, y], (1, shape[1], self.shapes[y][2]))
                self.add("tanh", [made], self.shapes[made])
                return
        self.add(
            "tanh",
            [self.add("matmul", [x, self.constant(shape[-1], width)], (*shape[:-1], width))],
            (*shape[:-1], width),
        )

    def reduced(self) -> None:
        x = self.any(lambda s: len(s) > 1)
        shape = self.shapes[x]
        axis, keep = int(self.choose(range(1, len(shape)))), bool(self.choose((True, False)))
        left = (*shape[:axis], 1, *shape[axis + 1 :]) if keep else (*shape[:axis], *shape[axis + 1 :])
        self.add(self.choose(("sum", "max", "min", "mean")), [x, self.numbers(axis)], left, keep=keep)

    def parts(self) -> None:
        x = self.any(lambda s: len(s) > 1 and s[-1] % 2 == 0)
        if x is not None:
            shape = (*self.shapes[x][:-1], self.shapes[x][-1] // 2)
            names = [f"v{len(self.shapes)}", f"v{len(self.shapes)}b"]
            self.operations.append(
                Operation("split", (x,), tuple(names), {"axis": len(shape) - 1, "parts": 2}, "split")
            )
            self.shapes |= dict.fromkeys(names, shape)

    def softmax(self) -> None:
        x = self.any(lambda s: len(s) > 1)
        self.add("softmax", [x], self.shapes[x], axis=len(self.shapes[x]) - 1)

    def stacked(self) -> None:
        x = self.any()
        y = self.any(lambda s: s == self.shapes[x])
        if len(self.shapes[x]) < 4:
            self.add("stack", [x, y], (1, 2, *self.shapes[x][1:]), axis=1)

    def slice(self) -> None:
        x = self.any(lambda s: len(s) > 1 and s[1] > 1)
        if x is not None:
            shape = self.shapes[x]
            rest = [0] * (len(shape) - 2)
            begin, size = self.numbers(0, 1, *rest), self.numbers(1, shape[1] - 1, *shape[2:])
            part = self.add("part", [x, begin, size], (1, shape[1] - 1, *shape[2:]))
            self.add("negative", [part], self.shapes[part])

    def gathered(self) -> None:
        x = self.any(lambda s: len(s) > 1)
        shape = self.shapes[x]
        axis = int(self.choose(range(1, len(shape))))
        places = self.random.integers(0, shape[axis], (2, 3))
        name = f"n{len(self.constants)}"
        self.constants[name] = places.astype(np.int32)
        self.add("take", [x, name], (*shape[:axis], 2, 3, *shape[axis + 1 :]), axis=axis)

    def finish(self, name: str, shape: tuple[int, ...]) -> None:
        last = [n for n, s in self.shapes.items() if n.startswith("v")][-3:] or ["x"]
        total = None
        for value in last:
            size = int(np.prod(self.shapes[value]))
            flat = self.add("reshape", [value, self.numbers(1, size)], (1, size))
            made = self.add("matmul", [flat, self.constant(size, int(np.prod(shape)))], (1, int(np.prod(shape))))
            total = made if total is None else self.add("add", [total, made], (1, int(np.prod(shape))))
        squashed = self.add("tanh", [total], self.shapes[total])
        self.operations.append(Operation("reshape", (squashed, self.numbers(*shape)), (name,), {}, "reshape"))
