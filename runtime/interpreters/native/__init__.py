"""The compiled engine: runs the plan of a step in C, where `_engine` has been compiled."""
