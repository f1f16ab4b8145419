"""The layouts that are written, in one piece or as a stream."""
