"""Features computed on one machine are of use on another, and nothing else comes along."""

from pathlib import Path

import numpy as np
import pytest
from helpers.s3_buckets import make_bucket
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.errors import ArtifactError, ParamsError
from sortline.training.feature_exchange import pull, push
from sortline.training.feature_store import Space, row_keys

pytest_plugins = ["helpers.s3_server"]

_IDENTITY = {
    "architecture": "mobilenet_v2",
    "alpha": 0.35,
    "image_size_px": 96,
    "weights": "demo",
    "cut": "average",
    "engine": "litert 2",
    "storage": "float16",
}
_SHAS = [f"{index:064x}" for index in range(5)]
_VECTORS = np.zeros((5, 2), "float32")


def _filled(cache: Path) -> Space:
    space = Space(cache, _IDENTITY)
    keys = row_keys(_SHAS, _VECTORS)
    space.append(keys[:3], np.arange(6, dtype="float16").reshape(3, 2), 1.0)
    space.append(keys[3:], np.arange(6, 10, dtype="float16").reshape(2, 2), 1.0)
    return space


def _expect_all(cache: Path) -> None:
    space = Space(cache, _IDENTITY).open()
    rows = space.rows(row_keys(_SHAS, _VECTORS))
    np.testing.assert_array_equal(rows[:], np.arange(10).reshape(5, 2))


def test_a_folder_takes_features_from_one_cache_to_another(tmp_path: Path) -> None:
    _filled(tmp_path / "mine")
    assert push(tmp_path / "mine", str(tmp_path / "shared")) == 2
    assert push(tmp_path / "mine", str(tmp_path / "shared")) == 0
    (tmp_path / "shared/secret.txt").write_text("not a feature")
    assert pull(tmp_path / "theirs", str(tmp_path / "shared")) == 2
    _expect_all(tmp_path / "theirs")
    assert not (tmp_path / "theirs/secret.txt").exists()


def test_a_bucket_takes_features_from_one_cache_to_another(tmp_path: Path, empty_s3: str) -> None:
    make_bucket(empty_s3, "features")
    _filled(tmp_path / "mine")
    assert push(tmp_path / "mine", "s3://features/team") == 2
    assert push(tmp_path / "mine", "s3://features/team") == 0
    assert pull(tmp_path / "theirs", "s3://features/team") == 2
    _expect_all(tmp_path / "theirs")


def test_nothing_to_exchange_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no features"):
        pull(tmp_path / "mine", str(tmp_path / "nowhere"))
    with pytest.raises(ParamsError, match="cannot be reached"):
        pull(tmp_path / "mine", "gopher://nowhere")


def test_the_command_shows_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SORTLINE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    assert "is empty" in CliRunner().invoke(app, ["cache"]).stdout
    _filled(tmp_path / "features")
    shown = CliRunner().invoke(app, ["cache"]).stdout
    assert "mobilenet_v2 0.35 at 96 px" in shown
    assert "average" in shown
    assert CliRunner().invoke(app, ["cache", "clear"]).exit_code == 0
    assert not (tmp_path / "features").exists()
