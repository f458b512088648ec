"""The columns of a table of Spark: which are named, of which types they are, and how they travel to the workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..common.errors import OptionError

KEYS = ("string", "byte", "short", "integer", "long")
INTEGERS = ("byte", "short", "integer", "long")
NUMBERS = (*INTEGERS, "float", "double")
SYMBOLS = ("string", *INTEGERS, "boolean", "float", "double")
TIMES = ("timestamp", "date")
_LISTS = ("array",)
_REMEDIES = {
    "timestamp_ntz": 'cast it, in its time zone: df.withColumn({0!r}, col({0!r}).cast("timestamp"))',
    "string": "cast it: df.withColumn({0!r}, to_timestamp({0!r})), or to a number",
}


def as_names(columns: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of columns that are given as one or several."""
    return () if columns is None else (columns,) if isinstance(columns, str) else tuple(columns)


def as_pairs(columns: Mapping[str, str] | Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Return (name, column) of inputs that are given as a mapping, or as columns of the same names."""
    if columns is None:
        return ()
    return tuple(columns.items()) if isinstance(columns, Mapping) else tuple((name, name) for name in as_names(columns))


def check_columns(df: Any, wanted: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> None:
    """Check that columns are there and of a type that can be read.

    Args:
        df: The table.
        wanted: Name of an argument -> the columns that it names, and their types; (): of any type.

    Raises:
        OptionError: The message names all problems.
    """
    types = {field.name: field.dataType.typeName() for field in df.schema.fields}
    problems = []
    for argument, (names, allowed) in wanted.items():
        for name in names:
            if name not in types:
                problems.append(f"there is no column {name!r} ({argument}=)")
            elif df.columns.count(name) > 1:
                problems.append(f"{df.columns.count(name)} columns are called {name!r} ({argument}=)")
            elif allowed and not _fits(types[name], allowed):
                casts = "cast it: df.withColumn({0!r}, col({0!r}).cast({1!r}))"
                remedy = _REMEDIES.get(types[name], casts) if "timestamp" in allowed else casts
                problems.append(
                    f"{argument}={name!r} is of the type {types[name]}, not one of {', '.join(allowed)}; "
                    + remedy.format(name, allowed[-1])
                )
    if problems:
        raise OptionError(f"The table cannot be read so: {'; '.join(problems)}. Its columns: {', '.join(df.columns)}.")


def _fits(found: str, allowed: Sequence[str]) -> bool:
    return found in allowed or (found.startswith("decimal") and "double" in allowed)


def is_time(df: Any, name: str) -> bool:
    """Return whether a column holds times."""
    return df.schema[name].dataType.typeName() in TIMES


def to_worker(df: Any, name: str) -> Any:
    """Return the expression of a column as workers read it: times as microseconds since 1970, in every time zone."""
    from pyspark.sql import functions as F  # noqa: N812 - as everywhere

    column, kind = df[_quoted(name)], df.schema[name].dataType.typeName()
    if kind == "timestamp":
        return F.unix_micros(column)
    if kind == "date":
        return F.unix_date(column).cast("long") * 86_400_000_000
    if kind.startswith("decimal"):
        return column.cast("double")
    return column


def worker_type(df: Any, name: str) -> str:
    """Return the type of what `to_worker` makes of a column."""
    kind: str = df.schema[name].dataType.typeName()
    if kind in TIMES:
        return "bigint"
    return "double" if kind.startswith("decimal") else str(df.schema[name].dataType.simpleString())


def worker_rows(df: Any, columns: Sequence[str]) -> Any:
    """Return columns of a table as workers read them, called c0, c1, ..."""
    return df.select(*(to_worker(df, name).alias(f"c{at}") for at, name in enumerate(columns)))


def empty_as_null(rows: Any) -> Any:
    """Return rows of `worker_rows` with null in place of empty text and nan, as files are read."""
    from pyspark.sql import functions as F  # noqa: N812 - as everywhere

    def filled(name: str, kind: str) -> Any:
        column = F.col(name)
        is_filled = {"string": column != "", "float": ~F.isnan(column), "double": ~F.isnan(column)}.get(kind)
        return column if is_filled is None else F.when(is_filled, column).alias(name)

    return rows.select(*(filled(field.name, field.dataType.typeName()) for field in rows.schema.fields))


def beside(name: str, others: Iterable[str]) -> str:
    """Return the name of a column beside others: with the prefix `in_` if one of them is called so, in any case."""
    return f"in_{name}" if name.casefold() in {other.casefold() for other in others} else name


def from_worker(df: Any, name: str, column: Any) -> Any:
    """Return the expression that makes the column `name` again of what `to_worker` has made of it."""
    from pyspark.sql import functions as F  # noqa: N812 - as everywhere

    kind = df.schema[name].dataType.typeName()
    if kind == "timestamp":
        return F.timestamp_micros(column)
    if kind == "date":
        return F.date_from_unix_date((column / 86_400_000_000).cast("int"))
    return column.cast(df.schema[name].dataType)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
