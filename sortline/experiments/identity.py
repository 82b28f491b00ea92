"""Whether two runs are the same: one rule for `sortline run`, comparisons and schedulers."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sortline.core.dvc import read_pin
from sortline.core.errors import SortlineError
from sortline.core.files import sha256_file, sha256_json
from sortline.core.git import git
from sortline.core.graph import helpers, read_graph
from sortline.core.programs import captured, last_lines

_LISTING_S: Final = 300.0


def _code(root: Path, params: Mapping[str, Any]) -> dict[str, str]:
    """What each step can reach under these settings, as the checkout's own code lists it."""
    if not helpers(root):
        return {}  # An older commit, whose stages name their modules among their deps.
    command = [sys.executable, "-m", "sortline.core.closure", "--print"]
    done = captured(root, command, timeout_s=_LISTING_S, given=json.dumps(params))
    if done.returncode != 0:
        raise SortlineError(f"The code of the steps cannot be listed: {last_lines(done.stderr)}")
    code: dict[str, str] = json.loads(done.stdout)
    return code


def identity_of(root: Path, params: Mapping[str, Any]) -> str:
    """SHA-256 of all that the graph of a checkout depends on, and of nothing else.

    That is dvc.yaml, the sections of the settings that its stages name, the dataset that data.dvc
    pins, the files of git that stages read, champion/ among them, and the code that they reach.

    Args:
        root: the checkout.
        params: the settings of the run: those of params.yaml, with what is laid over them.

    Raises:
        DataError: data.dvc pins no dataset.
        SortlineError: the code cannot be listed, or git fails.
    """
    graph = read_graph(root)
    sections = {section for stage in graph.values() for section in stage.params}
    deps = sorted({dep for stage in graph.values() for dep in stage.deps})
    listed = git(root, "ls-files", "-z", "--", *deps, error=SortlineError).split("\0")
    files = [name for name in listed if name and (root / name).is_file()]
    facts = {
        "params": {name: params.get(name) for name in sorted(sections)},
        "code": _code(root, params),
        "graph": sha256_file(root / "dvc.yaml"),
        "data": read_pin(root / "data.dvc").digest,
        "files": [[name, sha256_file(root / name)] for name in sorted(files)],
    }
    return sha256_json(facts)
