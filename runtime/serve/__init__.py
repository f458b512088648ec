"""Feeds lines to streams of a model as they come, and goes on after an interruption where it stopped.

What comes from a pipe or a growing file is read line by line; the states of the streams and the place in the file are
saved together.
"""
