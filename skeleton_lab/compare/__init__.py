"""Finished runs beside each other: accuracy with intervals, paired tests, classes, cost, published figures."""
