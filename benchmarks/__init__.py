"""How fast the lab is, measured on the machine at hand: ``python -m benchmarks.NAME``."""

import skeleton_lab  # noqa: F401  first of all: it says in one line what the environment lacks
