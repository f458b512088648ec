"""Fixtures shared by the tests of training."""

from __future__ import annotations

from dataclasses import replace

import pytest


@pytest.fixture(scope="module")
def without_xla():
    """Events are learned without XLA: compiling with it would take most of the time."""
    from stepcell.train import Events

    recipe = Events.recipe.fget
    patch = pytest.MonkeyPatch()
    patch.setattr(Events, "recipe", property(lambda self: replace(recipe(self), xla=False)))
    yield
    patch.undo()
