"""``--memory``: what a step needs, counted beforehand, and the settings by which it fits."""
