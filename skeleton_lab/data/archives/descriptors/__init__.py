"""Descriptors beside an archive: a vector for each clip, or one for each of its frames, of an image network say."""
