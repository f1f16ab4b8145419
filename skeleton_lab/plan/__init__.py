"""Can this machine, or a card that one does not own yet, train the rooms: settings, memory, hours."""
