"""Published systems, claimed against measured."""
