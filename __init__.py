"""stepcell: recurrent models for symbol streams, with their state in plain sight.

The rooms are imported on their own: `stepcell.runtime` (numpy and one interpreter),
`stepcell.export` and `stepcell.train` (TensorFlow). Importing `stepcell` imports none of them.
"""

__version__ = "0.1.0"
