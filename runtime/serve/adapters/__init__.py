"""Sources of records and outputs of answers of `stepcell serve`."""
