"""C from model files: one step with explicit state, printed, compiled and compared."""
