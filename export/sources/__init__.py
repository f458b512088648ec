"""Keras models in files of Keras 2 and 3, read as data and proven; run folders."""
