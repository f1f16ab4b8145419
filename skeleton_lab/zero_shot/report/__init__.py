"""The report of a zero-shot run."""
