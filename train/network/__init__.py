"""Keras networks and their forward passes."""
