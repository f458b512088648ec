"""Build the one-step function of a Keras model."""
