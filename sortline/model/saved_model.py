"""The exported graph: from bytes, or from decoded pixels, to calibrated answers.

Everything a client would otherwise have to copy from the training code is inside: decoding, the cap
on pixels, resizing, scaling (the network's first layer), softmax, temperature and labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from sortline.core.errors import ExportError
from sortline.core.refusal import REFUSED_CLASS_ID
from sortline.images.decode import guarded_decode
from sortline.model.contract import (
    INVALID_LABEL,
    PREDICT_TENSOR,
    SERVING_DEFAULT,
    Signature,
)


@dataclass(frozen=True)
class Exported:
    """What is folded into one SavedModel.

    Attributes:
        network: float32 [N, S, S, 3] in 0..255 to logits [N, C].
        labels: C names, in the order of class ids.
        temperature: logits are divided by it.
        image_size_px: S.
        max_pixels: larger images are invalid.
        threshold: of two classes, the second is answered from this probability on; None: whichever
            is likeliest.
    """

    network: keras.Model
    labels: Sequence[str]
    temperature: float
    image_size_px: int
    max_pixels: int
    threshold: float | None = None

    def answer(self, images: tf.Tensor, valid: tf.Tensor) -> dict[str, tf.Tensor]:
        """The outputs of both signatures; what is invalid has to be zeros already."""
        count = tf.shape(images)[0]
        # oneDNN's convolution gives an empty batch the wrong shape (TensorFlow 2.21): one blank
        # image is sent along when there is no other.
        blanks = tf.cast(tf.equal(count, 0), tf.int32)
        filled = tf.pad(images, [[0, blanks], [0, 0], [0, 0], [0, 0]])
        logits = self.network(filled, training=False)[:count]
        softmax = tf.nn.softmax(logits / self.temperature)
        best = self._best(softmax)
        names = tf.constant([*self.labels, INVALID_LABEL])
        label_at = tf.where(valid, best, len(self.labels))
        return {
            "probabilities": tf.where(valid[:, tf.newaxis], softmax, 0.0),
            "class_id": tf.where(valid, best, REFUSED_CLASS_ID),
            "label": tf.gather(names, label_at),
            "valid": valid,
        }

    def _best(self, probabilities: tf.Tensor) -> tf.Tensor:
        if self.threshold is None:
            return tf.argmax(probabilities, axis=-1, output_type=tf.int64)
        return tf.cast(probabilities[:, 1] >= self.threshold, tf.int64)

    def from_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `serving_default`: string [N], the bytes of N files."""
        return self.answer(*guarded_decode(image_bytes, self.image_size_px, self.max_pixels))

    def from_pixels(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `predict_tensor`: float32 [N, S, S, 3], 0 to 255; not finite: invalid."""
        valid = tf.reduce_all(tf.math.is_finite(image), axis=[1, 2, 3])
        return self.answer(tf.where(valid[:, None, None, None], image, 0.0), valid)


def write_saved_model(exported: Exported, folder: Path) -> None:
    """Write the SavedModel; the same network and settings give the same bytes.

    Raises:
        ExportError: Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"Keras runs on {keras.backend.backend()} here; a SavedModel is written by TensorFlow."
            " Unset KERAS_BACKEND and run `dvc repro export`."
        )
    size = exported.image_size_px
    image_bytes = tf.TensorSpec([None], tf.string, "image_bytes")
    image = tf.TensorSpec([None, size, size, 3], tf.float32, "image")
    # Not `track`ed: the endpoints bring their variables, and every weight would be stored twice.
    archive = keras.export.ExportArchive()
    order = {each.value.ref(): at for at, each in enumerate(exported.network.variables)}
    _add(archive, SERVING_DEFAULT, exported.from_bytes, image_bytes, order)
    _add(archive, PREDICT_TENSOR, exported.from_pixels, image, order)
    archive.write_out(str(folder), verbose=False)
    _settle_fingerprint(folder / "fingerprint.pb")


def _add(
    archive: Any, name: str, answer: Any, spec: tf.TensorSpec, order: Mapping[Any, int]
) -> None:
    traced = archive.add_endpoint(name, answer, input_signature=[spec])
    # A graph keeps the variables it has read in a set of no fixed order, and the archive numbers
    # its copies in that order: two exports of one network would differ.
    graph = traced.get_concrete_function().graph
    graph.variables = sorted(graph.variables, key=lambda each: order[each.ref()])


def _settle_fingerprint(path: Path) -> None:
    """Replace the random identifier that TensorFlow draws for every save by the content's hash."""
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = str(fingerprint.saved_model_checksum)
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def check_signatures(loaded: Any, wanted: dict[str, Signature]) -> None:
    """Compare names, dtypes and shapes of a reloaded model with the contract.

    Raises:
        ExportError: they differ; all differences are named.
    """
    if found := set(loaded.signatures) ^ set(wanted):
        raise ExportError(f"The SavedModel and its contract differ in signatures: {sorted(found)}.")
    faults = []
    for name, signature in wanted.items():
        function = loaded.signatures[name]
        sides = {
            "inputs": (function.structured_input_signature[1], signature.inputs),
            "outputs": (function.structured_outputs, signature.outputs),
        }
        for side, (seen, promised) in sides.items():
            is_there = {key: _described(spec) for key, spec in seen.items()}
            should_be = {key: (each.dtype, each.shape) for key, each in promised.items()}
            if is_there != should_be:
                faults.append(f"{name} {side}: {is_there}, promised {should_be}")
    if faults:
        raise ExportError("The SavedModel does not keep its contract:\n  " + "\n  ".join(faults))


def _described(spec: tf.TensorSpec) -> tuple[str, tuple[int | None, ...]]:
    return spec.dtype.name, tuple(spec.shape.as_list())
