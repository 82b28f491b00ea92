"""Features are computed once, never confused with others, and never wrong."""

import dataclasses
import errno
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.errors import ArtifactError, DataError
from sortline.training import feature_cache
from sortline.training.engine import open_engine
from sortline.training.feature_store import SUFFIX, Space, row_keys
from sortline.training.features import (
    Extractor,
    Use,
    Views,
    features_of,
    features_of_splits,
    identity_of,
    part_of,
)
from sortline.training.network_settings import Backbone
from sortline.training.phase_settings import Features

_BACKBONE = Backbone(architecture="mobilenet_v2", alpha=0.35, image_size_px=96, weights=None)
_SETTINGS = Features(engine="keras", storage="float32", batch_size=4, device_gb=0.0)
Array = npt.NDArray[Any]


def _views(images: int, shift: float = 0.0) -> Views:
    return Views(
        files=[Path(f"{index}.jpg") for index in range(images)],
        sha256=[f"{index:064x}" for index in range(images)],
        vectors=np.full((images, 2), shift, "float32"),
        labels=np.zeros(images, "int64"),
        first=np.arange(images),
        count=np.ones(images, "int64"),
    )


class _Pixels:
    """Pixels that tell which file and view they are of; counts what was asked for."""

    def __init__(self, fail_after: int | None = None, error: BaseException | None = None) -> None:
        self.asked = 0
        self.fail_after = fail_after
        self.error = error or OSError(28, "No space left on device")

    def __call__(
        self, files: Sequence[Path], vectors: Array, size_px: int, batch_size: int
    ) -> Iterator[Array]:
        for start in range(0, len(files), batch_size):
            values = [float(file.stem) for file in files[start : start + batch_size]]
            self.asked += len(values)
            if self.fail_after is not None and self.asked > self.fail_after:
                raise self.error
            plane = np.ones((len(values), size_px, size_px, 3), "float32")
            moved = np.array(values, "float32") + vectors[start : start + batch_size, 0]
            yield plane * moved[:, None, None, None]


def _unchanged(_path: Path, _sha256: str) -> None:
    """These files exist in name only."""


def _extractor(pixels: _Pixels, weights: str = "w", cut: str = "pooling") -> Extractor:
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    return Extractor(model, (identity_of(_BACKBONE, weights, cut, 0),), pixels, _unchanged)


def _compute(cache: Path, pixels: _Pixels, images: int = 10) -> tuple[Array, Use]:
    rows, use = features_of(_views(images), _extractor(pixels), _SETTINGS, cache)
    return rows[:], use


def _shards(cache: Path) -> list[Path]:
    return sorted(cache.glob(f"*/*{SUFFIX}"))


def _expect(features: Array, images: int = 10) -> None:
    np.testing.assert_array_equal(features[:, 0], np.arange(images))


def test_features_are_those_of_their_rows_and_computed_once(tmp_path: Path) -> None:
    pixels = _Pixels()
    first, use = _compute(tmp_path, pixels)
    _expect(first)
    assert (use.found, use.computed) == (0, 10)
    again, use = _compute(tmp_path, pixels)
    np.testing.assert_array_equal(again, first)
    assert pixels.asked == 10
    assert (use.found, use.computed) == (10, 0)


def test_only_images_that_were_added_are_computed(tmp_path: Path) -> None:
    _compute(tmp_path, _Pixels())
    pixels = _Pixels()
    features, use = _compute(tmp_path, pixels, images=13)
    _expect(features, 13)
    assert pixels.asked == use.computed == 3


def test_a_picture_that_occurs_twice_is_computed_once(tmp_path: Path) -> None:
    views = _views(6)
    twice = Views(
        [*views.files, *views.files],
        [*views.sha256, *views.sha256],
        np.concatenate([views.vectors] * 2),
        np.zeros(12, "int64"),
        np.arange(12),
        np.ones(12, "int64"),
    )
    pixels = _Pixels()
    rows, _ = features_of(twice, _extractor(pixels), _SETTINGS, tmp_path)
    np.testing.assert_array_equal(rows[:][:, 0], np.tile(np.arange(6), 2))
    assert pixels.asked == 6


def test_rows_come_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    _compute(tmp_path, _Pixels(), images=5)
    rows, _ = features_of(_views(9), _extractor(_Pixels()), _SETTINGS, tmp_path)
    wanted = np.array([8, 0, 6, 6, 3])
    np.testing.assert_array_equal(rows[wanted][:, 0], wanted)
    assert rows.shape == (9, 3)
    assert rows.dtype == np.float32


@pytest.mark.parametrize(
    ("views", "weights", "cut", "storage"),
    [
        (_views(10, shift=1.0), "w", "pooling", "float32"),
        (_views(10), "other", "pooling", "float32"),
        (_views(10), "w", "block_1", "float32"),
        (_views(10), "w", "pooling", "float16"),
    ],
)
def test_other_inputs_never_get_these_features(
    tmp_path: Path, views: Views, weights: str, cut: str, storage: str
) -> None:
    _compute(tmp_path, _Pixels())
    pixels = _Pixels()
    settings = _SETTINGS.model_copy(update={"storage": storage})
    rows, _ = features_of(views, _extractor(pixels, weights, cut), settings, tmp_path)
    assert pixels.asked == len(views.files)
    assert rows.dtype == storage


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_was_computed_before_a_failure_is_kept(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        _compute(tmp_path, _Pixels(fail_after=8, error=error))
    pixels = _Pixels()
    features, use = _compute(tmp_path, pixels)
    _expect(features)
    assert pixels.asked == 2
    assert use.found == 8
    assert not list(tmp_path.glob("*/.*"))


def test_a_flipped_bit_is_noticed_and_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _compute(tmp_path, _Pixels())
    (shard,) = _shards(tmp_path)
    data = bytearray(shard.read_bytes())
    place = data.index(np.full(3, 7, "<f4").tobytes())
    data[place] ^= 1
    shard.write_bytes(data)
    pixels = _Pixels()
    features, _ = _compute(tmp_path, pixels)
    _expect(features)
    assert pixels.asked == 1
    assert "1 rows of" in capsys.readouterr().err
    _compute(tmp_path, pixels)
    assert pixels.asked == 1


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_torn_shard_is_noticed_and_computed_again(tmp_path: Path, kept: float) -> None:
    _compute(tmp_path, _Pixels())
    (shard,) = _shards(tmp_path)
    data = shard.read_bytes()
    shard.write_bytes(data[: int(kept * len(data)) if kept < 1 else int(kept)])
    pixels = _Pixels()
    features, _ = _compute(tmp_path, pixels)
    _expect(features)
    assert pixels.asked == 10


def test_a_shard_of_another_space_is_not_taken_for_ours(tmp_path: Path) -> None:
    """A copied shard whose rows have another shape would give wrong features."""
    _compute(tmp_path, _Pixels())
    (shard,) = _shards(tmp_path)
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.AveragePooling2D(4)(inputs))
    other = Extractor(model, (identity_of(_BACKBONE, "w", "block_9", 0),), _Pixels(), _unchanged)
    features_of(_views(2), other, _SETTINGS, tmp_path)
    (theirs,) = (path for path in _shards(tmp_path) if path != shard)
    (theirs.parent / shard.name).write_bytes(shard.read_bytes())
    rows, use = features_of(_views(10), other, _SETTINGS, tmp_path)
    assert use.computed == 8
    assert rows[:].shape == (10, 2, 2, 3)


def test_two_writers_at_once_end_with_right_features(tmp_path: Path) -> None:
    results: list[Array] = []

    def work() -> None:
        results.append(_compute(tmp_path, _Pixels(), images=40)[0])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    for features in results:
        _expect(features, 40)


def test_parts_are_all_rows_once(tmp_path: Path) -> None:
    pixels = [_Pixels() for _ in range(4)]
    for part, each in enumerate(pixels):
        features_of(part_of(_views(10), part, 4), _extractor(each), _SETTINGS, tmp_path)
    assert [each.asked for each in pixels] == [3, 3, 2, 2]
    features, use = _compute(tmp_path, _Pixels())
    _expect(features)
    assert use.computed == 0


def test_a_feature_that_its_storage_cannot_hold_is_refused(tmp_path: Path) -> None:
    settings = Features(engine="keras", storage="float16", batch_size=4, device_gb=0.0)
    with pytest.raises(ArtifactError, match=r"features\.storage: float32"):
        features_of(_views(4, shift=1e6), _extractor(_Pixels()), settings, tmp_path)
    assert not _shards(tmp_path)


def test_what_lies_on_the_way_is_kept_along(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    half = keras.layers.AveragePooling2D(4)(inputs)
    whole = keras.layers.GlobalAveragePooling2D()(half)
    ids = [identity_of(_BACKBONE, "w", cut, 0) for cut in ("average", "half")]
    both = Extractor(keras.Model(inputs, [whole, half]), (ids[0], ids[1]), _Pixels(), _unchanged)
    features_of(_views(10), both, _SETTINGS, tmp_path)
    pixels = _Pixels()
    later = Extractor(keras.Model(inputs, half), (ids[1],), pixels, _unchanged)
    rows, use = features_of(_views(10), later, _SETTINGS, tmp_path)
    np.testing.assert_array_equal(rows[:][:, 1, 1, 2], np.arange(10))
    assert pixels.asked == 0
    assert use.found == 10


def test_what_was_not_used_for_longest_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, weights in enumerate(["newest", "middle", "oldest"]):
        features_of(_views(10), _extractor(_Pixels(), weights), _SETTINGS, tmp_path)
        for shard in _shards(tmp_path):
            if shard.stat().st_mtime > 1e9 + 10:
                os.utime(shard, (1e9 - age, 1e9 - age))
    size = _shards(tmp_path)[0].stat().st_size
    monkeypatch.setenv("SORTLINE_CACHE_GB", str(2.5 * size / 1e9))
    removed = feature_cache.evict(tmp_path, keep=[])
    assert len(removed) == 1
    pixels = _Pixels()
    features_of(_views(10), _extractor(pixels, "newest"), _SETTINGS, tmp_path)
    features_of(_views(10), _extractor(pixels, "middle"), _SETTINGS, tmp_path)
    assert pixels.asked == 0


def test_a_converted_network_counts_and_goes_like_a_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _compute(tmp_path, _Pixels())
    shard = _shards(tmp_path)[0]
    network = shard.with_name("old.network")
    network.write_bytes(bytes(1000))
    os.utime(network, (1e9, 1e9))
    (space,) = feature_cache.summarize(tmp_path)
    assert (space.shards, space.size_bytes) == (1, shard.stat().st_size + 1000)
    monkeypatch.setenv("SORTLINE_CACHE_GB", str((shard.stat().st_size + 999) / 1e9))
    assert feature_cache.evict(tmp_path, keep=[]) == [network]


def test_rows_that_another_run_evicts_meanwhile_are_computed_again(tmp_path: Path) -> None:
    """They must not come back as their neighbours' features."""

    class Evicted(_Pixels):
        def __call__(self, *asked: Any) -> Iterator[Array]:
            if not self.asked:
                _shards(tmp_path)[0].unlink()
            yield from super().__call__(*asked)

    _compute(tmp_path, _Pixels(), images=7)
    pixels = Evicted()
    features, use = _compute(tmp_path, pixels)
    _expect(features)
    assert use.computed == 10
    assert pixels.asked == 10


def test_a_missing_row_is_never_its_neighbours(tmp_path: Path) -> None:
    space = Space(tmp_path, {"any": "network"})
    keys = row_keys([f"{index:064x}" for index in range(9)], np.zeros((9, 2), "float32"))
    space.append(keys[::2], np.arange(5, dtype="float32")[:, None], 1.0)
    with pytest.raises(ArtifactError, match="lacks 4 of 9"):
        space.open().rows(keys)


def test_a_file_that_is_not_the_listed_one_is_not_kept(tmp_path: Path) -> None:
    def changed(path: Path, _sha256: str) -> None:
        if path.stem == "6":
            raise DataError(f"{path} is not the file that was validated.")

    extractor = dataclasses.replace(_extractor(_Pixels()), check=changed)
    with pytest.raises(DataError, match=r"6\.jpg"):
        features_of(_views(10), extractor, _SETTINGS, tmp_path)
    _, use = _compute(tmp_path, _Pixels())
    assert (use.found, use.computed) == (4, 6)


def test_no_flipped_bit_of_a_shard_goes_unnoticed(tmp_path: Path) -> None:
    _compute(tmp_path, _Pixels())
    (shard,) = _shards(tmp_path)
    content = shard.read_bytes()
    keys = row_keys(_views(10).sha256, _views(10).vectors)
    identity = json.loads((shard.parent / "space.json").read_text())
    for place in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        shard.write_bytes(flipped)
        space = Space(tmp_path, identity).open()
        there = ~space.missing(keys)
        if there.any():
            found = space.rows(keys[there])[:]
            np.testing.assert_array_equal(found[:, 0], np.arange(10)[there])
            assert found.shape[1:] == (3,)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_cache_that_may_only_be_read_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    _compute(tmp_path, _Pixels())
    abandoned = next(tmp_path.glob("*/")) / ".killed"
    abandoned.touch()
    os.utime(abandoned, (1e9, 1e9))
    opened = Path.open

    def refuse(path: Path, **_more: Any) -> Any:
        raise OSError(number, os.strerror(number), str(path))

    def refusing(path: Path, mode: str = "r", *args: Any, **more: Any) -> Any:
        return refuse(path) if set(mode) & set("awx+") else opened(path, mode, *args, **more)

    monkeypatch.setattr(Path, "open", refusing)
    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setenv("SORTLINE_CACHE_GB", "1e-9")
    features, use = _compute(tmp_path, _Pixels())
    _expect(features)
    assert use.found == 10
    feature_cache.evict(tmp_path, keep=[])


def test_an_engine_is_opened_once_for_all_splits_and_only_if_a_row_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    @contextmanager
    def counting(model: Any, engine: Any, keep: Path) -> Iterator[Any]:
        opened.append(engine)
        with open_engine(model, engine, keep) as forward:
            yield forward

    monkeypatch.setattr("sortline.training.features.open_engine", counting)
    splits = (part_of(_views(10), 0, 2), part_of(_views(10), 1, 2))
    for _ in range(2):
        found = features_of_splits(splits, _extractor(_Pixels()), _SETTINGS, tmp_path)
        np.testing.assert_array_equal(found[1][0][:][:, 0], np.arange(1, 10, 2))
    assert len(opened) == 1


def test_uses_are_on_record(tmp_path: Path) -> None:
    _compute(tmp_path, _Pixels())
    _compute(tmp_path, _Pixels())
    found = [use["found"] for use in feature_cache.uses(tmp_path)]
    assert found == [0, 10]
    (space,) = feature_cache.summarize(tmp_path)
    assert space.identity["cut"] == "pooling"
    assert space.shards == 1
    facts = json.loads(next(tmp_path.glob("*/space.json")).read_text())
    assert facts["weights"] == "w"


def test_a_record_that_a_full_disk_cut_off_hides_none_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SORTLINE_STATE_DIR", str(tmp_path))
    cache = tmp_path / "features"
    _compute(cache, _Pixels())
    with (cache / "uses.jsonl").open("a") as file:
        file.write('{"time": 17, "fou')
    _compute(cache, _Pixels())  # Is appended to the torn line.
    _compute(cache, _Pixels())
    assert [use["found"] for use in feature_cache.uses(cache)] == [0, 10]
    shown = CliRunner().invoke(app, ["cache"]).output
    assert "10 rows were computed" in " ".join(shown.split())
    next(cache.glob("*/space.json")).write_text("")
    assert "damaged" in CliRunner().invoke(app, ["cache"]).output
    assert json.loads(CliRunner().invoke(app, ["cache", "--json"]).output)["computed"] == 10


def test_features_of_a_network_that_other_code_built_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _compute(tmp_path, _Pixels())
    # As if the others had been written anew.
    monkeypatch.setattr("sortline.training.features._ARITHMETIC", 2)
    pixels = _Pixels()
    _expect(_compute(tmp_path, pixels)[0])
    assert pixels.asked == 10
