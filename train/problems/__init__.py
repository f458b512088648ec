"""Problems: generators of symbol sequences and their batches."""
