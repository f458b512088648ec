"""Commands that run a model file on a device, and the options that several commands share.

This is the one room of the runtime that imports typer. Only `stepcell.cli` and the commands of `train` and `export`
import it.
"""
