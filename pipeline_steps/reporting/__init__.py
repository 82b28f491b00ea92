"""Figures and pages that a person reads."""
