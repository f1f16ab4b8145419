"""People who never lived: an NTU RGB+D archive of synthetic clips, and recordings of them as ``.skeleton`` files."""
