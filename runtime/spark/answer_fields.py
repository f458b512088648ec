"""The fields of an answer as columns of Spark."""

from __future__ import annotations

from ..data.live_symbol import templates_of
from ..serve.service.engine import gap_name_of
from ..streams.model import Model
from ..streams.prediction import main_field
from ..tasks.next_event import next_events_of
from .layout import Layout
from .steps import StepOptions

_SYMBOL = "struct<symbol:string,probability:double>"


def answer_fields(model: Model, layout: Layout, options: StepOptions) -> dict[str, str]:
    """Return name -> type of each field of an answer behind those of the row, as `serve` names them."""
    manifest = model.manifest
    found = {"input": "string", "unknown": "boolean"}
    has_bounds = layout.start is not None or layout.end is not None or options.reset_on is not None
    if has_bounds:
        found["reset"] = "boolean"
    found |= _prediction(main_field(manifest), options.top)
    if next_events_of(manifest) is not None:
        found |= {"gap": "string", "gap_probability": "double"}
    for output in manifest.extra_outputs:
        inner = _prediction("values" if output.activation == "linear" else "symbol", options.top)
        found[output.name] = "struct<" + ",".join(f"{name}:{kind}" for name, kind in inner.items()) + ">"
    if options.threshold is not None or options.alert_below is not None:
        found |= {"surprise": "double", "rank": "int", "alert": "boolean", "alarm": "boolean"}
        if templates_of(manifest):
            found["line"] = "string"  # the message
    if layout.seq is not None:
        found[gap_name_of(manifest)] = "bigint"
    else:
        found["dropped"] = "bigint"
    return {**found, "error": "string", "code": "string", "expected": "bigint", "model": "string"}


def _prediction(field: str, top: int) -> dict[str, str]:
    if field == "values":
        return {"values": "array<double>"}
    if field == "probability":
        return {"probability": "double"}
    return {"symbol": "string", "probability": "double", **({"top": f"array<{_SYMBOL}>"} if top > 1 else {})}


def struct_names(kind: str) -> tuple[str, ...]:
    """Return the names of the fields of a struct, or of those of an array."""
    inner = kind.removeprefix("array<").removeprefix("struct<") if "struct<" in kind else ""
    if kind.startswith("struct<") and "array<struct<" in kind:
        return ("symbol", "probability", "top")
    return tuple(part.split(":")[0] for part in inner.rstrip(">").split(",") if part)
