"""What an answer holds where the model refused the picture, in graph, client and tables."""

from typing import Final

REFUSED_CLASS_ID: Final = -1
REFUSED_LABEL: Final = ""
REFUSED_IN_TABLES: Final = "(invalid)"
"""Stands for the predicted label in predictions.parquet and in what is counted from it."""
