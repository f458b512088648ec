"""Write TensorFlow Lite files."""
