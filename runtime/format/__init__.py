"""The model file: container, manifest, vocabulary, and readers of both graph formats."""
