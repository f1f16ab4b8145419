"""Archives of skeleton sequences: opened, looked through, read clip by clip, converted."""
