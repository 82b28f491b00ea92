"""What only TensorFlow can say of a version without serving it: its graph and its weights."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from sortline.core.errors import ExportError, RefusedError
from sortline.model.allowed_operations import check_operations, read_operations
from sortline.model.contract import Contract, Signature


def _shown(tensors: dict[str, tuple[str, int | None]]) -> str:
    return ", ".join(
        f"{name}: {dtype}" + ("" if rank is None else f" of rank {rank}")
        for name, (dtype, rank) in sorted(tensors.items())
    )


def _promised(signature: Signature, side: str) -> dict[str, tuple[str, int | None]]:
    tensors = getattr(signature, side)
    return {name: (each.dtype, len(each.shape)) for name, each in tensors.items()}


def _written(infos: dict[str, "tf.Tensor"]) -> dict[str, tuple[str, int | None]]:
    # A tensor of unknown rank fits every promise.
    return {
        name: (
            tf.dtypes.as_dtype(info.dtype).name,
            None if info.tensor_shape.unknown_rank else len(info.tensor_shape.dim),
        )
        for name, info in infos.items()
    }


def check_signatures(folder: Path, contract: Contract) -> None:
    """Compare the signatures in `saved_model.pb` with those of the contract.

    Raises:
        RefusedError: one is missing, or has other names, dtypes or ranks.
    """
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    found = model.meta_graphs[0].signature_def
    for name, signature in contract.signatures.items():
        if name not in found:
            raise RefusedError(f"Its graph has no signature {name}, which its contract promises.")
        for side in ("inputs", "outputs"):
            wanted, seen = _promised(signature, side), _written(getattr(found[name], side))
            if wanted != seen:
                raise RefusedError(
                    f"The {side} of signature {name} are {_shown(seen)}; its contract promises"
                    f" {_shown(wanted)}."
                )


def check_weights(folder: Path) -> None:
    """Read all weights and look for numbers that are none.

    Raises:
        RefusedError: they cannot be read, or some are not finite.
    """
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
    """Look for forbidden operations, other signatures than promised, weights that are no numbers.

    Raises:
        RefusedError: there are some.
    """
    from google.protobuf.message import DecodeError

    try:
        check_operations(read_operations(folder))
        check_signatures(folder, contract)
        check_weights(folder)
    except (ExportError, DecodeError, RefusedError) as error:
        raise RefusedError(f"Version {version} must not be served. {error}") from error
