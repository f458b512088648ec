"""Answer lines as they come from a pipe or a growing file, and continue after an interruption.

`loop` reads a line from `lines` or `file_lines`, `session` parses and answers it, `signals` ends the loop between two
lines. The states of the streams and the offset in the file are saved together.
"""
