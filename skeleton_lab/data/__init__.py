"""From recordings and archives to batches."""
