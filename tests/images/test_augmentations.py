"""An augmentation of one's own is one file: drawn, applied, and in the names of cached rows."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sortline.core.errors import ParamsError
from sortline.core.params import Sections, parse_params, read_yaml
from sortline.images import views
from sortline.images.view_settings import Augment
from sortline.training.feature_store import row_keys

ROOT = Path(__file__).parents[2]
SEEDS = np.arange(1, 201, dtype=np.int64) * 7919


class _Sections(Sections):
    augment: Augment


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the example in its plugins, which is the current one."""
    folder = tmp_path / "plugins" / "augmentations"
    shutil.copytree(ROOT / "examples" / "plugins" / "augmentations", folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _augment(**changes: Any) -> Augment:
    values = read_yaml(ROOT / "params.yaml")["augment"]
    return parse_params(_Sections, {"augment": {**values, "views": 2, **changes}}).augment


@pytest.mark.usefixtures("project")
def test_its_setting_is_checked_and_without_one_it_is_off() -> None:
    assert _augment().added == {}
    assert _augment(erase=None).added == {}
    assert _augment(erase=0.4).added == {"erase": 0.4}
    with pytest.raises(ParamsError, match=r"augment\.erase is 0\.9; it should be less than"):
        _augment(erase=0.9)


def test_a_setting_without_its_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match=r"augment\.erase is not a setting"):
        _augment(erase=0.4)


@pytest.mark.usefixtures("project")
def test_what_the_others_draw_stays_as_it_was() -> None:
    before, after = views.draw(SEEDS, _augment()), views.draw(SEEDS, _augment(erase=0.4))
    assert list(after) == [*before, "erase.side", "erase.top", "erase.left"]
    assert all(np.array_equal(before[name], after[name]) for name in before)
    side = after["erase.side"]
    assert 0.3 < (side == 0.0).mean() < 0.7
    assert 0.3 < side.max() <= 0.4
    assert not np.array_equal(after["erase.top"], before["shift_y"])


@pytest.mark.usefixtures("project")
def test_a_view_shows_its_effect_and_no_other_change() -> None:
    image = tf.fill((40, 60, 3), tf.constant(10, tf.uint8))
    vector = views.plain_vector(("erase",))
    plain = views.apply_view(image, vector, 32, ("erase",)).numpy()
    vector[-3:] = 0.5, 0.25, 0.25
    one = tf.data.Dataset.from_tensors(vector)
    erased = next(iter(one.map(lambda v: views.apply_view(image, v, 32, ("erase",))))).numpy()
    assert np.array_equal(plain, np.full((32, 32, 3), 10.0, np.float32))
    assert np.all(erased[8:24, 8:24] == 127.5)
    erased[8:24, 8:24] = 10.0
    assert np.array_equal(erased, plain)


def test_cached_rows_keep_their_names_unless_its_code_or_its_values_differ(project: Path) -> None:
    sha, plain = ["ab" * 32], views.plain_vector()[np.newaxis]
    with_zeros = np.append(plain, np.zeros((1, 3), np.float32), axis=1)
    drawn = np.append(plain, np.array([[0.3, 0.1, 0.2]], np.float32), axis=1)
    assert row_keys(sha, with_zeros, ("erase",)) == row_keys(sha, plain)
    key = row_keys(sha, drawn, ("erase",))
    assert key != row_keys(sha, plain)
    with (project / "plugins" / "augmentations" / "erase.py").open("a") as file:
        file.write("\n# Another arithmetic.\n")
    from sortline.images.augmentations import AUGMENTATIONS

    AUGMENTATIONS._plugins.clear()  # As in a new process.
    assert row_keys(sha, drawn, ("erase",)) != key
