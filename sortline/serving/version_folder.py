"""`artifacts/version/`: what `export` wrote, and the requests that warm it up.

The same model and the same images give the same bytes. No TensorFlow in here.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sortline.client.messages import message
from sortline.client.tensors import to_proto
from sortline.core.errors import ArtifactError
from sortline.core.files import atomic_dir
from sortline.core.tfrecord import write_records
from sortline.model.contract import ADDED_LATER, SERVING_DEFAULT, model_digest, verify

WARMUP: Final = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS: Final = 1000  # A server refuses a version with more.


def predict_request(images: Sequence[bytes], model_name: str) -> Any:
    """A PredictRequest that asks `model_name` about some images by their bytes [N]."""
    request = message("tensorflow.serving.PredictRequest")()
    request.model_spec.name = model_name
    request.model_spec.signature_name = SERVING_DEFAULT
    request.inputs["image_bytes"].CopyFrom(to_proto(list(images)))
    return request


def warmup_file(images: Sequence[bytes], model_name: str) -> bytes:
    """A TFRecord of one PredictionLog an image.

    Raises:
        ArtifactError: there are more images than a server takes.
    """
    if len(images) > MAX_RECORDS:
        raise ArtifactError(
            f"{len(images)} warm-up requests are too many: a server takes {MAX_RECORDS}."
            " Lower infra_validate.warmup_records in params.yaml."
        )
    records = []
    for image in images:
        log = message("tensorflow.serving.PredictionLog")()
        log.predict_log.request.CopyFrom(predict_request([image], model_name))
        records.append(log.SerializeToString(deterministic=True))
    return write_records(records)


def assemble(saved_model: Path, images: Sequence[bytes], target: Path, model_name: str) -> str:
    """Write a version that a server can load, whole or not at all; its model's digest.

    Args:
        saved_model: what `export` wrote.
        images: files, sent one a request before the version serves.
        target: the folder to write; what is there is replaced.
        model_name: under which it will be served: requests for another are not played.

    Raises:
        ArtifactError: the model is not what was exported, or there are too many images.
    """
    digest, warmup = verify(saved_model), warmup_file(images, model_name)
    with atomic_dir(target) as partial:
        shutil.copytree(saved_model, partial, dirs_exist_ok=True, copy_function=shutil.copyfile)
        for name in ADDED_LATER:
            (partial / name).unlink(missing_ok=True)
        (partial / WARMUP).write_bytes(warmup)
        if model_digest(partial) != digest:
            raise ArtifactError(
                f"{saved_model} changed while it was copied. Run the same command again."
            )
    return digest
