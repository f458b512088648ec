"""The run folder and its pictures."""
