"""Pretrained weights: found, checked, hashed and loaded.

`imagenet` is looked for in the folder that SORTLINE_WEIGHTS_DIR names, then in Keras's cache, then
Keras downloads it. `demo` ships inside the package. Anything else is a path or an address.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import keras
import numpy as np
from safetensors.numpy import load_file, save

from sortline.core.errors import WeightsError
from sortline.core.files import atomic_file, sha256_file, sha256_json
from sortline.core.settings import read_settings
from sortline.core.storage import is_remote, open_storage
from sortline.training.backbones import BACKBONES, Published
from sortline.training.network_settings import Backbone

_DEMO = Path(__file__).parent / "demo_weights" / "mobilenet_v2_0.35_96.safetensors"
_DEMO_SHAPE = ("mobilenet_v2", 0.35, 96)
_WAYS_ON = (
    "Ways to go on: put {file} into a folder and name it in SORTLINE_WEIGHTS_DIR; or give"
    " backbone.weights a path, an s3:// or https:// address; or make a file that was published for"
    " another framework ours (sortline weights convert); or use the small backbone that ships"
    " with the package (sortline run --recipe demo); or backbone.weights: null for random ones."
)


@dataclass(frozen=True)
class LoadedWeights:
    """Where weights came from. `sha256` is of the file's bytes, None when they are random."""

    source: str
    sha256: str | None


def _published(params: Backbone) -> Published:
    """What was published for an architecture and its width.

    Raises:
        WeightsError: nothing was.
    """
    published = BACKBONES[params.architecture].published
    if published is None:
        raise WeightsError(
            f"There are no pretrained weights of {params.architecture}: it is trained from"
            " scratch. Set backbone.weights: null."
        )
    if params.alpha not in published.alphas:
        raise WeightsError(
            f"There are no ImageNet weights for backbone.alpha {params.alpha}; there are for"
            f" {', '.join(map(str, published.alphas))}."
        )
    return published


def _size_px(params: Backbone, published: Published) -> int:
    # As Keras does: a size without published weights takes those of 224.
    return params.image_size_px if params.image_size_px in published.sizes_px else 224


def _imagenet_candidates(params: Backbone, published: Published) -> list[Path]:
    # The weights fit any input size; those for this one come first.
    sizes = list(dict.fromkeys([_size_px(params, published), 224]))
    names = [name for name in (published.file, published.keras_file) if name]
    folder = read_settings().weights_dir
    own = [folder / _named(name, params, s) for name in names for s in sizes if folder]
    cache = (
        Path(keras.config.keras_home()) / "models"
        if hasattr(keras.config, "keras_home")
        else (Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models")
    )
    keras_file = published.keras_file
    cached = [cache / _named(keras_file, params, size) for size in sizes] if keras_file else []
    return list(dict.fromkeys([*own, *cached]))


def _named(name: str, params: Backbone, size_px: int) -> str:
    return name.format(alpha=params.alpha, size=size_px)


def _imagenet(params: Backbone) -> Path:
    published = _published(params)
    tried = _imagenet_candidates(params, published)
    for path in tried:
        if path.is_file():
            return path
    try:
        return _fetched(params, published)
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        listed = "".join(f"\n  {path}: not there" for path in tried)
        unset = "" if read_settings().weights_dir else "\n  SORTLINE_WEIGHTS_DIR: not set"
        ways = _WAYS_ON.format(file=_named(published.file, params, 224))
        raise WeightsError(
            f"The ImageNet weights of {params.architecture} were not found. Tried:{unset}{listed}"
            f"\n  download by Keras: failed ({str(error).splitlines()[0][:120]})\n{ways}"
        ) from error


def _fetched(params: Backbone, published: Published) -> Path:
    if published.keras_file is None:
        raise FileNotFoundError("Keras publishes none")
    name = _named(published.keras_file, params, _size_px(params, published))
    return Path(keras.utils.get_file(name, published.address + name, cache_subdir="models"))


def _downloaded(address: str, cache: Path) -> Path:
    # Files of one name at two addresses are two files.
    target = cache / sha256_json(address)[:16] / Path(urlparse(address).path).name
    if target.is_file():
        return target
    try:
        with atomic_file(target) as partial:
            if is_remote(address):
                folder, _, name = address.rpartition("/")
                with open_storage(folder, error=WeightsError) as storage:
                    storage.save(name, partial)
            else:
                got = keras.utils.get_file(origin=address, cache_dir=str(cache / "keras"))
                partial.write_bytes(Path(got).read_bytes())
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise WeightsError(f"{address} could not be downloaded: {error}") from error
    return target


def find_weights(params: Backbone, cache: Path) -> Path | None:
    """The file that `backbone.weights` means; None for random weights.

    Args:
        params: architecture, width, size and the weights' name, path or address.
        cache: folder for downloads from s3:// and https:// addresses.

    Raises:
        WeightsError: not found; says what was tried and the ways to go on.
    """
    name = params.weights
    if name is None:
        return None
    if name == "imagenet":
        return _imagenet(params)
    if name == "demo":
        if (params.architecture, params.alpha, params.image_size_px) != _DEMO_SHAPE:
            raise WeightsError(
                f"The demo backbone is {_DEMO_SHAPE[0]} of alpha {_DEMO_SHAPE[1]} at"
                f" {_DEMO_SHAPE[2]} px; params ask for {params.architecture} of alpha"
                f" {params.alpha} at {params.image_size_px} px."
            )
        return _DEMO
    if is_remote(name) or name.startswith(("https://", "http://")):
        return _downloaded(name, cache)
    if not Path(name).is_file():
        raise WeightsError(
            f"backbone.weights is {name!r}, and no such file is there. It is imagenet, demo, a"
            " path, an s3:// or https:// address, or null."
        )
    return Path(name)


def variables_by_name(model: keras.Model) -> dict[str, keras.Variable]:
    """Weights of a model by `layer/variable`, in the model's order; nested models are entered."""
    named: dict[str, keras.Variable] = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            named |= {f"{layer.name}/{k}": v for k, v in variables_by_name(layer).items()}
        else:
            named |= {f"{layer.name}/{weight.name}": weight for weight in layer.weights}
    return named


def _serialized(model: keras.Model) -> bytes:
    arrays = {
        name: np.ascontiguousarray(keras.ops.convert_to_numpy(value))
        for name, value in variables_by_name(model).items()
    }
    return bytes(save(arrays))


def digest_weights(model: keras.Model) -> str:
    """SHA-256 of a model's weights by name, in hex."""
    return hashlib.sha256(_serialized(model)).hexdigest()


def save_weights(model: keras.Model, target: Path) -> None:
    """Write a model's weights as safetensors, whole; equal weights give equal bytes."""
    with atomic_file(target) as partial:
        partial.write_bytes(_serialized(model))  # save_file would leave what only we can read.


def _check_fit(variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]) -> None:
    if missing := sorted(variables.keys() - arrays.keys()):
        raise WeightsError(f"{len(missing)} weights are missing, the first: {missing[0]}.")
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise WeightsError(
                f"{name} has shape {arrays[name].shape}; the network needs {tuple(variable.shape)}."
            )


def assign_weights(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a model its weights by name, all or none of them.

    Raises:
        WeightsError: one is missing, or of another shape.
    """
    variables = variables_by_name(model)
    _check_fit(variables, arrays)
    for name, variable in variables.items():
        variable.assign(arrays[name].astype("float32"))


def load_weights(model: keras.Model, source: Path) -> None:
    """Load weights by name from a safetensors file, or a file in one of Keras's own formats.

    Raises:
        WeightsError: the file cannot be read, or is not of this model's shapes.
    """
    try:
        if source.suffix != ".safetensors":
            model.load_weights(source)
            return
        assign_weights(model, load_file(source))
    except WeightsError as error:
        raise WeightsError(f"{source} does not fit the network: {error}") from error
    except Exception as error:  # h5py, Keras and safetensors have no base in common.
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{source} cannot be loaded into this network: {first}") from error


def _load_from_whole(model: keras.Model, whole: keras.Model, source: Path) -> None:
    """Load a file that holds more layers than the model has."""
    load_weights(whole, source)
    for layer in model.layers[1:]:
        layer.set_weights(whole.get_layer(layer.name).get_weights())


def load_pretrained(model: keras.Model, params: Backbone, cache: Path) -> LoadedWeights:
    """Load what `backbone.weights` names into a backbone.

    Raises:
        WeightsError: they cannot be had, or do not fit.
    """
    source = find_weights(params, cache)
    if source is None:
        return LoadedWeights("random", None)
    published = BACKBONES[params.architecture].published
    if published and published.layout and source.suffix == ".h5":
        _load_from_whole(model, published.layout(), source)
    else:
        load_weights(model, source)
    return LoadedWeights(str(params.weights), sha256_file(source))
