"""What the DAG files are, parsed in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers.workspaces import environment

_KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: nowhere
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
users: [{name: nobody, user: {}}]
"""


def probed(folder: Path, **variables: str) -> dict[str, Any]:
    """What probe.py prints with these variables, and a Kubernetes that is nowhere."""
    (folder / "kubeconfig").write_text(_KUBECONFIG)
    variables["KUBECONFIG"] = str(folder / "kubeconfig")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "probe.py")],
        env=environment(AIRFLOW_HOME=str(folder), **variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
