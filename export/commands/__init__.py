"""Commands of the export side."""
