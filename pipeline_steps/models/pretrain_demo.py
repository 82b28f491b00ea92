"""Pretrains the backbone that ships with the package, from drawn pictures that are not waste.

    python -m pipeline_steps.models.pretrain_demo

Reads nothing: it draws its pictures (`images/drawing`, families that no class of waste contains).
Writes `demo_weights/mobilenet_v2_0.35_96.safetensors` (float16, at most 2 MB) and, beside it, the
recipe, the accuracy reached and the weights' hash. The pictures are the same everywhere; the
weights are not to the last bit, since the order of a CPU's sums depends on its threads.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
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

from pipeline_steps.artifacts import Paths, atomic_file, sha256_file, sha256_json, write_json
from pipeline_steps.errors import WeightsError
from pipeline_steps.images.drawing.families import PRETRAINING
from pipeline_steps.images.drawing.scene import photograph, studio
from pipeline_steps.models import checkpoint
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
class Stage:
    """Some epochs on pictures of one kind and size.

    Attributes:
        kind: `studio` or `pretraining`, as in `draw_pictures`.
        side_px: side of what the network sees.
        epochs: times that each picture is seen, cropped, flipped and lit afresh.
    """

    kind: str
    side_px: int
    epochs: int


@dataclass(frozen=True)
class Recipe:
    """How the demo backbone is pretrained: from the easy and small to the hard and large.

    Attributes:
        seed: of the pictures, the initial weights and the order.
        train_images: photographs to train on, the same number of each family (to one), and as many
            studio pictures.
        val_images: photographs held back.
        stages: what is seen, in order. A picture of 32 px costs a third of one of 64 px.
        batch_size: pictures a step.
        learning_rate: AdamW's, after a warm-up of `warmup_steps`; it falls to 0 along a cosine.
        warmup_steps: steps over which the rate grows from 0.
        weight_decay: AdamW's.
        label_smoothing: of the cross entropy.
        norm_momentum: of BatchNorm; Keras's 0.999 is too slow for a few thousand steps.
        alpha: width of MobileNetV2.
    """

    seed: int = 7
    train_images: int = 30_500
    val_images: int = 1_220
    stages: tuple[Stage, ...] = (
        Stage("studio", 32, 3),
        Stage("pretraining", 32, 16),
        Stage("pretraining", 64, 20),
        Stage("pretraining", 96, 3),
    )
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    warmup_steps: int = 400
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


def _jittered(crops: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Vary brightness, contrast and the colour of the light; [N, side, side, 3] in [-1, 1]."""
    shape = (len(crops), 1, 1, 1)
    gain = rng.uniform(0.75, 1.25, shape) * rng.uniform(0.9, 1.1, (len(crops), 1, 1, 3))
    shift = rng.uniform(-0.15, 0.15, shape)
    return np.clip(crops * gain.astype(np.float32) + shift.astype(np.float32), -1, 1)


def _scaled(crops: Pixels) -> NDArray[np.float32]:
    return crops.astype(np.float32) / np.float32(127.5) - 1


def still_views(pixels: Pixels, side_px: int) -> NDArray[np.float32]:
    """The middle of each picture: float32 [N, side, side, 3] in [-1, 1]."""
    edge = (pixels.shape[1] - side_px) // 2
    return _scaled(pixels[:, edge : edge + side_px, edge : edge + side_px])


def random_views(pixels: Pixels, side_px: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A crop of each picture, maybe mirrored, lit afresh: float32 [N, side, side, 3] in [-1, 1]."""
    crops = np.empty((len(pixels), side_px, side_px, 3), np.uint8)
    corners = rng.integers(0, pixels.shape[1] - side_px + 1, (len(pixels), 2))
    mirrored = rng.random(len(pixels)) < 0.5
    for row, (y, x) in enumerate(corners):
        crop = pixels[row, y : y + side_px, x : x + side_px]
        crops[row] = crop[:, ::-1] if mirrored[row] else crop
    return _jittered(_scaled(crops), rng)


def build_backbone(recipe: Recipe) -> keras.Model:
    """MobileNetV2 without a head, with random weights, for pictures of any multiple of 32 px."""
    backbone = keras.applications.MobileNetV2(
        input_shape=(None, None, 3), alpha=recipe.alpha, include_top=False, weights=None
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = recipe.norm_momentum
    return backbone


def _build_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    epoch_steps = recipe.train_images // recipe.batch_size
    steps = epoch_steps * sum(stage.epochs for stage in recipe.stages)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=steps - recipe.warmup_steps,
        warmup_target=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
    )
    return keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)


def _sized(network: keras.Model, side_px: int, recipe: Recipe) -> keras.Model:
    """The same layers and optimizer for pictures of one size: known shapes train faster."""
    inputs = keras.Input((side_px, side_px, 3))
    model = keras.Model(inputs, network(inputs))
    loss = SmoothedCrossEntropy(recipe.label_smoothing)
    accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
    model.compile(optimizer=network.optimizer, loss=loss, metrics=[accuracy])
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


def _build_network(backbone: keras.Model, recipe: Recipe) -> keras.Model:
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    network = keras.Model(backbone.input, keras.layers.Dense(len(_NAMES), name="head")(pooled))
    network.compile(optimizer=_build_optimizer(recipe))
    network.optimizer.build(network.trainable_variables)
    return network


def _train_epoch(
    model: keras.Model, pictures: Pictures, side_px: int, recipe: Recipe, epoch: int
) -> float:
    """Train on every picture once; the mean loss. Order and views are drawn from the epoch."""
    pixels, labels = pictures
    rng = np.random.default_rng([recipe.seed, epoch])
    steps = len(labels) // recipe.batch_size  # What is left over is seen in another epoch.
    order = rng.permutation(len(labels))[: steps * recipe.batch_size].reshape(steps, -1)
    losses = [
        float(model.train_on_batch(random_views(pixels[rows], side_px, rng), labels[rows])[0])
        for rows in tqdm(order, desc=f"epoch {epoch + 1}, {side_px} px", unit="batch", leave=False)
    ]
    return float(np.mean(losses))


def _accuracy(model: keras.Model, pictures: Pictures, side_px: int) -> float:
    pixels, labels = pictures
    blocks = np.array_split(pixels, -(-len(pixels) // 128))
    logits = [model.predict_on_batch(still_views(block, side_px)) for block in blocks]
    return float((np.concatenate(logits).argmax(axis=-1) == labels).mean())


def _seen_at(pictures: Pictures, side_px: int) -> Pictures:
    """Pictures a little larger than what is cropped from them."""
    return _shrunk(pictures[0], round(side_px * _SLACK)), pictures[1]


def _fit(backbone: keras.Model, recipe: Recipe, kinds: Mapping[str, Pictures]) -> float:
    """Train in stages and return the accuracy on the photographs held back.

    Goes on after the last whole epoch of a run of the same recipe that was interrupted.
    """
    network = _build_network(backbone, recipe)
    resume = Paths(Path.cwd()).state / "resume" / f"pretrain-{sha256_json(asdict(recipe))}"
    history = checkpoint.restore(resume, network, []) if resume.is_file() else []
    epochs = count()
    for stage in recipe.stages:
        model = _sized(network, stage.side_px, recipe)
        held, seen = (_seen_at(kinds[kind], stage.side_px) for kind in ("validation", stage.kind))
        for _ in range(stage.epochs):
            epoch = next(epochs)
            if epoch < len(history):
                continue
            loss = _train_epoch(model, seen, stage.side_px, recipe, epoch)
            history.append({"loss": loss, "accuracy": _accuracy(model, held, stage.side_px)})
            checkpoint.save(resume, network, [], history)
            print(f"epoch {epoch + 1}: {stage.kind}, {stage.side_px} px, {history[-1]}", flush=True)
    resume.unlink()
    return history[-1]["accuracy"]


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
    accuracy = _fit(backbone, recipe, kinds)
    save_backbone(backbone, target)
    record = {
        "architecture": "keras.applications.MobileNetV2, include_top=False, input in [-1, 1]",
        "recipe": asdict(recipe),
        "families": list(_NAMES),
        "val_accuracy": round(accuracy, 4),
        "sha256": sha256_file(target),
    }
    write_json(target.with_suffix(".json"), record)
    return accuracy


def main() -> None:
    """Pretrain with the recipe's defaults."""
    print(f"validation accuracy {pretrain(Recipe()):.4f}: {DEMO_WEIGHTS}")


if __name__ == "__main__":
    main()
