"""A batch shared by several devices must teach what it teaches one: figures, padding, settings."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from sortline.core.errors import ParamsError
from sortline.training import devices
from sortline.training.cluster import follower_of, task_of
from sortline.training.distributed_tf import Replicas
from sortline.training.phase_settings import Distribution
from sortline.training.strategy import opened


@pytest.mark.parametrize(("size", "count"), [(16, 2), (11, 2), (1, 4), (5, 4), (7, 3)])
def test_every_row_of_a_batch_is_seen_once_however_ragged(size: int, count: int) -> None:
    batch = np.arange(100, 100 + size)
    rows = devices.shares(size, count)
    shares = [devices.share_of(batch, index, rows) for index in range(count)]
    weights = [devices.weights_of(size, index, rows) for index in range(count)]
    assert {len(share) for share in shares} == {rows}, "one graph serves every device"
    seen = np.concatenate(shares)[np.concatenate(weights) == 1]
    assert seen.tolist() == batch.tolist()


def _model(*, batchnorm: bool = False) -> keras.Model:
    keras.utils.set_random_seed(7)
    layers = [keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(3)]
    if batchnorm:
        layers.insert(2, keras.layers.BatchNormalization())
    model = keras.Sequential(layers)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    metrics = [keras.metrics.CategoricalAccuracy("accuracy")]
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.01), loss, metrics=metrics)
    model.optimizer.build(model.trainable_variables)
    return model


def _replicas() -> Replicas:
    return Replicas(tf.distribute.OneDeviceStrategy("/cpu:0"), 0, 1, 60.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_its_step_is_the_one_of_keras(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    keras_model, ours = _model(), _model()
    replicas = _replicas()
    for size in (16, 16, 5):
        x = rng.normal(size=(size, 8)).astype("float32")
        y = np.eye(3, dtype="float32")[rng.integers(3, size=size)]
        weight = rng.uniform(0.5, 2.0, size).astype("float32") if weighted else None
        wanted = devices.OneDevice().train_on_batch(keras_model, x, y, weight)
        found = replicas.train_on_batch(ours, x, y, weight)
        assert found["loss"] == pytest.approx(wanted["loss"], abs=1e-6)
        assert found["accuracy"] == pytest.approx(wanted["accuracy"], abs=1e-6)
    for one, other in zip(keras_model.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_batchnorm_that_trains_is_refused() -> None:
    with pytest.raises(ParamsError, match="statistics of its own share"):
        _replicas().train_on_batch(
            _model(batchnorm=True), np.zeros((2, 8), "float32"), np.eye(3, dtype="float32")[:2]
        )


_CLUSTER = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    "config",
    [
        None,
        "not JSON",
        {"cluster": _CLUSTER},
        {"cluster": _CLUSTER, "task": {"type": "worker", "index": 2}},
        {"cluster": _CLUSTER, "task": {"type": "chief", "index": 0}},
        {"cluster": {**_CLUSTER, "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}},
    ],
)
def test_a_cluster_that_does_not_say_who_this_is_is_refused(config: object) -> None:
    text = config if isinstance(config, str) else json.dumps(config) if config else ""
    with pytest.raises(ParamsError, match=r"set distribution\.strategy to single or mirrored"):
        task_of({"TF_CONFIG": text})


def test_a_pod_knows_its_place_by_its_index() -> None:
    pod = {"SORTLINE_WORKERS": "job-0:2222, job-1:2222", "JOB_COMPLETION_INDEX": "1"}
    assert task_of(dict(pod)) == (1, 2)
    assert follower_of(dict(pod)) == 1
    assert follower_of({**pod, "JOB_COMPLETION_INDEX": "0"}) is None
    assert follower_of({"JOB_COMPLETION_INDEX": "3"}) is None, "another job's pod, alone"
    with pytest.raises(ParamsError, match="start as many pods as are named"):
        task_of({**pod, "JOB_COMPLETION_INDEX": "2"})


def test_one_device_is_keras_itself_and_writes_where_it_always_did(tmp_path: Path) -> None:
    from sortline.core.paths import Paths

    paths = Paths(tmp_path)
    with opened(Distribution(strategy="single", timeout_s=1.0), paths) as own:
        assert own is paths
        assert isinstance(devices.current(), devices.OneDevice)
