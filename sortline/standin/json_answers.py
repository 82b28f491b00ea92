"""Tensors as REST's JSON, as TensorFlow Serving's REST API has it."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sortline.client.server_status import invalid

Array = npt.NDArray[Any]
_BYTES_SUFFIX: Final = "_bytes"


def _json_leaf(value: Any, *, as_base64: bool) -> Any:
    if isinstance(value, bytes):
        if as_base64:
            return {"b64": base64.b64encode(value).decode()}
        return value.decode(errors="replace")
    # The shortest text that is this float32, not all digits of the double that it becomes.
    return float(str(value)) if isinstance(value, np.floating) else value.item()


def _listed(array: Array, *, as_base64: bool) -> Any:
    if not array.size:
        return array.tolist()
    listed = [_json_leaf(value, as_base64=as_base64) for value in array.ravel()]
    for size in reversed(array.shape[1:]):
        listed = [listed[start : start + size] for start in range(0, len(listed), size)]
    return listed if array.ndim else listed[0]


def _as_json(name: str, array: Array) -> Any:
    return _listed(array, as_base64=name.endswith(_BYTES_SUFFIX))


def columns(outputs: Mapping[str, Array]) -> Any:
    """What stands under `outputs`: the value itself when there is one output."""
    found = {name: _as_json(name, array) for name, array in outputs.items()}
    return next(iter(found.values())) if len(found) == 1 else found


def rows(outputs: Mapping[str, Array]) -> Sequence[Any]:
    """What stands under `predictions`: one entry an instance.

    Raises:
        StatusError: INVALID_ARGUMENT, the outputs are not one batch.
    """
    sizes = {name: len(array) if array.ndim else 0 for name, array in outputs.items()}
    for name, size in sizes.items():
        if not size:
            raise invalid(
                f"Tensor name: {name} has no shape information or an empty batch; ask with 'inputs'"
            )
        if size != next(iter(sizes.values())):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {size} expecting batch size:"
                f" {next(iter(sizes.values()))}"
            )
    found = {name: _as_json(name, array) for name, array in outputs.items()}
    if len(found) == 1:
        listed: list[Any] = next(iter(found.values()))
        return listed
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
