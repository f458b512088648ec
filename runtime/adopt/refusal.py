"""What is said where a file cannot be adopted."""

from __future__ import annotations

from ..errors import AdoptionError


def refusal(name: str, problems: list[str]) -> AdoptionError:
    """Return the error that lists all `problems` of the file `name`."""
    listed = [f"  - {problem}" for problem in problems]
    return AdoptionError("\n".join([f"{name} cannot be adopted:", *listed, "Nothing was written."]))
