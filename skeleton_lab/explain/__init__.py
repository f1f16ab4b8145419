"""Which joints and moments a network's decision rests on: ``skeleton-lab explain`` (docs/explain.md)."""
