"""What pages are made of: templates and their shell, line charts, clips as JSON, the player."""
