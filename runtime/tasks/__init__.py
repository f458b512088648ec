"""Tasks over a stream: generate, score, detect anomalies."""
