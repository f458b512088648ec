"""Languages that statements are printed in: what differs between C and those that have its loops and expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...runtime.interpreters.step_plan.statements import Product
from .names import TYPES, literal

_VARIABLES = "ijkmnpq"
# Truths: numbers of one byte, the same in all languages.
TRUTHS = {
    "and": "{} && {}", "equal": "{} == {}", "greater": "{} > {}", "greater_equal": "{} >= {}", "less": "{} < {}",
    "less_equal": "{} <= {}", "not": "!{}", "not_equal": "{} != {}", "or": "{} || {}",
}  # fmt: skip


@dataclass(frozen=True)
class Language:
    """A language.

    Attributes:
        functions: Elementwise function -> its expression; functions of the model begin with NAME_.
        index: The word before a variable that counts.
        number: The word before a variable of float32.
        constant: Dtype -> the words before a constant.
        cast: Dtype and expression -> the expression, converted.
        literal: Number and dtype -> the number as it is written.
        infinity: The largest number.
        state: Template of a tensor of the state.
        work: Template of scratch memory.
        address: Array and index -> the arguments that name an element and those behind it.
        nowhere: The arguments that name none.
        row: Template of the row of a table: {type}, {name}, {base}, {id}, {width}.
        columns: Columns in a block of the weights of a product.
        check: Template of the statement that notes a number that is not finite.
        checks: The kernel that it calls; "": none.
    """

    functions: Mapping[str, str]
    index: str
    number: str
    constant: Callable[[str], str]
    cast: Callable[[str, str], str]
    literal: Callable[[Any, str], str]
    infinity: str
    state: str
    work: str
    address: Callable[[str, int], str]
    nowhere: str
    row: str
    columns: int
    check: str
    checks: str = ""

    def nest(self, shape: Sequence[int], body: Callable[[list[str]], list[str]]) -> list[str]:
        """Return loops over `shape` around the lines of `body`, which is given the variable of each dimension."""
        names = [name if size != 1 else "0" for name, size in zip(_VARIABLES, shape, strict=False)]
        loops = [self.count(v, size) for v, size in zip(names, shape, strict=True) if size != 1]
        head = f"{' '.join(loops)} {{" if loops else "{"
        return [head, *(f"    {line}" for line in body(names)), "}"]

    def count(self, variable: str, size: int) -> str:
        """Return the head of a loop in which a variable counts."""
        return f"for ({self.index} {variable} = 0; {variable} < {size}; {variable}++)"


C = Language(
    functions={
        "abs": "fabsf({})", "add": "{} + {}", "divide": "{} / {}", "erf": "erff({})", "exp": "expf({})",
        "log": "logf({})", "logistic": "NAME_logistic({})", "maximum": "({0} < {1} ? {1} : {0})",
        "minimum": "({0} > {1} ? {1} : {0})", "multiply": "{} * {}", "negative": "-{}", "power": "powf({}, {})",
        "reciprocal": "1.0f / {}", "select": "({} ? {} : {})", "sqrt": "sqrtf({})", "square": "{0} * {0}",
        "subtract": "{} - {}", "tanh": "NAME_tanh({})",
    },
    index="int",
    number="float",
    constant=lambda dtype: f"const {TYPES[dtype]}",
    cast=lambda dtype, text: f"({TYPES[dtype]})({text})",
    literal=literal,
    infinity="INFINITY",
    state="state->{}",
    work="work->{}",
    address=lambda base, begin: f"{base} + {begin}" if begin else base,
    nowhere="0",
    row="const {type} *const {name} = {base} + (size_t){id} * {width};",
    columns=Product.block,
    check="check += {} * 0.0f;",
)  # fmt: skip
# A product with 0 takes as long as any other there.
C_WITHOUT_FPU = replace(C, check="check |= NAME_not_finite({});", checks="not_finite")
