"""A described pipeline (JSON on stdin) as Kubeflow Pipelines YAML (on stdout).

Runs where kfp is: in an environment of its own that has none of this project's packages, so it
imports kfp and the standard library alone. `sortline kubeflow compile` calls it.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, components, dsl, kubernetes

GIVEN, ANSWER = "kubeflow-input:", "kubeflow-output:answer"
_GPU = "nvidia.com/gpu"
Described = dict[str, Any]


def _argument(word: str) -> Any:
    if word == ANSWER:
        return {"outputPath": "answer"}
    return {"inputValue": word.removeprefix(GIVEN)} if word.startswith(GIVEN) else word


def _inputs(task: Described) -> list[str]:
    return [w.removeprefix(GIVEN) for w in task["arguments"] if w.startswith(GIVEN)]


def _component(task: Described) -> Any:
    outputs = [{"name": "answer", "type": "String"}] if ANSWER in task["arguments"] else []
    container = {
        "image": task["pod"]["image"],
        "command": [task["command"]],
        "args": [_argument(word) for word in task["arguments"]],
    }
    described = {
        "name": task["name"],
        "description": task["description"],
        "inputs": [{"name": name, "type": "String"} for name in _inputs(task)],
        "outputs": outputs,
        "implementation": {"container": container},
    }
    return components.load_component_from_text(yaml.safe_dump(described))


def _give_resources(step: Any, pod: Described) -> None:
    step.set_cpu_request(pod["requests"]["cpu"])
    step.set_memory_request(pod["requests"]["memory"])
    step.set_memory_limit(pod["limits"]["memory"])
    if _GPU in pod["limits"]:
        step.set_accelerator_type(_GPU)
        step.set_accelerator_limit(pod["limits"][_GPU])
    for name, value in pod["nodes"].items():
        kubernetes.add_node_selector(step, name, value)
    for key in pod["tolerated"]:
        kubernetes.add_toleration(step, key=key, operator="Exists", effect="NoSchedule")


def _give_volumes(step: Any, pod: Described, pipeline: Described) -> None:
    size = pod["limits"]["ephemeral-storage"]
    kubernetes.empty_dir_mount(step, "scratch", pipeline["scratch"], size_limit=size)
    if pod["state_claim"]:
        kubernetes.mount_pvc(step, pod["state_claim"], pipeline["state"])
    else:
        kubernetes.empty_dir_mount(step, "state", pipeline["state"], size_limit=size)


def _step(task: Described, pipeline: Described, values: dict[str, Any]) -> Any:
    pod = task["pod"]
    step = _component(task)(**{name: values[name] for name in _inputs(task)})
    step.set_display_name(task["name"])
    # DVC's run cache decides what is done again: it knows what a stage depends on.
    step.set_caching_options(enable_caching=False)
    for name, value in pod["variables"].items():
        step.set_env_variable(name, value)
    for name, value in pod["labels"].items():
        kubernetes.add_pod_label(step, name, value)
    kubernetes.set_timeout(step, task["timeout_s"])
    kubernetes.set_security_context(step, run_as_user=pipeline["user"], run_as_non_root=True)
    _give_resources(step, pod)
    _give_volumes(step, pod, pipeline)
    return step


def _tasks(pipeline: Described, values: dict[str, Any]) -> None:
    record = _step(pipeline["record"], pipeline, values)
    with dsl.ExitHandler(record, name="run"):
        planned = _step(pipeline["plan"], pipeline, values)
        with dsl.If(planned.outputs["answer"] == "new", name="new"):
            steps: dict[str, Any] = {}
            for task in pipeline["stages"]:
                steps[task["name"]] = _step(task, pipeline, values)
            for task in pipeline["stages"]:
                steps[task["name"]].after(*(steps[name] for name in task["after"]))


def compiled(pipeline: Described) -> str:
    """The YAML of a described pipeline."""
    explained = [f"{name}: {text}" for name, text in pipeline["parameters"].items()]
    about = " ".join(["The graph of dvc.yaml; every parameter can stay empty.", *explained])

    def graph(
        git_revision: str = "", recipe: str = "", data_revision: str = "", champion: str = ""
    ) -> None:
        given = {
            "git_revision": git_revision,
            "recipe": recipe,
            "data_revision": data_revision,
            "champion": champion,
        }
        _tasks(pipeline, {**given, "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER})

    made = dsl.pipeline(name=pipeline["name"], description=about)(graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(made, str(path))
        return path.read_text(encoding="utf-8")


def main() -> None:
    """Read, compile, print."""
    sys.stdout.write(compiled(json.load(sys.stdin)))


if __name__ == "__main__":
    main()
