"""The commands that step model files. They import what they need when they are called: help shows without numpy."""
