"""What a run trains, decided once: revision, settings, data, champion; and whether it is new."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sortline.core.dvc import Pin, parse_pin, read_pin
from sortline.core.errors import ArtifactError, ParamsError, UnreachableError
from sortline.core.files import write_text
from sortline.core.git import git
from sortline.core.params import overlay, read_yaml
from sortline.core.programs import captured, last_lines
from sortline.experiments.identity import identity_of
from sortline.experiments.run import recipe_file
from sortline.orchestration.clone import Clone, cloned
from sortline.orchestration.run_store import RunStore, safe_name
from sortline.orchestration.settings import Settings

CURRENT = "data/current.json"
"""The file of the run store that says which dataset was announced last."""
_MD5 = re.compile(r"[0-9a-f]{32}\.dir")
_CHECKING_S = 300.0


@dataclass(frozen=True)
class Request:
    """What somebody, or a schedule, asks for; "" or {} where nothing is said.

    Attributes:
        run_id: the run's.
        revision: of the repository: a branch, a tag or a commit; its HEAD when empty.
        recipe: a name in recipes/.
        changes: laid over params.yaml after the recipe.
        data: a git revision whose data.dvc is taken, or the MD5 of a dataset.
        champion: an address for `sortline champion use`, or "none".
        dry_run: nothing is published.
        trigger: why it runs, for the notification.
    """

    run_id: str
    revision: str = ""
    recipe: str = ""
    changes: Mapping[str, Any] | None = None
    data: str = ""
    champion: str = ""
    dry_run: bool = False
    trigger: str = "manual"


@dataclass(frozen=True)
class Plan:
    """What a run trains.

    Attributes:
        run_id: the run's.
        revision: a commit.
        files: of git that differ from that commit, by path: text, or None when removed.
        recipe: its name, or "".
        data: MD5 of the dataset.
        identity: SHA-256 of all that the graph depends on: settings, data, code, champion.
        dry_run: nothing is published.
        trigger: why it runs.
        created: in UTC, ISO 8601: the date of the run's commit.
        same_as: id of an earlier run of the same identity, when this one has nothing to do.
    """

    run_id: str
    revision: str
    files: dict[str, str | None]
    recipe: str
    data: str
    identity: str
    dry_run: bool
    trigger: str
    created: str
    same_as: str | None


def place_of(run_id: str) -> str:
    """The folder of a run in the run store."""
    return f"runs/{safe_name(run_id)}"


def record_name(identity: str, *, dry_run: bool) -> str:
    """The record that keeps a run of this identity from being repeated."""
    return f"records/{identity}{'-dry' if dry_run else ''}.json"


def trained_name(data: str) -> str:
    """The record of the last run that came to an end on this dataset."""
    return f"records/data/{data}.json"


def only_drift(trigger: str) -> bool:
    """Whether nothing but a drift alert is why a run was started: it needs new data then."""
    return "sortline_drift" in trigger and "sortline_dataset" not in trigger


def read_plan(store: RunStore, run_id: str) -> Plan:
    """The plan of a run.

    Raises:
        ArtifactError: there is none.
    """
    facts = store.read(f"{place_of(run_id)}/plan.json")
    if facts is None:
        raise ArtifactError(
            f"The run {run_id} has no plan in {store.address}. Run `sortline retraining plan"
            f" --run-id {run_id}` first."
        )
    return Plan(**facts)


def _named(folder: Path, revision: str) -> Pin:
    if _MD5.fullmatch(revision):
        text = f"outs:\n- md5: {revision}\n  hash: md5\n  path: data\n"
        return Pin(revision, text)
    for name in (f"origin/{revision}", revision):
        try:
            return parse_pin(git(folder, "show", f"{name}:data.dvc"), f"data.dvc of {revision}")
        except UnreachableError:
            continue
    raise ParamsError(
        f"{revision!r} is no data revision. Give a git revision that has a data.dvc, or the MD5"
        " that one holds (32 hexadecimal digits and .dir)."
    )


def choose_data(folder: Path, revision: str, store: RunStore) -> Pin:
    """The dataset of a run.

    What was announced counts only as long as git still pins what it replaces: whoever commits
    another data.dvc later is the newer voice.

    Args:
        folder: a clone.
        revision: see `Request.data`; "" for the newest.
        store: where `sortline data-updated` announces.

    Raises:
        ParamsError: there is no such revision.
        DataError: git pins no dataset.
    """
    if revision:
        return _named(folder, revision)
    own = read_pin(folder / "data.dvc")
    announced = store.read(CURRENT)
    if announced and announced["replaces"] == own.digest:
        return parse_pin(announced["data_dvc"], f"{store.address}/{CURRENT}")
    return own


def _lay_settings(folder: Path, request: Request) -> None:
    laid = read_yaml(recipe_file(folder, request.recipe)) if request.recipe else {}
    base = read_yaml(folder / "params.yaml")
    settings = overlay(overlay(base, laid), request.changes or {})
    if settings != base:
        with (folder / "params.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(settings, file)
    # The code of that revision judges its own settings.
    check = [sys.executable, "-m", "sortline.orchestration.params"]
    done = captured(folder, check, timeout_s=_CHECKING_S)
    if done.returncode != 0:
        raise ParamsError(last_lines(done.stderr).removeprefix("sortline: "))


def _lay_champion(clone: Clone, uri: str) -> None:
    if not uri:
        return
    clone.sortline("champion", "use", uri)
    pointers = sorted((clone.folder / "champion").glob("*.dvc"))
    if pointers:
        names = [path.relative_to(clone.folder).as_posix() for path in pointers]
        clone.dvc("push", "--quiet", *names)


def _changed(folder: Path) -> dict[str, str | None]:
    git(folder, "add", "--all")
    names = git(folder, "diff", "--cached", "--name-only", "-z", "HEAD").split("\0")
    paths = {name: folder / name for name in names if name}
    return {
        name: path.read_text(encoding="utf-8") if path.is_file() else None
        for name, path in paths.items()
    }


def _planned(clone: Clone, request: Request, store: RunStore) -> Plan:
    folder = clone.folder
    commit = git(folder, "rev-parse", "HEAD").strip()
    _lay_settings(folder, request)
    data = choose_data(folder, request.data, store)
    if data.digest != read_pin(folder / "data.dvc").digest:
        write_text(folder / "data.dvc", data.text)
    _lay_champion(clone, request.champion)
    files = _changed(folder)
    identity = identity_of(folder, read_yaml(folder / "params.yaml"))
    earlier = store.read(record_name(identity, dry_run=request.dry_run))
    if not earlier and only_drift(request.trigger):
        earlier = store.read(trained_name(data.digest))
    return Plan(
        run_id=request.run_id,
        revision=commit,
        files=files,
        recipe=request.recipe,
        data=data.digest,
        identity=identity,
        dry_run=request.dry_run,
        trigger=request.trigger,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        same_as=earlier["run_id"] if earlier and earlier["run_id"] != request.run_id else None,
    )


def make_plan(request: Request, settings: Settings) -> Plan:
    """Decide what a run trains, and write it down; a run that has a plan keeps it.

    Raises:
        ParamsError: the revision, the recipe, the settings or the data revision are wrong.
        UnreachableError: the repository or the storage does not answer.
    """
    store = RunStore(settings.run_store)
    name = f"{place_of(request.run_id)}/plan.json"
    if store.read(name) is not None:
        return read_plan(store, request.run_id)
    place = f"{safe_name(request.run_id)}.plan"
    with cloned(settings, place, request.revision or "HEAD", {}) as clone:
        plan = _planned(clone, request, store)
    store.write(name, asdict(plan))
    return plan


def described(plan: Plan) -> str:
    """The plan for a person, in a task's log."""
    facts = {
        "run": plan.run_id,
        "trigger": plan.trigger,
        "git revision": plan.revision,
        "data revision": plan.data,
        "recipe": plan.recipe or "params.yaml as it is",
        "changed files": ", ".join(plan.files) or "none",
        "identity": plan.identity,
        "dry run": plan.dry_run,
    }
    return json.dumps(facts, indent=2)
