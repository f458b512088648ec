"""Trace functions of TensorFlow as graphs without variables, which a step function takes up as they are."""
