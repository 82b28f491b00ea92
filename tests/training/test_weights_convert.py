"""A published ResNet-18 becomes ours with the same answers, or is refused."""

from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from sortline.core.errors import ParamsError, WeightsError
from sortline.training.backbones.resnet18 import resnet18
from sortline.training.weights import load_weights
from sortline.training.weights_convert import convert, convert_named

Arrays = dict[str, np.ndarray]


def _batchnorm(name: str, width: int, rng: np.random.Generator) -> Arrays:
    kinds = ("weight", "bias", "running_mean", "running_var")
    found = {f"{name}.{kind}": rng.uniform(0.5, 1.5, width).astype("float32") for kind in kinds}
    return {**found, f"{name}.num_batches_tracked": np.array(7)}


def torchvision_state() -> Arrays:
    """Names, shapes and axes of torchvision's `resnet18().state_dict()`; random values."""
    rng = np.random.default_rng(0)

    def kernel(*shape: int) -> np.ndarray:
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        return rng.normal(0, deviation, shape).astype("float32")

    state = {"conv1.weight": kernel(64, 3, 7, 7), **_batchnorm("bn1", 64, rng)}
    below = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name, taken = f"layer{stage}.{block}", below if block == 0 else width
            state[f"{name}.conv1.weight"] = kernel(width, taken, 3, 3)
            state[f"{name}.conv2.weight"] = kernel(width, width, 3, 3)
            state |= _batchnorm(f"{name}.bn1", width, rng) | _batchnorm(f"{name}.bn2", width, rng)
            if taken != width:
                state[f"{name}.downsample.0.weight"] = kernel(width, taken, 1, 1)
                state |= _batchnorm(f"{name}.downsample.1", width, rng)
        below = width
    return {**state, "fc.weight": kernel(1000, 512), "fc.bias": np.zeros(1000, "float32")}


def _convolved(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """As PyTorch does: x [C, H, W], kernel [O, C, k, k], k // 2 zeros around."""
    k, pad = kernel.shape[-1], kernel.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    found = np.einsum("chwij,ocij->ohw", windows[:, ::stride, ::stride], kernel, optimize=True)
    return np.asarray(found)


def _normalised(x: np.ndarray, state: Arrays, name: str) -> np.ndarray:
    weight, bias, mean, variance = (
        state[f"{name}.{kind}"][:, None, None]
        for kind in ("weight", "bias", "running_mean", "running_var")
    )
    return np.asarray((x - mean) / np.sqrt(variance + 1e-5) * weight + bias)


def _block(x: np.ndarray, state: Arrays, name: str, stride: int) -> np.ndarray:
    y = _convolved(x, state[f"{name}.conv1.weight"], stride)
    y = np.maximum(_normalised(y, state, f"{name}.bn1"), 0)
    y = _normalised(_convolved(y, state[f"{name}.conv2.weight"], 1), state, f"{name}.bn2")
    if f"{name}.downsample.0.weight" in state:
        x = _convolved(x, state[f"{name}.downsample.0.weight"], stride)
        x = _normalised(x, state, f"{name}.downsample.1")
    return np.asarray(np.maximum(y + x, 0))


def _forward(x: np.ndarray, state: Arrays) -> np.ndarray:
    """The network of He et al. in NumPy, up to layer2, in PyTorch's layout: [C, H, W]."""
    x = np.maximum(_normalised(_convolved(x, state["conv1.weight"], 2), state, "bn1"), 0)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    x = windows[:, ::2, ::2].max(axis=(3, 4))
    for stage in (1, 2):
        for block in range(2):
            x = _block(x, state, f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1)
    return x


def test_torchvisions_resnet18_gives_the_answers_of_a_plain_forward_pass(tmp_path: Path) -> None:
    state, source, target = torchvision_state(), tmp_path / "r.safetensors", tmp_path / "o"
    save_file(state, source)
    assert len(convert(source, target.with_suffix(".safetensors"), "resnet18", 1.0)) == 64
    model = resnet18(64, 1.0)
    load_weights(model, target.with_suffix(".safetensors"))
    part = keras.Model(model.input, model.get_layer("layer2_1_relu2").output)
    pixels = np.random.default_rng(1).normal(size=(3, 64, 64)).astype("float32")
    ours = keras.ops.convert_to_numpy(part(pixels.transpose(1, 2, 0)[None]))[0]
    np.testing.assert_allclose(ours.transpose(2, 0, 1), _forward(pixels, state), atol=1e-3)


def test_what_is_not_that_network_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    state, source, target = torchvision_state(), tmp_path / "r.safetensors", tmp_path / "o"
    target = target.with_suffix(".safetensors")
    wrong = {
        "34 layers": {**state, "layer1.2.conv1.weight": np.zeros((64, 64, 3, 3), "float32")},
        "another shape": {**state, "conv1.weight": np.zeros((64, 3, 3, 3), "float32")},
        "incomplete": {k: v for k, v in state.items() if k != "layer4.1.bn2.weight"},
        "transformer": {**state, "encoder.weight": np.zeros((4, 4), "float32")},
    }
    for arrays in wrong.values():
        save_file(arrays, source)
        with pytest.raises(WeightsError):
            convert(source, target, "resnet18", 1.0)
    pickled = tmp_path / "resnet18.pth"
    pickled.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(WeightsError, match="is a pickle"):
        convert(pickled, target, "resnet18", 1.0)
    with pytest.raises(ParamsError, match="there are baseline_cnn"):
        convert_named(source, target, "vgg16", 1.0)
    assert not target.exists()
