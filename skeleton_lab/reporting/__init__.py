"""Pages and pictures that people look at: the report of a run, the viewer, and the parts that both are made of."""
