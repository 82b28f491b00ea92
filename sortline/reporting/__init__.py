"""Figures, report and its templates."""
