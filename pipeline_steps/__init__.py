"""The eight stages of dvc.yaml, a module each; they are run by name, and nothing imports them."""

from sortline.core.quiet import quiet_libraries

quiet_libraries()  # Here, because it has to come before a step imports TensorFlow.
