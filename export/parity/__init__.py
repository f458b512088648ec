"""Prove that a file answers as Keras does."""
