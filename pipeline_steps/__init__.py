"""Sortline: retrain, gate and serve an image classifier, from one graph of steps."""

from pipeline_steps.quiet import quiet_libraries

__version__ = "0.1.0"

quiet_libraries()  # Here, because it has to come before any import of TensorFlow below.
