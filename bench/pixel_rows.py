"""What decoding images again in every epoch costs, against keeping them decoded, and training.

    python bench/pixel_rows.py [--images 256]

Prints milliseconds an image of decoding (models/pixel_rows.py), of reading the same pixels back
from a memory-mapped uint8 file, and of a training step of two networks on them, all at 224 px and
in one run; and what share of an epoch keeping them would save. Images of SORTLINE_WASTE10 are
taken when it is set, else drawn ones.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from sortline.core.files import sha256_file
from sortline.images.views import PLAIN
from sortline.training.backbones.plain_cnns import baseline_cnn
from sortline.training.features import Views
from sortline.training.pixel_rows import PixelRows

SIZE_PX, BATCH = 224, 32


def images(folder: Path, count: int) -> list[Path]:
    """Photographs, or drawn JPEGs of 400 x 300 pixels."""
    if source := os.environ.get("SORTLINE_WASTE10"):
        found = sorted(Path(source).glob("**/*.jpg"))
        return found[:: max(1, len(found) // count)][:count]
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 255, (30, 40, 3), np.uint8))
        coarse.resize((400, 300), Image.Resampling.BICUBIC).save(folder / f"{index}.jpg")
    return sorted(folder.glob("*.jpg"))


def views_of(files: list[Path]) -> Views:
    """One plain row an image."""
    count = len(files)
    return Views(
        files=files,
        sha256=[sha256_file(each) for each in files],
        vectors=np.tile(PLAIN, (count, 1)),
        labels=np.zeros(count, "int64"),
        first=np.arange(count),
        count=np.ones(count, "int64"),
    )


def per_image_ms(seconds: float, count: int) -> float:
    """Milliseconds an image."""
    return 1000 * seconds / count


def decoding(rows: PixelRows, order: np.ndarray) -> float:
    """Milliseconds an image of an epoch that only decodes."""
    started = time.monotonic()
    count = sum(len(batch) for batch in rows.batches(order, BATCH))
    return per_image_ms(time.monotonic() - started, count)


def reading(folder: Path, rows: PixelRows, order: np.ndarray) -> float:
    """Milliseconds an image of an epoch that only reads uint8 from a file in the page cache."""
    shape = (len(order), SIZE_PX, SIZE_PX, 3)
    kept = np.lib.format.open_memmap(folder / "kept.npy", "w+", "uint8", shape)
    for index, batch in enumerate(rows.batches(np.arange(len(order)), BATCH)):
        kept[index * BATCH : index * BATCH + len(batch)] = np.rint(batch)
    started = time.monotonic()
    for start in range(0, len(order), BATCH):
        kept[np.sort(order[start : start + BATCH])].astype("float32")
    return per_image_ms(time.monotonic() - started, len(order))


def training(backbone: keras.Model, steps: int = 6) -> float:
    """Milliseconds an image of a training step of everything; the first two steps do not count."""
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(10)(pooled))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-5), loss)
    x = np.random.default_rng(0).random((BATCH, SIZE_PX, SIZE_PX, 3), dtype="float32")
    y = np.eye(10, dtype="float32")[np.arange(BATCH) % 10]
    for step in range(steps):
        if step == 2:
            started = time.monotonic()
        model.train_on_batch(x, y)
    return per_image_ms(time.monotonic() - started, BATCH * (steps - 2))


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = PixelRows(views_of(images(folder, count)), SIZE_PX)
        order = np.random.default_rng(0).permutation(count)
        decoding(rows, order)
        decoded, read = decoding(rows, order), reading(folder, rows, order)
    print(f"decoding {decoded:.2f} ms an image, reading uint8 {read:.2f} ms")
    shape = (SIZE_PX, SIZE_PX, 3)
    mobilenet = keras.applications.MobileNetV2(shape, include_top=False, weights=None)
    for label, backbone in (
        ("MobileNetV2", mobilenet),
        ("baseline_cnn", baseline_cnn(SIZE_PX, 1.0)),
    ):
        trained = training(backbone)
        saved = max(0.0, decoded - read) / (decoded + trained)
        print(f"{label}: training {trained:.2f} ms an image; kept pixels save at most {saved:.1%}")


if __name__ == "__main__":
    main()
