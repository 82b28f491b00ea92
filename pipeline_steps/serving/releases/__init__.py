"""Versions of a model, immutable and recorded; which of them is served, and how that changes."""
