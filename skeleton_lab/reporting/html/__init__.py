"""What pages are made of: markup, line charts, clips as JSON, the player."""
