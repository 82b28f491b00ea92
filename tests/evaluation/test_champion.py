"""The champion: taken whole or not at all, and seen by everything that runs the graph."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.errors import ArtifactError, BusyError, GateError
from sortline.core.files import digest_tree, exclusive, write_json
from sortline.core.paths import Paths
from sortline.evaluation.champion import read_champion, use
from sortline.model.contract import (
    Contract,
    Preprocessing,
    signatures,
    write_contract,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytest_plugins = ["helpers.s3_server"]

FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"index"}


def make_model(folder: Path, content: bytes = b"weights") -> str:
    """A folder that is a whole model of this pipeline, as far as its contract goes; its digest."""
    for name, data in {**FILES, "variables/variables.data-00000-of-00001": content}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    contract = Contract(
        format_version=1,
        signatures=signatures(2, 32),
        labels=("glass", "metal"),
        preprocessing=Preprocessing(
            image_size_px=32,
            resize="bilinear",
            scale=1.0,
            offset=0.0,
            max_pixels=1000,
            formats=("png",),
            exif_orientation="ignored",
        ),
        temperature=1.0,
        train_class_counts={"glass": 1, "metal": 2},
        versions={},
        min_serving_version="2.20",
        model_digest="",
    )
    return write_contract(folder, contract).model_digest


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A repository without git and DVC, whose champion is an old model."""
    paths = Paths(tmp_path / "repository")
    paths.root.mkdir()
    make_model(tmp_path / "old", b"old weights")
    use(str(tmp_path / "old"), paths)
    return paths


@pytest.fixture
def unchanged(paths: Paths) -> Iterator[None]:
    """What is refused must leave the old champion, and nothing beside it."""
    before = digest_tree(paths.champion)
    yield
    assert digest_tree(paths.champion) == before
    assert sorted(path.name for path in paths.root.iterdir()) == [".sortline", "champion"]


def test_a_folder_becomes_the_champion(paths: Paths, tmp_path: Path) -> None:
    digest = make_model(tmp_path / "new")
    champion, _ = use(str(tmp_path / "new"), paths)
    assert champion is not None
    assert (champion.digest, champion.labels) == (digest, ("glass", "metal"))
    assert read_champion(paths.champion) == champion
    facts = json.loads((paths.champion / "champion.json").read_text())
    assert facts == {
        "uri": str(tmp_path / "new"),
        "digest": digest,
        "labels": ["glass", "metal"],
    }
    assert not (paths.root / ".champion.old.partial").exists()


def test_none_takes_the_champion_away(paths: Paths) -> None:
    assert use("none", paths)[0] is None
    assert read_champion(paths.champion) is None
    assert [path.name for path in paths.champion.iterdir()] == ["none.json"]
    assert json.loads((paths.champion / "none.json").read_text()) == {"champion": None}


def test_the_repository_says_which_champion_it_has() -> None:
    folder = Path(__file__).resolve().parents[2] / "champion"
    assert len(list(folder.glob("*.json"))) == 1  # none.json, or the champion of whoever works here


def test_a_path_inside_the_repository_is_kept_as_one(paths: Paths) -> None:
    make_model(paths.saved_model)
    champion, _ = use(f"file://{paths.saved_model}", paths)
    assert champion is not None
    assert champion.uri == "artifacts/saved_model"


def test_a_release_is_the_same_champion_as_the_export_it_came_from(
    paths: Paths, tmp_path: Path
) -> None:
    """Publishing adds warm-up requests and lineage: the gate must not run again for them."""
    make_model(tmp_path / "base" / "7")
    use(str(tmp_path / "base" / "7"), paths)
    before = digest_tree(paths.champion / "model")
    for name in ("tf_serving_warmup_requests", "lineage.json"):
        (tmp_path / "base" / "7" / "assets.extra" / name).write_text("{}")
    use(str(tmp_path / "base" / "7"), paths)
    assert digest_tree(paths.champion / "model") == before


@pytest.mark.usefixtures("unchanged")
def test_a_release_base_is_refused_and_its_versions_are_named(paths: Paths, tmp_path: Path) -> None:
    for version in ("2", "10", "9"):
        make_model(tmp_path / "base" / version)
    with pytest.raises(GateError, match=r"versions 2, 9, 10; .* e\.g\. .*base/10\."):
        use(str(tmp_path / "base"), paths)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("uri", ["nowhere", "file:///nowhere", "https://host/model"])
def test_what_is_not_there_is_refused(paths: Paths, uri: str) -> None:
    with pytest.raises(GateError, match=r"is not a folder|has to be a folder"):
        use(uri, paths)


@pytest.mark.usefixtures("unchanged")
def test_a_folder_without_a_model_is_refused(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(GateError, match=r"no saved_model\.pb"):
        use(str(tmp_path / "empty"), paths)


@pytest.mark.usefixtures("unchanged")
def test_a_model_of_another_pipeline_is_refused(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "saved_model.pb").write_bytes(b"graph")
    with pytest.raises(GateError, match="cannot be the champion"):
        use(str(tmp_path / "foreign"), paths)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("damage", ["cut", "missing", "more"])
def test_a_model_that_is_not_what_was_exported_is_refused(
    paths: Paths, tmp_path: Path, damage: str
) -> None:
    make_model(tmp_path / "new")
    index = tmp_path / "new" / "variables" / "variables.index"
    if damage == "cut":
        index.write_bytes(b"ind")
    elif damage == "missing":
        index.unlink()
    else:
        (index.parent / "extra").write_bytes(b"x")
    with pytest.raises(GateError, match="is not what was exported"):
        use(str(tmp_path / "new"), paths)


@pytest.mark.usefixtures("unchanged")
def test_an_interrupt_leaves_the_old_champion(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    make_model(tmp_path / "new")
    monkeypatch.setattr("shutil.copyfile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        use(str(tmp_path / "new"), paths)


def test_a_kill_between_the_renames_is_healed_by_the_next_use(paths: Paths) -> None:
    before = digest_tree(paths.champion)
    paths.champion.rename(paths.root / ".champion.old.partial")
    (paths.root / ".champion.incoming" / "model").mkdir(parents=True)
    with pytest.raises(GateError):
        use("nowhere", paths)
    assert digest_tree(paths.champion) == before
    assert not (paths.root / ".champion.incoming").exists()


@pytest.mark.usefixtures("unchanged")
def test_it_does_not_change_under_a_gate_that_runs(paths: Paths) -> None:
    lock = paths.root / ".sortline" / "gate.lock"
    with exclusive(lock, "gate"), pytest.raises(BusyError, match="champion use"):
        use("none", paths)


def test_a_clone_without_the_model_is_told_to_pull_it(paths: Paths) -> None:
    shutil.rmtree(paths.champion / "model")
    with pytest.raises(GateError, match=r"dvc pull champion/model\.dvc"):
        read_champion(paths.champion)


def test_another_model_in_its_place_is_noticed(paths: Paths) -> None:
    shutil.rmtree(paths.champion / "model")
    make_model(paths.champion / "model", b"not that one")
    with pytest.raises(GateError, match=r"champion\.json names"):
        read_champion(paths.champion)


def test_a_folder_that_does_not_say_what_it_is_is_refused(paths: Paths) -> None:
    write_json(paths.champion / "none.json", {"champion": None})
    with pytest.raises(GateError, match="holds both"):
        read_champion(paths.champion)
    shutil.rmtree(paths.champion)
    with pytest.raises(GateError, match="holds neither"):
        read_champion(paths.champion)


@pytest.mark.parametrize("content", [[], {}, {"uri": "x", "digest": "y"}, None])
def test_facts_that_say_too_little_are_refused(paths: Paths, content: object) -> None:
    write_json(paths.champion / "champion.json", content)
    with pytest.raises(GateError, match=r"champion\.json lacks"):
        read_champion(paths.champion)


def test_the_commands_say_which_model_it_is(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(paths.root)

    def call(*arguments: str) -> str:
        return CliRunner().invoke(app, ["champion", *arguments], catch_exceptions=False).stdout

    digest = make_model(tmp_path / "new")
    for said in (call("use", str(tmp_path / "new")), call("show")):
        assert f"Champion {digest[:12]}" in said
        assert "2 classes: glass, metal" in said
    assert json.loads(call("show", "--json"))["digest"] == digest
    assert "No champion" in call("use", "none")
    assert json.loads(call("show", "--json")) is None


# From a bucket, on a real server on loopback.


@pytest.fixture
def bucket(empty_s3: str, tmp_path: Path) -> "S3Client":
    """A new bucket `models`, with a model under releases/waste/3."""
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="models")
    make_model(tmp_path / "3")
    for path in (tmp_path / "3").rglob("*"):
        if path.is_file():
            name = path.relative_to(tmp_path).as_posix()
            client.upload_file(str(path), "models", f"releases/waste/{name}")
    return client


def test_a_bucket_holds_a_champion(paths: Paths, bucket: "S3Client", tmp_path: Path) -> None:
    bucket.put_object(Bucket="models", Key="releases/waste/3/", Body=b"")  # a folder's mark
    bucket.put_object(Bucket="models", Key="releases/waste/31/other", Body=b"x")
    champion, _ = use("s3://models/releases/waste/3", paths)
    assert champion is not None
    assert digest_tree(champion.folder) == digest_tree(tmp_path / "3")
    assert champion.uri == "s3://models/releases/waste/3"


@pytest.mark.usefixtures("unchanged")
def test_a_download_that_is_not_whole_leaves_the_old_champion(
    paths: Paths, bucket: "S3Client"
) -> None:
    bucket.delete_object(Bucket="models", Key="releases/waste/3/variables/variables.index")
    with pytest.raises(GateError, match="is not what was exported"):
        use("s3://models/releases/waste/3/", paths)


@pytest.mark.usefixtures("unchanged", "bucket")
@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://models/releases/waste", "versions 3; one model is required"),
        ("s3://models/nothing", "no saved_model.pb"),
        ("s3://other/x", "listing objects failed: .*NoSuchBucket"),
    ],
)
def test_a_wrong_address_leaves_the_old_champion(paths: Paths, uri: str, said: str) -> None:
    with pytest.raises(GateError, match=said):
        use(uri, paths)


@pytest.mark.usefixtures("unchanged")
def test_a_key_that_leads_out_is_refused(paths: Paths, bucket: "S3Client") -> None:
    bucket.put_object(Bucket="models", Key="releases/waste/3/../../../../out", Body=b"x")
    with pytest.raises(GateError, match="which is no path"):
        use("s3://models/releases/waste/3", paths)


# In a repository of git and DVC.


def _call(root: Path, *command: str) -> str:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "true"}
    words = [sys.executable, "-m", *command] if command[0] == "dvc" else list(command)
    done = subprocess.run(
        words, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Paths:
    """Git, DVC, and one stage that writes down which champion it saw."""
    root = tmp_path / "repository"
    root.mkdir()
    for command in (
        "git init -q",
        "git config user.email a@example.com",
        "git config user.name a",
        "dvc init -q",
        "dvc config core.analytics false",
    ):
        _call(root, *command.split())
    (root / ".gitignore").write_text(".*.partial\n/.sortline/\n/seen.json\n")
    (root / "dvc.yaml").write_text(
        "stages: {gate: {cmd: cat champion/*.json champion/model/variables/variables.data* >"
        " seen.json || true, deps: [champion], outs: [seen.json]}}\n"
    )
    paths = Paths(root)
    use("none", paths)
    _call(root, "git", "add", "-A")
    _call(root, "git", "commit", "-qm", "none")
    return paths


def test_dvc_keeps_the_model_and_git_its_address(repository: Paths, tmp_path: Path) -> None:
    make_model(tmp_path / "new")
    _, remarks = use(str(tmp_path / "new"), repository)
    staged = _call(repository.root, "git", "status", "--short").splitlines()
    assert staged == [
        "A  champion/.gitignore",
        "A  champion/champion.json",
        "A  champion/model.dvc",
        "D  champion/none.json",
    ]
    assert "staged" in remarks[0]
    assert list((repository.root / ".dvc" / "cache").rglob("*.dir"))


def test_when_dvc_does_not_take_it_the_old_champion_stays(
    repository: Paths, tmp_path: Path
) -> None:
    make_model(tmp_path / "new")
    (repository.root / "dvc.yaml").write_text("stages: [")
    with pytest.raises(ArtifactError, match=r"`dvc add` failed: exit (code|status)"):
        use(str(tmp_path / "new"), repository)
    assert read_champion(repository.champion) is None
    status = _call(repository.root, "git", "status", "--short").splitlines()
    assert status == [" M dvc.yaml"]


@pytest.mark.slow
def test_experiments_and_clones_see_the_champion(repository: Paths, tmp_path: Path) -> None:
    """Without staging, `dvc exp run --temp` would gate against no champion, or fail."""
    make_model(tmp_path / "new", b"the new weights")
    use(str(tmp_path / "new"), repository)
    _call(repository.root, "dvc", "exp", "run", "--temp", "-n", "tried")
    _call(repository.root, "dvc", "get", ".", "seen.json", "--rev", "tried", "-o", "got.json")
    assert "the new weights" in (repository.root / "got.json").read_text()

    _call(repository.root, "dvc", "repro")
    _call(repository.root, "git", "add", "-A", "champion", "dvc.lock")
    _call(repository.root, "git", "commit", "-qm", "champion")
    _call(repository.root, "dvc", "remote", "add", "-d", "shared", str(tmp_path / "remote"))
    _call(repository.root, "git", "commit", "-qam", "remote")
    _call(repository.root, "dvc", "push", "-q", "--run-cache")
    _call(tmp_path, "git", "clone", "-q", str(repository.root), "clone")
    said = _call(tmp_path / "clone", "dvc", "repro", "--pull", "gate")
    assert "Running stage" not in said
    pulled, ours = (
        read_champion(root / "champion") for root in (tmp_path / "clone", repository.root)
    )
    assert pulled is not None
    assert ours is not None
    assert pulled.digest == ours.digest
    assert "the new weights" in (tmp_path / "clone" / "seen.json").read_text()


@pytest.mark.slow
def test_the_gate_runs_again_when_the_champion_changes(repository: Paths, tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        make_model(tmp_path / "new", content)
        use(str(tmp_path / "new"), repository)
        assert "Running stage 'gate'" in _call(repository.root, "dvc", "repro")
        assert "Running stage" not in _call(repository.root, "dvc", "repro")
    use("none", repository)
    _call(repository.root, "dvc", "repro")
    assert json.loads((repository.root / "seen.json").read_text()) == {"champion": None}


@pytest.mark.slow
def test_autostaging_leaves_nothing_behind(repository: Paths, tmp_path: Path) -> None:
    _call(repository.root, "dvc", "config", "core.autostage", "true")
    _call(repository.root, "git", "commit", "-qam", "autostage")
    make_model(tmp_path / "new")
    use(str(tmp_path / "new"), repository)
    assert ".champion" not in _call(repository.root, "git", "status", "--short")
