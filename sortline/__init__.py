"""Sortline: retrain, gate and serve an image classifier, from one graph of steps."""

__version__ = "0.1.0"
