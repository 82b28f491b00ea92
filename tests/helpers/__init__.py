"""What several test files share."""

from sortline.core.quiet import quiet_libraries

quiet_libraries()  # As the steps and the command do: before anything here imports TensorFlow.
