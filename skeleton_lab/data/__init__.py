"""Archives of skeleton sequences, random access to their clips, and what feeders make of them."""
