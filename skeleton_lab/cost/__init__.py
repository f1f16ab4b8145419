"""What a network costs: counted (``counting``), and by the recipe of each room (``program``)."""
