"""`sortline weights convert`: a published checkpoint, in the layout of this project's backbones.

Two layouts are read, neither with the framework that wrote it:

- torchvision's ResNet-18: a state dict as safetensors. Convolutions are [out, in, h, w] there and
  [h, w, in, out] here; BatchNorm's weight, bias, running_mean and running_var are gamma, beta,
  moving_mean and moving_variance. The classifier (`fc`) is left out.
- Keras's own files (.h5), for whichever backbone they fit.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from sortline.core.errors import ParamsError, WeightsError
from sortline.core.files import sha256_file
from sortline.training.backbones import BACKBONES
from sortline.training.cuts import build_backbone
from sortline.training.network_settings import Backbone
from sortline.training.weights import (
    assign_weights,
    load_pretrained,
    save_weights,
    variables_by_name,
)

Arrays = dict[str, npt.NDArray[Any]]
_BATCHNORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_IGNORED = ("num_batches_tracked",)
_CLASSIFIER = "fc."


def from_torchvision(state: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """Arrays by `layer/variable`, from torchvision's names and axes.

    Raises:
        WeightsError: an array is none of a convolution or a BatchNorm.
    """
    converted: Arrays = {}
    for name, array in state.items():
        if name.startswith(_CLASSIFIER) or name.endswith(_IGNORED):
            continue
        module, _, kind = name.rpartition(".")
        layer = module.replace(".", "_")
        if array.ndim == 4 and kind == "weight":
            converted[f"{layer}/kernel"] = np.ascontiguousarray(array.transpose(2, 3, 1, 0))
        elif array.ndim == 1 and kind in _BATCHNORM:
            converted[f"{layer}/{_BATCHNORM[kind]}"] = array
        else:
            raise WeightsError(
                f"{name} of shape {array.shape} is no convolution's and no BatchNorm's: this is not"
                " torchvision's ResNet. Give the state dict of resnet18 as safetensors."
            )
    return {name: array.astype("float32") for name, array in converted.items()}


def _state_dict(source: Path) -> Arrays:
    try:
        state: Arrays = load_file(source)
    except Exception as error:  # safetensors raises a class of its own, and OSError.
        raise WeightsError(
            f"{source} cannot be read as safetensors: {error}. A .pth file is a pickle, which runs"
            " what it holds: save its state dict with safetensors.torch.save_file first."
        ) from error
    return state


def convert(source: Path, target: Path, architecture: str, alpha: float) -> str:
    """Write `target` (.safetensors), which `backbone.weights` can name; returns its SHA-256.

    Args:
        source: a file as it was published.
        target: where to write.
        architecture: the backbone that the weights are of.
        alpha: its width.

    Raises:
        WeightsError: the file cannot be read, is of another network, or lacks a weight.
    """
    params = Backbone(
        architecture=architecture, alpha=alpha, image_size_px=224, weights=str(source)
    )
    backbone = build_backbone(params)
    if architecture == "resnet18":
        _assign(backbone, from_torchvision(_state_dict(source)), source)
    else:
        load_pretrained(backbone, params, target.parent)
    save_weights(backbone, target)
    return sha256_file(target)


def convert_named(source: Path, target: Path, architecture: str, alpha: float) -> str:
    """`convert`, with what a person typed.

    Raises:
        ParamsError: there is no such architecture, or `target` is not called *.safetensors.
        WeightsError: see `convert`.
    """
    if architecture not in BACKBONES:
        raise ParamsError(
            f"--architecture is {architecture!r}; there are {', '.join(sorted(BACKBONES))}."
        )
    if target.suffix != ".safetensors":
        raise ParamsError(f"The target is {target}; its name has to end in .safetensors.")
    return convert(source, target, architecture, alpha)


def _assign(backbone: keras.Model, arrays: Arrays, source: Path) -> None:
    try:
        assign_weights(backbone, arrays)
    except WeightsError as error:
        raise WeightsError(f"{source} is not torchvision's ResNet-18: {error}") from error
    if extra := sorted(arrays.keys() - variables_by_name(backbone).keys()):
        raise WeightsError(
            f"{source} has {len(extra)} weights that ResNet-18 has not, first {extra[0]}: it is of"
            " a larger network."
        )
