"""What the overlays render to, and where in it pods are."""

import functools
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
INFRA = REPOSITORY / "infra"
OVERLAYS = ("cpu", "gpu", "dev")
SERVED = ("cpu", "gpu")  # Those that read the store of releases.

Object = dict[str, Any]


@functools.cache
def render_folder(folder: Path) -> list[Object]:
    """Every object of a folder with a kustomization; not to be changed by a test."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders overlays offline, is not installed here")
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def render(overlay: str) -> list[Object]:
    """Every object of an overlay; not to be changed by a test."""
    return render_folder(INFRA / "k8s" / "overlays" / overlay)


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of this kind and name; generated names lose their hash."""
    found = [
        each
        for each in objects
        if each["kind"] == kind and each["metadata"]["name"].startswith(name)
    ]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]


@dataclass(frozen=True)
class Pod:
    """A pod's spec, and how it is called in a message."""

    name: str
    namespace: str
    labels: dict[str, str]
    spec: Object

    @property
    def runs_on(self) -> bool:
        """Whether it is meant to run until somebody ends it."""
        restart: str = self.spec.get("restartPolicy", "Always")
        return restart == "Always"

    def containers(self) -> Iterator[Object]:
        """All of them, sidecars first."""
        yield from self.spec.get("initContainers") or []
        yield from self.spec["containers"]


def _template(each: Object) -> Object | None:
    match each["kind"]:
        case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
            return dict(each["spec"]["template"])
        case "CronJob":
            return dict(each["spec"]["jobTemplate"]["spec"]["template"])
        case "Pod":
            return each
    return None


def pods(objects: list[Object]) -> list[Pod]:
    """Every pod that these objects lead to."""
    found = []
    for each in objects:
        if template := _template(each):
            where = each["metadata"].get("namespace", "")
            labels = template["metadata"].get("labels", {})
            name = f"{each['kind']} {each['metadata']['name']}"
            found.append(Pod(name, where, labels, template["spec"]))
    return found


def memory_bytes(quantity: str) -> int:
    """A quantity of Kubernetes with a binary suffix, or none."""
    units = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
    return int(quantity[:-2]) * units[quantity[-2:]] if quantity[-2:] in units else int(quantity)
