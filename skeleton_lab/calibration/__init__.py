"""How sure a network may be: its temperature, and when it had better say that it does not know."""
