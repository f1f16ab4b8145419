"""Seen or unseen? The gate of generalised zero-shot recognition."""
