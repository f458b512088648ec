"""Backends: the interpreters that step a model file, and numpy."""
