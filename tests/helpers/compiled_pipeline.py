"""A compiled Kubeflow pipeline, read as its backend reads it: tasks, conditions, commands."""

import re
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

Spec = dict[str, Any]
Call = Callable[[str, list[str]], object]
_CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\] == '([^']*)'")


def _made_by(task: Spec) -> set[str]:
    inputs = task.get("inputs", {}).get("parameters", {}).values()
    return {
        each["taskOutputParameter"]["producerTask"]
        for each in inputs
        if "taskOutputParameter" in each
    }


def _upstream(task: Spec) -> set[str]:
    return set(task.get("dependentTasks", [])) | _made_by(task)


class Compiled:
    """The two documents of a pipeline's YAML."""

    def __init__(self, path: Path) -> None:
        self.spec, platform = yaml.safe_load_all(path.read_text(encoding="utf-8"))
        self.pods: Spec = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    def graphs(self) -> Iterator[dict[str, Spec]]:
        """The tasks of each level, the outermost first."""
        yield self.spec["root"]["dag"]["tasks"]
        for component in self.spec["components"].values():
            if "dag" in component:
                yield component["dag"]["tasks"]

    def edges(self) -> set[tuple[str, str]]:
        """Pairs of (upstream, downstream) names of tasks on one level."""
        return {
            (above, name)
            for tasks in self.graphs()
            for name, task in tasks.items()
            for above in _upstream(task)
        }

    def containers(self) -> dict[str, Spec]:
        """What each task's pod runs."""
        executors = self.spec["deploymentSpec"]["executors"]
        return {name.removeprefix("exec-"): each["container"] for name, each in executors.items()}

    def run(self, given: dict[str, str], run_id: str, answers: Path, call: Call) -> None:
        """Call each container's command in dependency order.

        Args:
            given: parameters of the pipeline.
            run_id: of the pipeline's job.
            answers: a folder for what tasks answer.
            call: gets a task's name and the whole command.
        """
        walk = _Walk(self, run_id, answers, call)
        walk.tasks(self.spec["root"]["dag"]["tasks"], given)


class _Walk:
    def __init__(self, compiled: Compiled, run_id: str, answers: Path, call: Call) -> None:
        self.compiled, self.run_id, self.answers, self.call = compiled, run_id, answers, call

    def tasks(self, tasks: dict[str, Spec], given: dict[str, str]) -> None:
        order = TopologicalSorter({name: _upstream(task) for name, task in tasks.items()})
        for name in order.static_order():
            task = tasks[name]
            values = {
                key: self._value(each, given)
                for key, each in task.get("inputs", {}).get("parameters", {}).items()
            }
            if self._wanted(task, values):
                self._do(name, task, values)

    def _value(self, source: Spec, given: dict[str, str]) -> str:
        if "componentInputParameter" in source:
            return given[source["componentInputParameter"]]
        if "taskOutputParameter" in source:
            producer: str = source["taskOutputParameter"]["producerTask"]
            return (self.answers / producer).read_text()
        constant: str = source["runtimeValue"]["constant"]
        return constant.replace("{{$.pipeline_job_uuid}}", self.run_id)

    def _wanted(self, task: Spec, values: dict[str, str]) -> bool:
        text = task.get("triggerPolicy", {}).get("condition")
        if text is None:
            return True
        condition = _CONDITION.fullmatch(text)
        assert condition, text
        return values[condition[1]] == condition[2]

    def _do(self, name: str, task: Spec, values: dict[str, str]) -> None:
        component = self.compiled.spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            self.tasks(component["dag"]["tasks"], values)
            return
        container = self.compiled.containers()[component["executorLabel"].removeprefix("exec-")]
        words = [*container["command"], *container["args"]]
        self.call(name, [self._put_in(word, name, values) for word in words])

    def _put_in(self, word: str, name: str, values: dict[str, str]) -> str:
        for key, value in values.items():
            word = word.replace(f"{{{{$.inputs.parameters['{key}']}}}}", value)
        output = "{{$.outputs.parameters['answer'].output_file}}"
        return word.replace(output, str(self.answers / name))
