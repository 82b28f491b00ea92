"""Run by the tests in a process of its own: what a pod's end means for its task, as JSON.

A Kubernetes of one pod answers on loopback; the operator comes back from its deferral to it.
"""

import json
import logging
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BASE = {
    "ready": False,
    "restartCount": 0,
    "image": "image",
    "imageID": "image",
    "name": "base",
}
CONFIG = """\
apiVersion: v1
kind: Config
current-context: here
clusters: [{{name: here, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: here, context: {{cluster: here, user: nobody}}}}]
users: [{{name: nobody, user: {{}}}}]
"""


def pod(phase: str, status: int | None) -> dict[str, Any]:
    """A pod that has ended; its node was lost when it has no exit status."""
    ended = {"terminated": {"exitCode": status, "reason": "Error"}}
    containers = [] if status is None else [{**BASE, "state": ended}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "namespace": "sortline", "labels": {}, "annotations": {}},
        "spec": {"containers": [{"name": "base", "image": "image"}]},
        "status": {"phase": phase, "containerStatuses": containers},
    }


class Kubernetes(BaseHTTPRequestHandler):
    """Answers what the operator asks of one pod."""

    pod: dict[str, Any] | None = None
    deleted = False

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """The pod, its log, its events."""
        if "/events" in self.path:
            self._answer(200, b'{"apiVersion": "v1", "kind": "EventList", "items": []}')
        elif "/log" in self.path:
            self._answer(200, b"2026-11-21T10:00:00Z the last line\n")
        elif Kubernetes.pod is None:
            self._answer(404, b'{"kind": "Status", "code": 404}')
        else:
            self._answer(200, json.dumps(Kubernetes.pod).encode())

    def do_DELETE(self) -> None:
        """Remember that it was asked for."""
        Kubernetes.deleted = True
        self._answer(200, json.dumps(Kubernetes.pod).encode())

    def do_PATCH(self) -> None:
        """Accept everything."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, json.dumps(Kubernetes.pod).encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def ending(status: int | None, phase: str | None) -> dict[str, Any]:
    """Names of the classes of what the operator raises; none when it raises nothing."""
    from sortline.orchestration.pods import PodOfCommand, pod_arguments

    Kubernetes.pod = pod(phase, status) if phase else None
    Kubernetes.deleted = False
    task = PodOfCommand(task_id="stage", arguments=["retraining"], **pod_arguments("cpu"))
    said = "success" if phase == "Succeeded" else "failed"
    event = {"name": "pod", "namespace": "sortline", "status": said, "message": "it ended"}
    names: list[str] = []
    try:
        task.trigger_reentry({}, event)
    except Exception as error:  # Its class is what is asked for.
        names = [each.__name__ for each in type(error).__mro__]
    return {"raised": names, "deleted": Kubernetes.deleted}


def main() -> None:
    """Serve, ask, print."""
    logging.disable(logging.CRITICAL)
    with ThreadingHTTPServer(("127.0.0.1", 0), Kubernetes) as server:
        config = Path(sys.argv[1]) / "kubeconfig"
        config.write_text(CONFIG.format(port=server.server_port))
        os.environ["KUBECONFIG"] = str(config)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            asked = json.loads(sys.argv[2])
            found = [ending(status, phase) for status, phase in asked]
        finally:
            server.shutdown()
            thread.join()
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
