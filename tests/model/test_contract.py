"""The digest is what releases, gates and blessings name: it has to notice what a server would."""

import json
from pathlib import Path

import pytest
from helpers.colour_models import LABELS, export

from sortline.core.errors import ArtifactError
from sortline.core.files import write_json
from sortline.model.contract import (
    CONTRACT,
    differences,
    model_digest,
    read_contract,
    verify,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "saved_model"
    export(folder)
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(exported, tmp_path / "elsewhere"))


def change_contract(folder: Path, **values: object) -> None:
    content = json.loads((folder / CONTRACT).read_text(encoding="utf-8"))
    write_json(folder / CONTRACT, {**content, **values})


def test_a_copy_elsewhere_has_the_same_digest(exported: Path, folder: Path) -> None:
    assert verify(folder) == verify(exported) == read_contract(folder).model_digest


def test_warm_up_and_lineage_added_later_do_not_change_it(exported: Path, folder: Path) -> None:
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"requests")
    (folder / "assets.extra" / "lineage.json").write_text("{}")
    assert verify(folder) == model_digest(exported)


@pytest.mark.parametrize(
    "name",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"],
)
def test_one_changed_bit_is_noticed(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match="not what was exported"):
        verify(folder)


def test_an_added_or_missing_file_is_noticed(folder: Path) -> None:
    (folder / "variables" / "more").write_bytes(b"")
    with pytest.raises(ArtifactError, match="not what was exported"):
        verify(folder)
    (folder / "variables" / "more").unlink()
    (folder / "variables" / "variables.index").unlink()
    with pytest.raises(ArtifactError, match="not what was exported"):
        verify(folder)


def test_a_changed_contract_is_noticed(folder: Path) -> None:
    change_contract(folder, labels=["one", "two", "three"])
    with pytest.raises(ArtifactError, match="not what was exported"):
        verify(folder)


def test_a_folder_that_is_no_model_of_ours_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a folder"):
        read_contract(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match=r"no saved_model\.pb"):
        read_contract(tmp_path)
    (folder / CONTRACT).unlink()
    with pytest.raises(ArtifactError, match="is a SavedModel without"):
        read_contract(folder)


def test_a_contract_that_cannot_be_understood_says_where(folder: Path) -> None:
    change_contract(folder, format_version=2)
    with pytest.raises(ArtifactError, match="format_version 2"):
        read_contract(folder)
    change_contract(folder, format_version=1, labels="glass")
    with pytest.raises(ArtifactError, match="labels"):
        read_contract(folder)
    (folder / CONTRACT).write_text("[1]")
    with pytest.raises(ArtifactError, match="not a JSON object"):
        read_contract(folder)
    (folder / CONTRACT).write_text("{")
    with pytest.raises(ArtifactError, match="not JSON"):
        read_contract(folder)


def test_signatures_are_compared_by_what_a_client_notices(folder: Path) -> None:
    ours = read_contract(folder)
    change_contract(folder, labels=list(LABELS[:2]))
    assert differences(ours, read_contract(folder)) == []
    signatures = ours.model_dump(mode="json")["signatures"]
    signatures["serving_default"]["outputs"]["class_id"]["dtype"] = "int32"
    del signatures["predict_tensor"]
    change_contract(folder, signatures=signatures)
    assert differences(ours, read_contract(folder)) == [
        "predict_tensor is only in the first",
        "serving_default outputs class_id: int64 of rank 1 against int32 of rank 1",
    ]
