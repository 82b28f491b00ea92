"""`sortline publish`: what it refuses and records; a version is whole, or not there."""

import json
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.release_parts import LIMITS, WARM_UP, Candidates, fake_model
from obstore.store import MemoryStore

from sortline.core.errors import ArtifactError, ParamsError, RefusedError, ReleaseError
from sortline.core.files import digest_tree, sha256_file, write_json
from sortline.core.storage.cloud import CloudStorage
from sortline.evaluation.champion import fetch
from sortline.releases.admission import read_made
from sortline.releases.publish import _same
from sortline.releases.records import LINEAGE, Lineage, publisher, read_record
from sortline.releases.store import Store, open_store, record_name
from sortline.releases.version_check import version_digest

pytest_plugins = ["helpers.release_fixtures"]


def files_of(store: Store, version: int) -> dict[str, bytes]:
    with store.fetched(version) as folder:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }


def lineage_of(store: Store, version: int) -> dict[str, object]:
    value = json.loads(files_of(store, version)[LINEAGE])
    assert isinstance(value, dict)
    return value


def test_a_version_is_the_validated_bytes_and_its_lineage(
    store: Store, candidates: Candidates
) -> None:
    folder = candidates.make()
    done = candidates.publish(store)
    assert (done.version, done.is_new) == (1, True)
    found = files_of(store, 1)
    lineage = Lineage.model_validate_json(found.pop(LINEAGE))
    assert found == {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert lineage.version_digest == digest_tree(folder)
    assert lineage.published_at == "2026-05-04T03:02:01Z"
    assert lineage.blessing is not None
    assert lineage.blessing["blessed"] is True
    assert lineage.infra_blessing is not None
    assert lineage.infra_blessing["server"]["kind"] == "tensorflow_model_server"
    assert lineage.metrics == {"accuracy": 0.9, "macro_f1": 0.8, "ece": 0.02, "images": 30}
    assert (lineage.override, lineage.warnings) == (None, ())
    record = read_record(store, 1)
    assert record is not None
    assert record[0].state == "published"
    assert record[0].lineage == lineage
    assert sorted(record[0].files) == sorted([*found, LINEAGE])


def test_nothing_beside_a_version_looks_like_one_to_a_server_that_polls(
    store: Store, candidates: Candidates
) -> None:
    candidates.make()
    candidates.publish(store)
    listed = store.list()
    assert listed.published == listed.occupied == listed.recorded == {1}


def test_the_next_version_is_the_last_one_plus_one(store: Store, candidates: Candidates) -> None:
    for mark, expected in (("a", 1), ("b", 2), ("c", 3)):
        candidates.make(mark)
        assert candidates.publish(store).version == expected


def test_a_folder_that_somebody_copied_there_is_not_overwritten(
    candidates: Candidates, tmp_path: Path
) -> None:
    fake_model(tmp_path / "releases" / "7", "by hand")
    (tmp_path / "releases" / "9").mkdir()
    before = digest_tree(tmp_path / "releases" / "7")
    candidates.make()
    with open_store(str(tmp_path / "releases"), LIMITS) as store:
        assert candidates.publish(store).version == 10
    assert digest_tree(tmp_path / "releases" / "7") == before


def test_the_same_content_again_is_named_and_nothing_is_written(
    store: Store, candidates: Candidates
) -> None:
    candidates.make()
    candidates.publish(store)
    before = files_of(store, 1)
    candidates.make("b")
    candidates.publish(store)
    candidates.make()
    again = candidates.publish(store)
    assert (again.version, again.is_new) == (1, False)
    assert store.list().published == {1, 2}
    assert files_of(store, 1) == before
    assert list(candidates.locks.iterdir()) == []


def test_other_content_under_the_same_version_is_an_error(
    candidates: Candidates, tmp_path: Path
) -> None:
    candidates.make()
    with open_store(str(tmp_path / "releases"), LIMITS) as store:
        candidates.publish(store)
        (tmp_path / "releases/1/fingerprint.pb").write_bytes(b"other")
        with pytest.raises(
            RefusedError, match=r"Version 1 is broken: fingerprint\.pb is not on record"
        ):
            candidates.publish(store)


def test_two_publishers_at_once_get_different_versions(
    store: Store, candidates: Candidates, tmp_path: Path
) -> None:
    several = [Candidates(tmp_path / f"work{index}", candidates.now) for index in range(4)]
    for index, each in enumerate(several):
        each.make(f"model {index}")
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda each: each.publish(store).version, several))
    assert sorted(versions) == [1, 2, 3, 4]
    for version, each in zip(versions, several, strict=True):
        assert lineage_of(store, version)["version_digest"] == digest_tree(each.folder)


def test_a_published_version_can_be_the_champion(
    folder_store: Store, candidates: Candidates, tmp_path: Path
) -> None:
    candidates.make()
    done = candidates.publish(folder_store)
    champion = fetch(f"{folder_store.address}/1", tmp_path / "champion")
    assert champion.digest == done.lineage.model_digest


# What is refused.


def test_a_model_that_the_gates_refuse_is_not_published(
    folder_store: Store, candidates: Candidates
) -> None:
    candidates.make()
    path = candidates.paths.reports / "blessing.json"
    value = json.loads(path.read_text())
    value["blessed"] = value["verdicts"][0]["passed"] = False
    write_json(path, value)
    with pytest.raises(RefusedError, match=r"gates refuse this model \(min_accuracy\)"):
        candidates.publish(folder_store)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blessed": False, "reason": "it answers nonsense"}, "it answers nonsense"),
        ({"model_digest": "0" * 64}, r"of the version .* of the model 000000000000"),
        ({"version_digest": "0" * 64}, "is of the version 000000000000"),
        ({"server": "x"}, r"infra_blessing\.json: server"),
    ],
)
def test_a_model_that_no_server_has_judged_is_not_published(
    candidates: Candidates, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    candidates.make()
    candidates.bless(**change)
    with (
        open_store(str(tmp_path / "releases"), LIMITS) as store,
        pytest.raises(RefusedError, match=said),
    ):
        candidates.publish(store)
    assert not (tmp_path / "releases").exists()


def test_all_missing_blessings_are_named_at_once(
    candidates: Candidates, folder_store: Store
) -> None:
    candidates.make()
    for name in ("blessing.json", "infra_blessing.json"):
        (candidates.paths.reports / name).unlink()
    with pytest.raises(RefusedError) as error:
        candidates.publish(folder_store)
    assert "reports/blessing.json is missing" in str(error.value)
    assert "reports/infra_blessing.json is missing" in str(error.value)


def test_a_blessing_of_other_bytes_is_none(candidates: Candidates, folder_store: Store) -> None:
    candidates.make()
    (candidates.folder / WARM_UP).write_bytes(b"other requests")
    with pytest.raises(RefusedError, match=r"infra_blessing\.json is of the version"):
        candidates.publish(folder_store)
    candidates.make("b")
    reports = candidates.paths.reports
    kept = (reports / "blessing.json").read_bytes()
    candidates.make("c")
    (reports / "blessing.json").write_bytes(kept)
    with pytest.raises(RefusedError, match=r"blessing\.json is of the model"):
        candidates.publish(folder_store)


def test_a_version_changed_after_its_export_is_refused_even_with_an_override(
    candidates: Candidates, folder_store: Store
) -> None:
    candidates.make()
    (candidates.folder / "saved_model.pb").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="not what was exported"):
        candidates.publish(folder_store, override="I know better")


def test_an_override_is_recorded_with_what_it_overrode(
    candidates: Candidates, folder_store: Store
) -> None:
    candidates.make()
    (candidates.paths.reports / "infra_blessing.json").unlink()
    candidates.publish(folder_store, override="the server is down, and the old model is worse")
    lineage = lineage_of(folder_store, 1)
    assert lineage["override"] == "the server is down, and the old model is worse"
    assert lineage["infra_blessing"] is None
    assert lineage["blessing"] is not None
    assert "infra_blessing.json is missing" in str(lineage["warnings"])


def test_what_somebody_should_know_is_in_the_record(
    candidates: Candidates, folder_store: Store
) -> None:
    candidates.make()
    stand_in = {"kind": "stand-in", "version": "0.1.0"}
    candidates.bless(server=stand_in, warmup={"records": 1, "ran": False})
    candidates.publish(folder_store, serving_version="2.19.1")
    warnings = lineage_of(folder_store, 1)["warnings"]
    assert isinstance(warnings, list)
    assert len(warnings) == 4
    assert warnings[0].startswith("exported by TensorFlow 2.20.0, newer than")
    assert warnings[1].startswith("needs TensorFlow Serving 2.20")
    assert warnings[2].startswith("judged by the stand-in alone")
    assert "warm-up" in warnings[3]


def test_figures_of_another_model_are_not_recorded(
    candidates: Candidates, folder_store: Store
) -> None:
    candidates.make()
    path = candidates.paths.reports / "evaluation" / "metrics.json"
    write_json(path, {**json.loads(path.read_text()), "model_digest": "0" * 64})
    candidates.publish(folder_store)
    assert lineage_of(folder_store, 1)["metrics"] is None


def test_lineage_tells_commit_data_and_weights(candidates: Candidates) -> None:
    root = candidates.paths.root
    candidates.make()

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=Ada Lovelace", "-c", "user.email=ada@localhost")
        command = ["git", "-C", str(root), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("config", "user.name", "Ada Lovelace")
    (root / "dvc.lock").write_text("stages: {}\n")
    (root / "data.dvc").write_text("outs:\n- md5: 79ba.dir\n  path: data\n")
    write_json(candidates.paths.phase2 / "facts.json", {"weights": "demo", "weights_sha256": "88"})
    git("add", "dvc.lock")
    git("commit", "-qm", "A run")
    made = read_made(candidates.paths)
    assert (made.git_commit, made.git_dirty) == (git("rev-parse", "HEAD"), False)
    assert made.dvc_lock == sha256_file(root / "dvc.lock")
    assert (made.data, made.weights, made.weights_sha256) == ("79ba.dir", "demo", "88")
    assert publisher(root) == "Ada Lovelace"
    (root / "dvc.lock").write_text("stages: {validate: {}}\n")
    assert read_made(candidates.paths).git_dirty is True
    # A run of `sortline run` was made from another commit than the one checked out.
    write_json(root / "run.json", {"commit": made.git_commit})
    (root / "dvc.lock").unlink()
    assert read_made(candidates.paths) == made


def test_lineage_says_nothing_of_what_cannot_be_known(tmp_path: Path) -> None:
    made = read_made(Candidates(tmp_path, None).paths)  # type: ignore[arg-type]
    assert set(made.model_dump().values()) == {None}


def test_digests_of_files_give_the_digest_of_their_folder(tmp_path: Path) -> None:
    fake_model(tmp_path / "m", "a")
    for name in ("variables.x", "variables-1/y", "a b/ü"):
        (tmp_path / "m" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "m" / name).write_bytes(b"x")
    files = {
        path.relative_to(tmp_path / "m").as_posix(): sha256_file(path)
        for path in (tmp_path / "m").rglob("*")
        if path.is_file()
    }
    assert version_digest({**files, LINEAGE: "0"}) == digest_tree(tmp_path / "m")


def test_a_version_is_published_in_other_clouds_than_s3(candidates: Candidates) -> None:
    store = Store(CloudStorage("gs://models/waste", MemoryStore(), ReleaseError))
    folder = candidates.make()
    assert candidates.publish(store).version == 1
    assert not candidates.publish(store).is_new
    names = [f"1/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file()]
    left = ["_releases/.conditional", "_releases/1.json"]
    assert store.storage.names() == sorted([*names, f"1/{LINEAGE}", *left])
    candidates.make("b")
    assert candidates.publish(store).version == 2


@pytest.mark.parametrize("address", ["", "ftp://x/y", "s3://", "s3:///x"])
def test_an_address_that_is_no_store_is_named(address: str) -> None:
    with pytest.raises(ParamsError), open_store(address, LIMITS):
        pass


def test_a_store_that_does_not_exist_is_not_read_as_an_empty_one(tmp_path: Path) -> None:
    with (
        open_store(str(tmp_path / "none"), LIMITS) as store,
        pytest.raises(ReleaseError, match="no store in"),
    ):
        store.list()


def test_a_record_that_was_damaged_is_named(store: Store, candidates: Candidates) -> None:
    candidates.make()
    candidates.publish(store)
    found = store.read(record_name(1))
    assert found is not None
    store.write(record_name(1), found.data[:100], found.tag)
    with pytest.raises(ReleaseError, match=r"_releases/1\.json"):
        _same(store, "x")


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    (tmp_path / "releases").write_text("a file")
    return tmp_path / "releases"


def test_a_folder_that_cannot_be_written_is_named(read_only: Path, candidates: Candidates) -> None:
    candidates.make()
    with (
        open_store(str(read_only), LIMITS) as store,
        pytest.raises(ReleaseError, match=r"releases: .* failed"),
    ):
        candidates.publish(store)


def test_a_store_can_be_listed_while_somebody_else_publishes(tmp_path: Path) -> None:
    hidden, done = tmp_path / ".7.partial", threading.Event()
    hidden.mkdir()

    def publish_and_take_back() -> None:
        while not done.is_set():
            hidden.rename(tmp_path / "7")
            (tmp_path / "7").rename(hidden)

    other = threading.Thread(target=publish_and_take_back)
    other.start()
    try:
        with open_store(str(tmp_path), LIMITS) as store:
            for _ in range(2000):
                store.list()
    finally:
        done.set()
        other.join()
