"""Regimes of training side by side: one dataset, one split, several seeds."""
