"""Scores of several streams of one test set, joined by the names of the samples and added up."""
