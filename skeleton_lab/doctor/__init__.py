"""Looks an archive of skeleton clips over before anybody trains on it: what is in it, and what is wrong with it."""
