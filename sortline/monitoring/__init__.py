"""The log of predictions, late labels, drift."""
