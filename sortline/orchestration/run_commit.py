"""The commit of a run: what was trained, as one commit that every clone makes alike."""

from collections.abc import Mapping
from typing import Any

from sortline.core.dvc import read_lock, write_lock
from sortline.core.git import git
from sortline.core.graph import helpers
from sortline.orchestration.clone import Clone
from sortline.orchestration.done_manifest import Done
from sortline.orchestration.plan import Plan
from sortline.orchestration.run_store import safe_name


def branch_of(run_id: str) -> str:
    """The branch that keeps a run."""
    return f"runs/{safe_name(run_id)}"


def _commit(clone: Clone, plan: Plan, message: str) -> str:
    dates = {"GIT_AUTHOR_DATE": plan.created, "GIT_COMMITTER_DATE": plan.created}
    git(clone.folder, "add", "--all")
    git(clone.folder, "commit", "--quiet", "--allow-empty", "--message", message, variables=dates)
    return git(clone.folder, "rev-parse", "HEAD").strip()


def _lists_of_code(clone: Clone) -> dict[str, Any]:
    """Run the stages that list code, which are no tasks; their locks by name.

    Without them a person who checks the run's branch out lacks what all other stages depend on.
    """
    names = helpers(clone.folder)
    if not names:
        return {}
    clone.dvc("repro", "--quiet", *names)
    locked = read_lock(clone.folder)
    return {name: locked[name] for name in names}


def commit_run(clone: Clone, plan: Plan, done: Mapping[str, Done]) -> str:
    """Commit settings, data.dvc, champion and dvc.lock of a run; the commit's hash.

    The same plan and manifests give the same hash: a version that was published names a commit
    that `record` pushes later.
    """
    locked = {**_lists_of_code(clone), **{name: each.lock for name, each in done.items()}}
    write_lock(clone.folder, locked)
    return _commit(clone, plan, f"Run {plan.run_id}")


def push_run(clone: Clone, plan: Plan, summary: str) -> None:
    """Commit what was added since, and push the run's branch.

    Raises:
        UnreachableError: the repository, or DVC's remote, cannot be written to.
    """
    if lists := helpers(clone.folder):  # The tasks have pushed what they made.
        clone.dvc("push", "--quiet", *lists)
    _commit(clone, plan, f"Record of the run {plan.run_id}\n\n{summary}")
    branch = branch_of(plan.run_id)
    # Forced: a record that is written again replaces the one of the killed try.
    git(clone.folder, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
