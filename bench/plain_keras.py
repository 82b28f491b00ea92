"""The plain recipe, as a Keras user writes it: what Sortline's speed is measured against.

    python bench/plain_keras.py DATA OUT [--seed N] [--weights FILE] [--epochs 20 15]

`image_dataset_from_directory`, MobileNetV2, `model.fit` frozen and then unfrozen from layer 100,
with the settings of params.yaml. Nothing in it is slowed down: batches are decoded in parallel and
ahead. DATA holds train/, val/ and test/. OUT gets one JSON file: seconds, and seconds of CPU of all
threads, at the end of each epoch since the process began, and, scored once, the accuracy on the
test split.
"""

import time

STARTED = time.monotonic()  # Before TensorFlow is imported: a user waits for that too.

import argparse  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

SIZE = (224, 224)
BATCH = 32
FROM_LAYER = 100


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Seconds since the process began, by the clock and of CPU, at the end of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self.phase = 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Count the phases."""
        self.phase += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Note the time beside Keras's own figures."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        spent = {"seconds": time.monotonic() - STARTED, "cpu_s": time.process_time()}
        self.rows.append({"phase": self.phase, "epoch": epoch + 1, **spent, **figures})


def read(folder: Path, *, shuffle: bool, seed: int) -> tf.data.Dataset:
    """Images and labels of one split, resized as the reference recipe resizes."""
    images = keras.utils.image_dataset_from_directory(
        folder, image_size=SIZE, batch_size=BATCH, shuffle=shuffle, seed=seed, verbose=False
    )
    return images.prefetch(tf.data.AUTOTUNE)


def build(classes: int, weights: str | None) -> tuple[keras.Model, keras.Model]:
    """The network and, inside it, its backbone."""
    base = keras.applications.MobileNetV2(
        input_shape=(*SIZE, 3), include_top=False, weights=weights
    )
    base.trainable = False
    inputs = keras.Input((*SIZE, 3))
    x = keras.applications.mobilenet_v2.preprocess_input(inputs)
    x = base(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(256, activation="relu")(x)
    x = keras.layers.Dropout(0.3)(x)
    outputs = keras.layers.Dense(classes, activation="softmax")(x)
    return keras.Model(inputs, outputs), base


def fit(
    model: keras.Model, splits: dict[str, Any], rate: float, epochs: range, clock: Clock
) -> None:
    """One phase, with the reference recipe's callbacks."""
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(
        splits["train"],
        validation_data=splits["val"],
        initial_epoch=epochs.start,
        epochs=epochs.stop,
        verbose=2,
        callbacks=[
            keras.callbacks.EarlyStopping("val_loss", patience=5, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("val_loss", patience=3, factor=0.5),
            clock,
        ],
    )


def main() -> None:
    """Train, score, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", help="a file; without it, random weights")
    parser.add_argument("--epochs", type=int, nargs=2, default=(20, 15), metavar=("FROZEN", "MORE"))
    asked = parser.parse_args()
    keras.utils.set_random_seed(asked.seed)
    splits = {
        name: read(asked.data / name, shuffle=name == "train", seed=asked.seed)
        for name in ("train", "val", "test")
    }
    classes = len([path for path in (asked.data / "train").iterdir() if path.is_dir()])
    model, base = build(classes, asked.weights)
    clock = Clock()
    frozen, more = asked.epochs
    fit(model, splits, 1e-4, range(frozen), clock)
    base.trainable = True
    for layer in base.layers[:FROM_LAYER]:
        layer.trainable = False
    fit(model, splits, 1e-5, range(frozen, frozen + more), clock)
    seconds = time.monotonic() - STARTED
    _, accuracy = model.evaluate(splits["test"], verbose=0)
    result = {"seed": asked.seed, "seconds": seconds, "test_accuracy": accuracy}
    asked.out.write_text(json.dumps({**result, "epochs": clock.rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
