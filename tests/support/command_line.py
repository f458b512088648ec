"""Commands in this process, as a person types them."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from stepcell.cli import app


def stepcell(*arguments, input=None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)
