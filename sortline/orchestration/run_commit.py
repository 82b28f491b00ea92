"""The commit of a run: what was trained, as one commit that every clone makes alike."""

from collections.abc import Mapping

from sortline.core.git import git
from sortline.orchestration.calls import dvc
from sortline.orchestration.clone import Clone, write_lock
from sortline.orchestration.done_manifest import Done
from sortline.orchestration.graph import helpers
from sortline.orchestration.plan import Plan, list_code
from sortline.orchestration.run_store import safe_name


def branch_of(run_id: str) -> str:
    """The branch that keeps a run."""
    return f"runs/{safe_name(run_id)}"


def _commit(clone: Clone, plan: Plan, message: str) -> str:
    dates = {"GIT_AUTHOR_DATE": plan.created, "GIT_COMMITTER_DATE": plan.created}
    git(clone.folder, "add", "--all")
    git(clone.folder, "commit", "--quiet", "--allow-empty", "--message", message, **dates)
    return git(clone.folder, "rev-parse", "HEAD").strip()


def commit_run(clone: Clone, plan: Plan, done: Mapping[str, Done]) -> str:
    """Commit settings, data.dvc, champion and dvc.lock of a run; the commit's hash.

    The same plan and manifests give the same hash: a version that was published names a commit
    that `record` pushes later.
    """
    # Without the lists of code, who checks the branch out lacks what all stages depend on.
    listed = list_code(clone.folder, **clone.environment)
    write_lock(clone.folder, {**listed, **{name: each.lock for name, each in done.items()}})
    return _commit(clone, plan, f"Run {plan.run_id}")


def push_run(clone: Clone, plan: Plan, summary: str) -> None:
    """Commit what was added since, and push the run's branch.

    Raises:
        UnreachableError: the repository cannot be written to.
    """
    if lists := helpers(clone.folder):  # The tasks have pushed what they made.
        dvc(clone.folder, "push", "--quiet", *lists, **clone.environment)
    _commit(clone, plan, f"Record of the run {plan.run_id}\n\n{summary}")
    branch = branch_of(plan.run_id)
    # Forced: a record that is written again replaces the one of the killed try.
    git(clone.folder, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
