"""Measure the cost of a step of a model file on this machine, with and without stepcell."""
