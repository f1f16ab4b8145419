"""Settings of a run: flags, YAML, their values and what they mean together."""
