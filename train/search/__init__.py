"""Search over network shapes and options."""
