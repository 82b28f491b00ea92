"""The graph as dvc.yaml has it: stages, edges and what a scheduler needs to know of each.

Imports the standard library and yaml alone: DAG files are parsed every few seconds.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sortline.core.errors import ParamsError

_MADE = ("outs", "metrics", "plots")


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml.

    Attributes:
        name: the stage's, and its task's.
        description: one sentence.
        upstream: names of the stages that make what it reads.
        params: sections of params.yaml that it depends on.
        deps: paths that it reads, as dvc.yaml has them.
        metrics: small JSON files among what it makes.
        resources: "cpu" or "gpu".
        timeout_s: after which it has hung.
    """

    name: str
    description: str
    upstream: tuple[str, ...]
    params: tuple[str, ...]
    deps: tuple[str, ...]
    metrics: tuple[str, ...]
    resources: str
    timeout_s: int


def _paths(entries: list[Any] | None) -> tuple[str, ...]:
    # An entry is a path, or {path: options}.
    return tuple(entry if isinstance(entry, str) else next(iter(entry)) for entry in entries or [])


def _overlaps(one: str, other: str) -> bool:
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


def _makers(deps: tuple[str, ...], made: dict[str, str]) -> tuple[str, ...]:
    makers = {maker for dep in deps for out, maker in made.items() if _overlaps(dep, out)}
    return tuple(sorted(makers))


def _stage(name: str, entry: dict[str, Any], made: dict[str, str]) -> Stage:
    deps = _paths(entry.get("deps"))
    return Stage(
        name=name,
        description=entry.get("desc", name),
        upstream=_makers(deps, made),
        params=_paths(entry.get("params")),
        deps=deps,
        metrics=_paths(entry.get("metrics")),
        resources=entry["meta"]["resources"],
        timeout_s=entry["meta"]["timeout_s"],
    )


def _is_task(entry: dict[str, Any]) -> bool:
    return bool(entry["meta"].get("task", True))


def helpers(root: Path) -> list[str]:
    """Stages of `root`/dvc.yaml that are no tasks: what they make depends on the code alone."""
    entries = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return [name for name, entry in entries.items() if not _is_task(entry)]


def read_graph(root: Path) -> dict[str, Stage]:
    """The stages of `root`/dvc.yaml that are tasks, by name, in the order of the file.

    A stage whose meta says `task: false` is none: DVC runs it with the first that needs it.

    Raises:
        ParamsError: there is no such file, or a stage lacks what a scheduler has to know.
    """
    path = root / "dvc.yaml"
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        tasks = {name: entry for name, entry in entries.items() if _is_task(entry)}
        made = {
            out: name
            for name, entry in tasks.items()
            for k in _MADE
            for out in _paths(entry.get(k))
        }
        return {name: _stage(name, entry, made) for name, entry in tasks.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ParamsError(
            f"{path} is not a graph that can be scheduled ({error!r}). Every stage needs"
            " meta.resources and meta.timeout_s; `dvc stage list` says whether DVC can read it."
        ) from error


def edges(graph: dict[str, Stage]) -> set[tuple[str, str]]:
    """Pairs of (upstream, downstream) stage names."""
    return {(above, stage.name) for stage in graph.values() for above in stage.upstream}


def closure(graph: dict[str, Stage], name: str) -> list[str]:
    """All stages above `name`, in the graph's order; without itself."""
    stages, waiting = set[str](), list(graph[name].upstream)
    while waiting:
        if (above := waiting.pop()) not in stages:
            stages.add(above)
            waiting += graph[above].upstream
    return [stage for stage in graph if stage in stages]


def stage_of(graph: dict[str, Stage], name: str) -> Stage:
    """A stage by name.

    Raises:
        ParamsError: there is none of that name; the message lists those there are.
    """
    if name not in graph:
        raise ParamsError(f"dvc.yaml has no stage {name!r}. It has: {', '.join(graph)}.")
    return graph[name]
