"""Errors, array types, atomic writes, terminal output: what every room needs."""
