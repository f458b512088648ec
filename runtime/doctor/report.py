"""A diagnosis as text and as JSON."""

from __future__ import annotations

from typing import Any

from ..common.terminal import format_table
from .diagnosis import Diagnosis, Finding

_HEADER = ("interpreter", "available", "takes the file", "golden sequence", "us per step", "load ms", "MB")


def as_text(diagnosis: Diagnosis) -> str:
    """Return the verdict, then the findings."""
    contents = diagnosis.contents
    lines = [diagnosis.verdict, "", f"target  {diagnosis.target.describe()}"]
    if contents is not None:
        lines.append(f"file    {contents.describe()}")
        lines += [f"needs   {contents.needs()}"] if contents.needs() else []
        if contents.foreign:
            lines += [f"graph   {line}" for line in contents.interface()]
    if diagnosis.findings:
        rows = [_row(finding, diagnosis) for finding in diagnosis.findings]
        kept = [c for c in range(len(_HEADER)) if any(row[c] for row in rows)]
        lines += ["", *format_table([_HEADER[c] for c in kept], [[row[c] for c in kept] for row in rows])]
    lines += ["", diagnosis.faster] if diagnosis.faster else []
    reasons = [*diagnosis.problems, *(reason for finding in diagnosis.findings for reason in finding.reasons())]
    lines += ["", *(f"  - {reason}" for reason in reasons)] if reasons else []
    lines += ["", "what to do", *(f"  {line}" for line in diagnosis.advice)] if diagnosis.advice else []
    return "\n".join(lines)


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the diagnosis as a JSON object."""
    contents = diagnosis.contents
    return {
        **_picked(diagnosis, "runs", "verdict"),
        "target": _picked(diagnosis.target, "name", "python", "machine", "glibc", "numpy"),
        "file": contents
        and {
            "path": str(contents.path),
            **_picked(contents, "bytes", "format"),
            "manifest": contents.manifest is not None,
            "needs": contents.needs(),
        },
        "problems": diagnosis.problems,
        "interpreters": [
            {
                **_picked(finding.interpreter, "backend", "distribution"),
                **_picked(finding, "version", "installed", "runs", "problems"),
                **_picked(finding.smoke_test, "golden_error", "us_per_step", "load_ms", "resident_mb"),
                "install": finding.commands,
            }
            for finding in diagnosis.findings
        ],
        "advice": diagnosis.advice,
        "faster": diagnosis.faster,
    }


def _picked(one: object, *names: str) -> dict[str, Any]:
    return {name: getattr(one, name) for name in names}


def _row(finding: Finding, diagnosis: Diagnosis) -> list[str]:
    available = {True: "installed", False: "not installed", None: "can be installed"}[finding.installed]
    if finding.version is None:
        available = "does not exist"
    takes = ""
    if diagnosis.contents is not None and finding.version is not None:
        takes = "no" if finding.problems else "yes"
    tried = finding.smoke_test
    error, figures = tried.golden_error, (tried.us_per_step, tried.load_ms, tried.resident_mb)
    shown = ["" if x is None else f"{x:{form}}" for x, form in zip(figures, (".2f", ".1f", ".0f"), strict=True)]
    golden = "" if diagnosis.contents is None or error is None else f"right to {error:.1e}"
    # Without a file the question is for both formats, and numpy steps both.
    steps = f", .{finding.interpreter.format}" if finding.interpreter.is_fallback and diagnosis.contents is None else ""
    return [finding.name + steps, available, takes, golden, *shown]
