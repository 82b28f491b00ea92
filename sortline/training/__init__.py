"""Backbones, weights, features and the two phases."""
