"""The exported graph: from bytes, or from decoded pixels, to calibrated answers.

Everything a client would otherwise have to copy from the training code is inside: decoding, the cap
on pixels, resizing, scaling (the network's first layer), softmax, temperature and labels. What was
written is then held against its contract and against the network that was trained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from sortline.core.errors import ExportError
from sortline.core.refusal import REFUSED_CLASS_ID, REFUSED_LABEL
from sortline.images.decode import decode_and_resize, guarded_decode
from sortline.model.allowed_operations import (
    Operations,
    check_operations,
    min_serving_version,
    read_operations,
)
from sortline.model.contract import (
    PREDICT_TENSOR,
    SERVING_DEFAULT,
    Contract,
    Preprocessing,
    Signature,
    signatures,
    write_contract,
    write_seen,
)
from sortline.model.local_model import Predictions, Served, file_batches, load_model
from sortline.training.calibration import probabilities

if TYPE_CHECKING:
    from sortline.training.backbones import Pixels

MAX_DIFFERENCE: Final = 1e-5
_FORMATS: Final = ("jpeg", "png", "webp")
_RESIZE: Final = "bilinear, stretched to the square, without antialiasing (tf.image.resize)"
_ORIENTATION: Final = "ignored by the graph: apply it before sending, as ingest did"


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
        names = tf.constant([*self.labels, REFUSED_LABEL])
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
    order = {variable.value.ref(): at for at, variable in enumerate(exported.network.variables)}
    _add(archive, SERVING_DEFAULT, exported.from_bytes, image_bytes, order)
    _add(archive, PREDICT_TENSOR, exported.from_pixels, image, order)
    archive.write_out(str(folder), verbose=False)
    _settle_fingerprint(folder / "fingerprint.pb")


def write_model(
    exported: Exported, pixels: "Pixels", train: pd.DataFrame, folder: Path
) -> tuple[Served, Operations]:
    """Write the SavedModel with its contract, and hold what is then loaded from disk against it.

    Args:
        exported: what is folded into it.
        pixels: what the backbone takes.
        train: the training images (columns label, sha256), of which the contract tells.
        folder: a new one.

    Raises:
        ExportError: it does not keep its contract, or holds an operation that has no place in a
            server.
    """
    write_saved_model(exported, folder)
    operations = read_operations(folder)
    check_operations(operations)
    write_seen(folder, train["sha256"])
    contract = write_contract(folder, _describe(exported, pixels, train["label"], operations))
    served = load_model(folder)
    check_signatures(served.loaded, contract.signatures)
    return served, operations


def _add(
    archive: Any, name: str, answer: Any, spec: tf.TensorSpec, order: Mapping[Any, int]
) -> None:
    traced = archive.add_endpoint(name, answer, input_signature=[spec])
    # A graph keeps the variables it has read in a set of no fixed order, and the archive numbers
    # its copies in that order: two exports of one network would differ.
    graph = traced.get_concrete_function().graph
    graph.variables = sorted(graph.variables, key=lambda variable: order[variable.ref()])


def _settle_fingerprint(path: Path) -> None:
    """Replace the random identifier that TensorFlow draws for every save by the content's hash."""
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = str(fingerprint.saved_model_checksum)
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def _describe(
    exported: Exported,
    pixels: "Pixels",
    train_labels: pd.Series,
    operations: Operations,
) -> Contract:
    """The contract of a model, without its digest."""
    counts = train_labels.value_counts()
    return Contract(
        format_version=1,
        signatures=signatures(len(exported.labels), exported.image_size_px),
        labels=tuple(exported.labels),
        preprocessing=Preprocessing(
            image_size_px=exported.image_size_px,
            resize=_RESIZE,
            channels=pixels.channels,
            scale=pixels.scale,
            offset=pixels.offset,
            max_pixels=exported.max_pixels,
            formats=_FORMATS,
            exif_orientation=_ORIENTATION,
        ),
        temperature=exported.temperature,
        threshold=exported.threshold,
        train_class_counts={label: int(counts.get(label, 0)) for label in exported.labels},
        versions={"tensorflow": tf.__version__, "keras": keras.__version__},
        min_serving_version=min_serving_version(operations),
        model_digest="",
    )


def check_signatures(loaded: Any, contract: dict[str, Signature]) -> None:
    """Compare names, dtypes and shapes of a reloaded model with the contract.

    Raises:
        ExportError: they differ; all differences are named.
    """
    if one_sided := set(loaded.signatures) ^ set(contract):
        raise ExportError(
            f"The SavedModel and its contract differ in signatures: {sorted(one_sided)}."
        )
    faults = []
    for name, signature in contract.items():
        function = loaded.signatures[name]
        sides = {
            "inputs": (function.structured_input_signature[1], signature.inputs),
            "outputs": (function.structured_outputs, signature.outputs),
        }
        for side, (seen, promised) in sides.items():
            is_there = {
                key: (spec.dtype.name, tuple(spec.shape.as_list())) for key, spec in seen.items()
            }
            should_be = {key: (tensor.dtype, tensor.shape) for key, tensor in promised.items()}
            if is_there != should_be:
                faults.append(f"{name} {side}: {is_there}, promised {should_be}")
    if faults:
        raise ExportError("The SavedModel does not keep its contract:\n  " + "\n  ".join(faults))


@dataclass(frozen=True)
class Parity:
    """Largest difference of a probability between the export and the trained network."""

    images: int
    max_difference_tensors: float
    max_difference_bytes: float


def prove_parity(network: keras.Model, served: Served, files: pd.DataFrame, root: Path) -> Parity:
    """Compare the reloaded export with softmax(logits / T) of the network that Keras runs.

    Raises:
        ExportError: a probability differs by more than 1e-5, or two calls do not agree bit for bit.
    """
    tensors = raw = 0.0
    size_px = served.contract.preprocessing.image_size_px
    # As a graph, which is how it was trained and validated: operation by operation, float32 rounds
    # elsewhere, and logits of 20 and more then differ by more than is allowed.
    logits_of = tf.function(
        lambda pixels: network(pixels, training=False),
        input_signature=[tf.TensorSpec([None, size_px, size_px, 3], tf.float32)],
    )
    for batch in file_batches(files, root):
        pixels = np.stack([decode_and_resize(tf.constant(item), size_px).numpy() for item in batch])
        expected = probabilities(logits_of(pixels).numpy(), served.contract.temperature)
        from_bytes = served.predict_bytes(batch)
        tensors = max(tensors, _difference(served.predict_tensor(pixels), expected))
        raw = max(raw, _difference(from_bytes, expected))
        _check_repeats(from_bytes, served.predict_bytes(batch))
    if max(tensors, raw) > MAX_DIFFERENCE:
        raise ExportError(
            f"The export and the network differ by up to {tensors:.1e} on decoded images and"
            f" {raw:.1e} on files; at most {MAX_DIFFERENCE:.0e} is allowed. A layer behaves"
            " differently in training and in inference, or export.temperature is very small."
        )
    return Parity(len(files), tensors, raw)


def _difference(answers: Predictions, expected: npt.NDArray[np.float64]) -> float:
    if not answers.valid.all():
        raise ExportError(
            f"The export calls {int((~answers.valid).sum())} of {len(answers.valid)} validation"
            " images invalid that the training read. Run `dvc repro validate`."
        )
    return float(np.abs(answers.probabilities - expected).max())


def _check_repeats(first: Predictions, second: Predictions) -> None:
    for name, values in vars(first).items():
        if not np.array_equal(values, getattr(second, name)):
            raise ExportError(
                f"Two calls with the same images differ in {name}: something in the graph is random"
                " at inference. Take augmentation and noise out of the network."
            )
