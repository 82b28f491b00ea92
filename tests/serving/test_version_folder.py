"""The version that is validated and published: the exported bytes, and requests for TensorFlow."""

from pathlib import Path

import pytest
import tensorflow as tf
from helpers.colour_models import export
from tensorflow_serving.apis import prediction_log_pb2

from sortline.core.errors import ArtifactError
from sortline.core.files import digest_tree
from sortline.core.tfrecord import read_records, write_records
from sortline.model.contract import verify
from sortline.serving.version_folder import WARMUP, assemble, warmup_file

IMAGES = [b"one", b"\0" * 1000, bytes(range(256)) * 9, b""]


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "saved_model"
    export(folder)
    return folder


def test_a_damaged_file_is_not_read_as_if_it_were_whole() -> None:
    whole = write_records(IMAGES)
    assert list(read_records(whole)) == IMAGES
    for cut in (4, 13, len(whole) - 1):
        with pytest.raises(ValueError, match="damaged"):
            list(read_records(whole[:cut]))
    with pytest.raises(ValueError, match="damaged"):
        list(read_records(whole[:14] + b"?" + whole[15:]))


def test_tensorflow_reads_back_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "records").write_bytes(write_records(IMAGES))
    read = list(tf.data.TFRecordDataset(str(tmp_path / "records")).as_numpy_iterator())
    assert read == IMAGES
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for image in IMAGES:
            writer.write(image)
    assert (tmp_path / "theirs").read_bytes() == write_records(IMAGES)


def test_the_version_is_the_model_with_requests_that_stock_messages_read(
    saved_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / "artifacts" / "version"
    assert assemble(saved_model, IMAGES, target, "sortline") == verify(saved_model)
    assert verify(target) == verify(saved_model)
    data = tf.data.TFRecordDataset(str(target / WARMUP)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in data]
    requests = [log.predict_log.request for log in logs]
    assert [list(r.inputs["image_bytes"].string_val) for r in requests] == [[i] for i in IMAGES]
    assert {(r.model_spec.name, r.model_spec.signature_name) for r in requests} == {
        ("sortline", "serving_default")
    }


def test_the_same_input_gives_the_same_bytes_whatever_was_there(
    saved_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / "version"
    assemble(saved_model, IMAGES, target, "sortline")
    first = digest_tree(target)
    (target / "stale").write_text("x")
    assemble(saved_model, IMAGES, target, "sortline")
    assert digest_tree(target) == first
    # An assembled version can itself be assembled anew, with other requests.
    assemble(target, IMAGES[:1], tmp_path / "again", "sortline")
    assert digest_tree(tmp_path / "again") != first
    assemble(tmp_path / "again", IMAGES, tmp_path / "third", "sortline")
    assert digest_tree(tmp_path / "third") == first


def test_a_changed_model_or_too_many_requests_leave_what_was_there(
    saved_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / "version"
    assemble(saved_model, IMAGES, target, "sortline")
    before = digest_tree(target)
    with pytest.raises(ArtifactError, match=r"1001 warm-up requests are too many.*warmup_records"):
        assemble(saved_model, [b""] * 1001, target, "sortline")
    assemble(saved_model, [], tmp_path / "changed", "sortline")
    (tmp_path / "changed" / "fingerprint.pb").write_bytes(b"?")
    with pytest.raises(ArtifactError, match="is not what was exported"):
        assemble(tmp_path / "changed", IMAGES, target, "sortline")
    assert digest_tree(target) == before
    assert warmup_file([], "sortline") == b""
