"""`python -m pipeline_steps.serving.model_server`: the stand-in for TensorFlow Serving, by name."""

import runpy

if __name__ == "__main__":
    runpy.run_module("sortline.standin.model_server", run_name="__main__", alter_sys=True)
