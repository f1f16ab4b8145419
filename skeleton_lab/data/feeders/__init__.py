"""What a room makes of an archive: batches of cropped, resized, augmented sequences of one stream."""
