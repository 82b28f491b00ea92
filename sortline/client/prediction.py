"""What a client says of an image, and how it reads that from a server's answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sortline.client.tensors import TensorError, from_proto
from sortline.core.errors import ImageError, ParamsError
from sortline.core.refusal import REFUSED_CLASS_ID, REFUSED_LABEL

_REFUSED_THERE: Final = "undecodable (the model refuses it)"
# Every output of an exported model (contract.py has the same list), with its kind and rank.
_OUTPUTS: Final = {
    "probabilities": (np.floating, 2),
    "class_id": (np.integer, 1),
    "label": (np.object_, 1),
    "valid": (np.bool_, 1),
}


@dataclass(frozen=True)
class Prediction:
    """The answer to one image.

    Attributes:
        label: the most probable one; "" when the image is invalid.
        class_id: its number; -1 when the image is invalid.
        probability: of that label, 0 to 1; 0 when the image is invalid.
        probabilities: of all labels, in the order of class ids; zeros when the image is invalid,
            empty when it was refused here and the labels are not known.
        valid: whether the image was classified.
        reason: why not, e.g. "truncated (700 bytes of 1,200)"; "" when it was.
        version: of the model that answered; None when the image was refused here, and not sent.
        rotated: the picture was sent upright, and for that decoded and encoded anew (not without
            loss in JPEG and WebP), because its EXIF orientation said that it lies on its side.
        labels: in the order of class ids, as they were given to the client; empty when none were.
    """

    label: str
    class_id: int
    probability: float
    probabilities: tuple[float, ...]
    valid: bool
    reason: str = ""
    version: int | None = None
    rotated: bool = False
    labels: tuple[str, ...] = ()

    @property
    def by_label(self) -> dict[str, float]:
        """The probability of every label.

        Raises:
            ParamsError: the labels are not known; a server names the most probable one alone.
        """
        if not self.labels:
            raise ParamsError(
                "The labels are not known: a model server names the most probable one alone. Give"
                " them to the client, labels=[...] in the order of class ids (the model's"
                " assets.extra/contract.json lists them), or read `probabilities`."
            )
        return dict(zip(self.labels, self.probabilities, strict=True))


def refused(refusal: ImageError, labels: tuple[str, ...]) -> Prediction:
    """What is said of an image that was not sent."""
    detail = f" ({refusal.detail})" if refusal.detail else ""
    zeros = (0.0,) * len(labels)
    return Prediction(
        REFUSED_LABEL,
        REFUSED_CLASS_ID,
        0.0,
        zeros,
        valid=False,
        reason=refusal.reason + detail,
        labels=labels,
    )


def read_predictions(
    response: Any, rotated: Sequence[bool], labels: tuple[str, ...]
) -> list[Prediction]:
    """The answers in a PredictResponse, one an image, in the order in which they were sent.

    Args:
        response: of an exported model's signature `serving_default`.
        rotated: of each image that was sent, whether it had been turned.
        labels: in the order of class ids; empty when they are not known.

    Raises:
        TensorError: it is not of such a model, of as many images, or with these labels.
    """
    version = response.model_spec.version.value
    outputs = [_output(response, name, len(rotated)) for name in _OUTPUTS]
    if labels and outputs[0].shape[1] != len(labels):
        raise TensorError(f"it has {outputs[0].shape[1]} classes, the client {len(labels)} labels")
    answers = []
    for shares, class_id, label, valid, turned in zip(*map(_rows, outputs), rotated, strict=True):
        name = label.decode(errors="replace") if valid else REFUSED_LABEL
        if valid:
            _check_class(class_id, name, len(shares), labels)
        answers.append(
            Prediction(
                label=name,
                class_id=class_id if valid else REFUSED_CLASS_ID,
                probability=shares[class_id] if valid else 0.0,
                probabilities=tuple(shares),
                valid=valid,
                reason="" if valid else _REFUSED_THERE,
                version=version,
                rotated=turned,
                labels=labels,
            )
        )
    return answers


def _output(response: Any, name: str, images: int) -> npt.NDArray[Any]:
    kind, rank = _OUTPUTS[name]
    if name not in response.outputs:
        outputs = ", ".join(sorted(response.outputs)) or "none"
        raise TensorError(f"there is no output {name}; the outputs are: {outputs}")
    values = from_proto(response.outputs[name])
    if not np.issubdtype(values.dtype, kind) or values.ndim != rank or len(values) != images:
        seen = f"{values.dtype} of shape {list(values.shape)}"
        raise TensorError(f"{name} is {seen}; wanted rank {rank} for {images} images")
    return values


def _rows(values: npt.NDArray[Any]) -> list[Any]:
    rows: list[Any] = values.tolist()
    return rows


def _check_class(class_id: int, name: str, classes: int, labels: tuple[str, ...]) -> None:
    if not 0 <= class_id < classes:
        raise TensorError(f"class {class_id} is none of its {classes}")
    if labels and labels[class_id] != name:
        raise TensorError(
            f"class {class_id} is {name!r} there and {labels[class_id]!r} among the client's"
            " labels, which are of another model"
        )
