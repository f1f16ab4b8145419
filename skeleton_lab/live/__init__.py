"""Naming actions while they happen."""
