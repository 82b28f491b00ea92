"""Whether a version is what its record says, and sound: its bytes, its contract, its graph."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from sortline.core.errors import ArtifactError, ExportError, RefusedError
from sortline.core.files import sha256_file, sha256_json
from sortline.model.contract import (
    Contract,
    Signature,
    differences,
    read_contract,
    signatures,
    verify,
)
from sortline.releases.records import LINEAGE, Record

_LIMIT = 5  # Faults that are named; a wholly different folder has many.


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def version_digest(files: Mapping[str, str]) -> str:
    """What `files.digest_tree` says of files with these digests, the lineage left out."""
    names = sorted((name for name in files if name != LINEAGE), key=PurePosixPath)
    return sha256_json([[name, files[name]] for name in names])


def _faults(folder: Path, recorded: Mapping[str, str]) -> Iterator[str]:
    # A link could be pointed elsewhere after this look at it.
    for path in [folder, *sorted(folder.rglob("*"))]:
        if path.is_symlink():
            yield f"{path.relative_to(folder.parent)} is a link"
    files = digests(folder)
    yield from (f"{name} is missing" for name in sorted(recorded.keys() - files.keys()))
    yield from (f"{name} is not on record" for name in sorted(files.keys() - recorded.keys()))
    for name in sorted(files.keys() & recorded.keys()):
        if files[name] != recorded[name]:
            size = (folder / name).stat().st_size
            yield f"{name} was changed: its {size} bytes have another SHA-256 than on record"


def check_files(folder: Path, record: Record) -> None:
    """Compare names and digests of all files with the record.

    Raises:
        RefusedError: they differ; the faults are named.
    """
    if faults := list(_faults(folder, record.files)):
        more = f", and {len(faults) - _LIMIT} more" if len(faults) > _LIMIT else ""
        raise RefusedError(
            f"Version {record.version} is broken: {'; '.join(faults[:_LIMIT])}{more}. Versions"
            " never change: publish the model again, as a new one."
        )


def check_version(folder: Path, record: Record) -> None:
    """All that can be said of a version without TensorFlow: its bytes, its digests, its contract.

    Raises:
        RefusedError: it is not what was published, or not a model that our clients can ask.
    """
    check_files(folder, record)
    number, lineage = record.version, record.lineage
    try:
        digest, contract = verify(folder), read_contract(folder)
    except ArtifactError as error:
        raise RefusedError(f"Version {number} is broken: {error}") from error
    if (digest, version_digest(record.files)) != (lineage.model_digest, lineage.version_digest):
        raise RefusedError(
            f"Version {number} is not the model that its lineage names: that is"
            f" {lineage.model_digest[:12]}, its files are {digest[:12]}. Publish the model again."
        )
    required = signatures(len(contract.labels), contract.preprocessing.image_size_px)
    ours = contract.model_copy(update={"signatures": required})
    if faults := differences(ours, contract):
        raise RefusedError(
            f"Version {number} has other signatures than our clients use: {'; '.join(faults)}."
            " Export it with this pipeline."
        )


Tensors = dict[str, tuple[str, int | None]]
"""Type and rank of tensors, by name; a rank of None is not known, and fits every promise."""


def _shown(tensors: Tensors) -> str:
    return ", ".join(
        f"{name}: {dtype}" + ("" if rank is None else f" of rank {rank}")
        for name, (dtype, rank) in sorted(tensors.items())
    )


def _promised(signature: Signature, side: str) -> Tensors:
    tensors = getattr(signature, side)
    return {name: (tensor.dtype, len(tensor.shape)) for name, tensor in tensors.items()}


def _in_graph(signature: Any, side: str) -> Tensors:
    import tensorflow as tf

    return {
        name: (
            tf.dtypes.as_dtype(info.dtype).name,
            None if info.tensor_shape.unknown_rank else len(info.tensor_shape.dim),
        )
        for name, info in getattr(signature, side).items()
    }


def _check_signatures(folder: Path, contract: Contract) -> None:
    """Compare names, types and ranks in `saved_model.pb` with those of the contract."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].signature_def
    for name, signature in contract.signatures.items():
        if name not in graph:
            raise RefusedError(f"Its graph has no signature {name}, which its contract promises.")
        for side in ("inputs", "outputs"):
            promised, seen = _promised(signature, side), _in_graph(graph[name], side)
            if promised != seen:
                raise RefusedError(
                    f"The {side} of signature {name} are {_shown(seen)}; its contract promises"
                    f" {_shown(promised)}."
                )


def _check_weights(folder: Path) -> None:
    """Read all weights and look for numbers that are none."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        for name in sorted(reader.get_variable_to_shape_map()):
            values = np.asarray(reader.get_tensor(name))
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                count = int((~np.isfinite(values)).sum())
                raise RefusedError(f"{count} of {values.size} weights of {name} are not finite.")
    except (tf.errors.OpError, ValueError, IndexError) as error:
        raise RefusedError(f"Its weights cannot be read: {error}") from error


def check_soundness(folder: Path, version: int, contract: Contract) -> None:
    """What only TensorFlow can say of a version without serving it.

    Raises:
        RefusedError: it has forbidden operations, other signatures than promised, or weights that
            are no numbers.
    """
    from google.protobuf.message import DecodeError

    from sortline.model.allowed_operations import check_operations, read_operations

    try:
        check_operations(read_operations(folder))
        _check_signatures(folder, contract)
        _check_weights(folder)
    except (ExportError, DecodeError, RefusedError) as error:
        raise RefusedError(f"Version {version} must not be served. {error}") from error
