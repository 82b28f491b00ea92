"""What an exported model says of itself, as data: its contract, digest, and training images.

`assets.extra/contract.json` is what it promises. `assets.extra/training_images.txt` has a line an
image that it was trained on, the first digits of its SHA-256, sorted: a later training tells the
new ones. No TensorFlow in here: a client without it reads the same files.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sortline.core.errors import ArtifactError
from sortline.core.files import read_json, sha256_file, sha256_json, write_json

FORMAT_VERSION = 1
CONTRACT = "assets.extra/contract.json"
TRAINING_IMAGES = "assets.extra/training_images.txt"
_DIGITS = 16  # 64 bits: among a million images, two agree once in some thirty million datasets.
# Added to a version after its export; the digest is of what `export` wrote.
ADDED_LATER = frozenset({"assets.extra/tf_serving_warmup_requests", "assets.extra/lineage.json"})
SERVING_DEFAULT = "serving_default"
PREDICT_TENSOR = "predict_tensor"
_MADE_BY = "dvc repro export"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Tensor(_Part):
    """One input or output: TensorFlow's name of its dtype, and its shape (None: any)."""

    dtype: str
    shape: tuple[int | None, ...]


class Signature(_Part):
    """Inputs and outputs by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class Preprocessing(_Part):
    """What the graph does to an image before the network sees it.

    Attributes:
        image_size_px: side of the square.
        resize: how the image is brought to it.
        channels: what the network sees of the decoded RGB image: rgb, bgr, or grey (its luma).
        scale: pixels in 0..255 are multiplied by this, one number or one a channel ...
        offset: ... and this is added.
        max_pixels: larger images are answered with valid = false, undecoded.
        formats: what is decoded.
        exif_orientation: who applies it.
    """

    image_size_px: int
    resize: str
    channels: str = "rgb"  # What contracts mean that were written before there was a choice.
    scale: float | tuple[float, float, float]
    offset: float | tuple[float, float, float]
    max_pixels: int
    formats: tuple[str, ...]
    exif_orientation: str


class Contract(_Part):
    """All of contract.json.

    Attributes:
        format_version: of this file's layout.
        signatures: by name.
        labels: in the order of class ids.
        preprocessing: inside the graph.
        temperature: by which logits are divided before the softmax.
        threshold: of two classes, the second is answered from this probability on; None: whichever
            is likeliest.
        train_class_counts: images a class of the training split.
        versions: of the frameworks that wrote the model.
        min_serving_version: the oldest TensorFlow Serving that knows every operation of the graph.
        model_digest: see `model_digest`.
    """

    format_version: Literal[1]
    signatures: dict[str, Signature]
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    temperature: float
    threshold: float | None = None
    train_class_counts: dict[str, int]
    versions: dict[str, str]
    min_serving_version: str
    model_digest: str


def signatures(classes: int, image_size_px: int) -> dict[str, Signature]:
    """The two signatures of a model with this many classes and this input size.

    `valid` is false for an item that is no image, or not made of finite numbers; its probabilities
    are zeros, its class id is -1 and its label "".
    """
    outputs = {
        "probabilities": Tensor(dtype="float32", shape=(None, classes)),
        "class_id": Tensor(dtype="int64", shape=(None,)),
        "label": Tensor(dtype="string", shape=(None,)),
        "valid": Tensor(dtype="bool", shape=(None,)),
    }
    image = Tensor(dtype="float32", shape=(None, image_size_px, image_size_px, 3))
    image_bytes = Tensor(dtype="string", shape=(None,))
    return {
        SERVING_DEFAULT: Signature(inputs={"image_bytes": image_bytes}, outputs=outputs),
        PREDICT_TENSOR: Signature(inputs={"image": image}, outputs=outputs),
    }


def _contract_json(folder: Path) -> dict[str, Any]:
    if not (folder / "saved_model.pb").is_file():
        seen = "holds no saved_model.pb" if folder.is_dir() else "is not a folder"
        raise ArtifactError(
            f"{folder} {seen}; wanted the SavedModel that `{_MADE_BY}` writes,"
            " usually artifacts/saved_model."
        )
    if not (folder / CONTRACT).is_file():
        raise ArtifactError(
            f"{folder} is a SavedModel without {CONTRACT}: not one that `{_MADE_BY}` wrote."
            " Its labels and preprocessing are not known; export it with this pipeline."
        )
    content = read_json(folder / CONTRACT, _MADE_BY)
    if not isinstance(content, dict):
        raise ArtifactError(f"{folder / CONTRACT} is not a JSON object. Run `{_MADE_BY}` again.")
    return content


def read_contract(folder: Path) -> Contract:
    """Read the contract of an exported model, without checking its digest.

    Raises:
        ArtifactError: the folder is no SavedModel of ours, or its contract cannot be understood.
    """
    content = _contract_json(folder)
    if content.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{folder / CONTRACT} has format_version {content.get('format_version')!r}; this"
            f" Sortline reads {FORMAT_VERSION}. Use the Sortline that exported it, or export again."
        )
    try:
        # Through JSON: only there do strict models take lists for tuples.
        return Contract.model_validate_json((folder / CONTRACT).read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ArtifactError(
            f"{folder / CONTRACT}: {where}: {fault['msg']}. Run `{_MADE_BY}` again."
        ) from error


def _digest(folder: Path, contract: dict[str, Any]) -> str:
    undigested = {key: value for key, value in contract.items() if key != "model_digest"}
    digests = {CONTRACT: sha256_json(undigested)}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in ADDED_LATER | {CONTRACT}:
            digests[name] = sha256_file(path)
    return sha256_json(sorted(digests.items()))


def model_digest(folder: Path) -> str:
    """SHA-256 over everything that `export` wrote, computed anew, in hex.

    Names and contents of all files; of the contract, its values without the digest itself. What
    is added to a version later (warm-up requests, lineage) does not count.

    Raises:
        ArtifactError: the folder is no SavedModel of ours.
    """
    return _digest(folder, _contract_json(folder))


def verify(folder: Path) -> str:
    """The model's digest, which must be the one that its contract names.

    Raises:
        ArtifactError: the folder is no SavedModel of ours, or was changed since its export.
    """
    named, computed = read_contract(folder).model_digest, model_digest(folder)
    if named != computed:
        raise ArtifactError(
            f"{folder} is not what was exported: its files have the digest {computed[:12]}..., its"
            f" contract names {named[:12]}... . Copy the model again, or run `{_MADE_BY}`."
        )
    return computed


def write_contract(folder: Path, contract: Contract) -> Contract:
    """Write contract.json into a SavedModel that is complete otherwise, and put the digest in."""
    content = contract.model_dump(mode="json")
    (folder / CONTRACT).parent.mkdir(exist_ok=True)
    signed = contract.model_copy(update={"model_digest": _digest(folder, content)})
    write_json(folder / CONTRACT, signed.model_dump(mode="json"))
    return signed


def differences(ours: Contract, theirs: Contract) -> list[str]:
    """How the signatures of two models differ, one phrase each; sizes do not count.

    A client notices other names, dtypes and ranks. The number of classes is what `labels` says, and
    the input size matters to `predict_tensor` alone.
    """
    return [
        phrase
        for name in sorted({*ours.signatures, *theirs.signatures})
        for phrase in _signature_differences(
            name, ours.signatures.get(name), theirs.signatures.get(name)
        )
    ]


def _signature_differences(
    name: str, ours: Signature | None, theirs: Signature | None
) -> Sequence[str]:
    if ours is None or theirs is None:
        return [f"{name} is only in {'the second' if ours is None else 'the first'}"]
    phrases = []
    for side in ("inputs", "outputs"):
        mine, other = getattr(ours, side), getattr(theirs, side)
        for key in sorted({*mine, *other}):
            a, b = (_kind(tensors.get(key)) for tensors in (mine, other))
            if a != b:
                phrases.append(f"{name} {side} {key}: {a} against {b}")
    return phrases


def _kind(tensor: Tensor | None) -> str:
    return f"{tensor.dtype} of rank {len(tensor.shape)}" if tensor else "nothing"


def write_seen(folder: Path, sha256: Iterable[str]) -> None:
    """Write the list of training images into the model in `folder`, which is being put together."""
    lines = sorted({digest[:_DIGITS] for digest in sha256})
    (folder / TRAINING_IMAGES).parent.mkdir(exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    (folder / TRAINING_IMAGES).write_text(text, encoding="ascii")


def are_new(folder: Path, sha256: Iterable[str]) -> list[bool] | None:
    """For each image whether the model in `folder` has not seen it; None when it does not say."""
    try:
        seen = frozenset((folder / TRAINING_IMAGES).read_text(encoding="ascii").split())
    except FileNotFoundError:  # Exported by a Sortline that did not write it.
        return None
    return [digest[:_DIGITS] not in seen for digest in sha256]
