"""What a person does not wait for, and does not read, when a step or the command starts."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("first", ["keras", "tensorflow"])
def test_a_step_loads_tensorflow_in_silence_and_nothing_that_is_for_others(first: str) -> None:
    code = (
        f"import sys, pipeline_steps, {first}, tensorflow, keras\n"
        "print({'matplotlib', 'sklearn'} & set(sys.modules))\n"
        "import matplotlib.pyplot, sklearn.metrics\n"
        "print(tensorflow.constant(3).numpy(), sklearn.metrics.accuracy_score([1], [1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["set()", "3 1.0"]
    assert done.stderr == ""
