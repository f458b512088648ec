"""The service behind `stepcell serve`: each record of a stream is stepped once, and kept."""
