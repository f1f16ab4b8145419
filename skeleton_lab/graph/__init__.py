"""Skeletons as graphs: edge lists, partitions, normalisations."""
