"""Skeletons: joints, bones, left and right, key-point schemes and the maps between them, and their graphs."""
