"""Pretrains the backbone that ships with the package, from drawn pictures that are not waste.

    python -m pipeline_steps.models.pretrain_demo

Reads nothing: it draws its pictures (`images/drawing`, families that no class of waste contains).
Writes `demo_weights/mobilenet_v2_0.35_96.safetensors` (float16, at most 2 MB) and, beside it, the
recipe, the accuracy reached and the weights' hash. The pictures are the same everywhere; the
weights are not to the last bit, since the order of a CPU's sums depends on its threads.
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save
from tqdm import tqdm

from pipeline_steps.artifacts import atomic_file, sha256_file, write_json
from pipeline_steps.errors import WeightsError
from pipeline_steps.images.drawing.families import PRETRAINING
from pipeline_steps.images.drawing.scene import photograph, studio
from pipeline_steps.models.weights import variables_by_name

Pixels = NDArray[np.uint8]
Pictures = tuple[Pixels, NDArray[np.int64]]

DEMO_WEIGHTS: Final = Path(__file__).with_name("demo_weights") / "mobilenet_v2_0.35_96.safetensors"
"""The shipped weights; the recipe is beside them, with the suffix `.json`."""

MAX_WEIGHTS_BYTES: Final = 2_000_000
_DRAWN_PX: Final = 112
_SLACK: Final = _DRAWN_PX / 96  # What is drawn, over what a crop of it keeps.
_NAMES: Final = tuple(PRETRAINING)
_KINDS: Final = MappingProxyType({"studio": studio, "pretraining": photograph})


@dataclass(frozen=True)
class Recipe:
    """How the demo backbone is pretrained: from the easy and small to the hard and large.

    Attributes:
        seed: of the pictures, the initial weights and the order.
        train_images: photographs to train on, the same number of each family (to one), and as many
            studio pictures.
        val_images: photographs held back.
        small_px: side of what the network sees at first; 64 px cost less than half of 96 px.
        studio_epochs: times that each studio picture is seen, small, before any photograph.
        small_epochs: times that each photograph is seen small, cropped, flipped, lit afresh.
        image_size_px: side of what the network sees in the end.
        epochs: times that each photograph is seen at that size.
        batch_size: pictures a step.
        learning_rate: AdamW's, after a warm-up of one epoch; it falls to 0 along a cosine.
        weight_decay: AdamW's.
        label_smoothing: of the cross entropy.
        norm_momentum: of BatchNorm; Keras's 0.999 is too slow for a few thousand steps.
        alpha: width of MobileNetV2.
    """

    seed: int = 7
    train_images: int = 12_200
    val_images: int = 1_220
    small_px: int = 64
    studio_epochs: int = 4
    small_epochs: int = 9
    image_size_px: int = 96
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 2e-2
    label_smoothing: float = 0.1
    norm_momentum: float = 0.99
    alpha: float = 0.35


def _drawn(index: int, *, seed: int, kind: str) -> bytes:
    draw = PRETRAINING[_NAMES[index % len(_NAMES)]][0]
    picture = _KINDS[kind](draw, Random(f"{seed}:{kind}:{index}"))
    return picture.resize((_DRAWN_PX, _DRAWN_PX), Image.Resampling.BICUBIC).tobytes()


def draw_pictures(seed: int, kind: str, count: int) -> Pictures:
    """Draw pretraining pictures of a kind, `studio` or `pretraining` (photographs).

    Returns:
        uint8 [count, 112, 112, 3] and labels int64 [count]; label n is family n of `PRETRAINING`.
    """
    pixels = np.empty((count, _DRAWN_PX, _DRAWN_PX, 3), np.uint8)
    draw = partial(_drawn, seed=seed, kind=kind)
    with get_context("spawn").Pool() as pool:
        drawn = pool.imap(draw, range(count), chunksize=32)
        for row, data in enumerate(tqdm(drawn, total=count, desc=kind, unit="image")):
            pixels[row] = np.frombuffer(data, np.uint8).reshape(pixels.shape[1:])
    return pixels, np.arange(count, dtype=np.int64) % len(_NAMES)


def _shrunk(pixels: Pixels, side_px: int) -> Pixels:
    if side_px == _DRAWN_PX:
        return pixels
    size = (side_px, side_px)
    return np.stack(
        [np.asarray(Image.fromarray(row).resize(size, Image.Resampling.BOX)) for row in pixels]
    )


def _jittered(crop: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Vary brightness, contrast and the colour of the light; [-1, 1] in and out."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, size=3)
    shift = rng.uniform(-0.15, 0.15)
    return np.clip(crop * gain + shift, -1, 1).astype(np.float32)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of float32 [N, side, side, 3] in [-1, 1]: random views, or the middle if `still`."""

    def __init__(
        self, pictures: Pictures, side_px: int, recipe: Recipe, *, still: bool = False
    ) -> None:
        super().__init__()
        self.pixels, self.labels = _shrunk(pictures[0], round(side_px * _SLACK)), pictures[1]
        self.side_px, self.batch_size, self.still = side_px, recipe.batch_size, still
        self.rng = np.random.default_rng(recipe.seed + side_px)
        self.order = np.arange(len(self.labels))
        self.on_epoch_end()

    def __len__(self) -> int:
        return (len(self.labels) + self.batch_size - 1) // self.batch_size

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        if not self.still:
            self.rng.shuffle(self.order)

    def __getitem__(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rows = self.order[step * self.batch_size : (step + 1) * self.batch_size]
        return np.stack([self._view(self.pixels[row]) for row in rows]), self.labels[rows]

    def _view(self, picture: Pixels) -> NDArray[np.float32]:
        side, slack = self.side_px, len(picture) - self.side_px
        y, x = (slack // 2, slack // 2) if self.still else self.rng.integers(0, slack + 1, size=2)
        crop = picture[y : y + side, x : x + side].astype(np.float32) / 127.5 - 1
        if self.still:
            return crop
        if self.rng.random() < 0.5:
            crop = crop[:, ::-1]
        return _jittered(crop, self.rng)


def build_backbone(recipe: Recipe) -> keras.Model:
    """MobileNetV2 without a head, with random weights, for pictures of any multiple of 32 px."""
    backbone = keras.applications.MobileNetV2(
        input_shape=(None, None, 3), alpha=recipe.alpha, include_top=False, weights=None
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = recipe.norm_momentum
    return backbone


def build_classifier(backbone: keras.Model, recipe: Recipe) -> keras.Model:
    """Compile the backbone under average pooling and one dense layer that gives logits."""
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(len(_NAMES), name="head")(pooled))
    warmup = -(-recipe.train_images // recipe.batch_size)
    steps = warmup * (recipe.studio_epochs + recipe.small_epochs + recipe.epochs)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=steps - warmup,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay),
        loss=SmoothedCrossEntropy(recipe.label_smoothing),
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
    )
    return model


class SmoothedCrossEntropy(keras.losses.Loss):  # type: ignore[misc]
    """Cross entropy of integer labels and logits, with label smoothing."""

    def __init__(self, smoothing: float) -> None:
        super().__init__(name="smoothed_cross_entropy")
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each picture, [batch]."""
        classes = y_pred.shape[-1]
        labels = keras.ops.reshape(keras.ops.cast(y_true, "int32"), (-1,))
        exact = keras.ops.one_hot(labels, classes)
        soft = exact * (1 - self.smoothing) + self.smoothing / classes
        return keras.losses.categorical_crossentropy(soft, y_pred, from_logits=True)


def save_backbone(backbone: keras.Model, target: Path) -> None:
    """Write a backbone's weights as float16 safetensors, named `layer/variable`.

    Raises:
        WeightsError: a weight does not fit float16, or the file is too large to ship.
    """
    with np.errstate(over="ignore"):  # Refused below, by name.
        tensors = {
            name: keras.ops.convert_to_numpy(variable).astype(np.float16)
            for name, variable in variables_by_name(backbone).items()
        }
    if broken := [name for name, value in tensors.items() if not np.isfinite(value).all()]:
        raise WeightsError(f"{', '.join(broken)}: not finite in float16. Train with a lower rate.")
    data = save(tensors)
    if len(data) > MAX_WEIGHTS_BYTES:
        raise WeightsError(
            f"The weights take {len(data)} bytes, at most {MAX_WEIGHTS_BYTES} ship. Lower alpha."
        )
    with atomic_file(target) as partial_file:
        # Not save_file: it makes a file that nobody but its owner can read.
        partial_file.write_bytes(data)


def _fit(model: keras.Model, recipe: Recipe, kinds: Mapping[str, Pictures]) -> float:
    """Train in three stages and return the accuracy on the photographs held back."""
    for kind, side_px, epochs in (
        ("studio", recipe.small_px, recipe.studio_epochs),
        ("pretraining", recipe.small_px, recipe.small_epochs),
        ("pretraining", recipe.image_size_px, recipe.epochs),
    ):
        still = Batches(kinds["validation"], side_px, recipe, still=True)
        training = Batches(kinds[kind], side_px, recipe)
        model.fit(training, validation_data=still, epochs=epochs, verbose=2)
    return float(model.evaluate(still, verbose=0, return_dict=True)["accuracy"])


def _draw_all(recipe: Recipe) -> dict[str, Pictures]:
    train = recipe.train_images
    pixels, labels = draw_pictures(recipe.seed, "pretraining", train + recipe.val_images)
    return {
        "studio": draw_pictures(recipe.seed, "studio", train),
        "pretraining": (pixels[:train], labels[:train]),
        "validation": (pixels[train:], labels[train:]),
    }


def pretrain(recipe: Recipe, target: Path = DEMO_WEIGHTS) -> float:
    """Pretrain, write weights and record, and return the accuracy on what was held back."""
    keras.utils.set_random_seed(recipe.seed)
    kinds = _draw_all(recipe)
    backbone = build_backbone(recipe)
    started = time.monotonic()
    accuracy = _fit(build_classifier(backbone, recipe), recipe, kinds)
    save_backbone(backbone, target)
    record = {
        "architecture": "keras.applications.MobileNetV2, include_top=False, input in [-1, 1]",
        "recipe": asdict(recipe),
        "families": list(_NAMES),
        "val_accuracy": round(accuracy, 4),
        "training_s": round(time.monotonic() - started),
        "sha256": sha256_file(target),
    }
    write_json(target.with_suffix(".json"), record)
    return accuracy


def main() -> None:
    """Pretrain with the recipe's defaults, or with `field=value` arguments over them."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    recipe = Recipe(**{field: json.loads(value) for field, value in given.items()})
    print(f"validation accuracy {pretrain(recipe):.4f}: {DEMO_WEIGHTS}")


if __name__ == "__main__":
    main()
