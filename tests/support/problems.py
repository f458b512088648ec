"""Problems with another recipe, so that a test of something else need not wait for compilation."""

from __future__ import annotations

from dataclasses import fields, replace

from stepcell.train import Problem


def with_recipe(problem: Problem, **changes) -> Problem:
    """The problem with some values of its recipe changed."""
    kind = type(problem)

    def recipe(self):
        return replace(kind.recipe.fget(self), **changes)

    other = type(kind.__name__, (kind,), {"recipe": property(recipe)})
    return other(*(getattr(problem, field.name) for field in fields(kind)))
