"""Publish, promote, roll back, synchronise."""
