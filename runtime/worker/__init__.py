"""The worker process that replays and measures a file away from TensorFlow."""
