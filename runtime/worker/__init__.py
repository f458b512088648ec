"""A process that steps, replays and measures model files without TensorFlow, for the exporter and the doctor."""
