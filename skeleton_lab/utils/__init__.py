"""What any program needs: atomic files, locks, flags, progress, dotted imports, and whose code may be named."""
