"""The plain recipe, as a Keras user writes it: what Sortline's speed is measured against.

    python bench/plain_keras.py DATA OUT [--seed N] [--weights FILE] [--epochs 20 15]

`image_dataset_from_directory`, MobileNetV2, `model.fit` frozen and then unfrozen from layer 100,
with the settings of params.yaml. Nothing in it is slowed down: batches are decoded in parallel and
ahead. DATA holds train/, val/ and test/. OUT gets one JSON file: seconds, and seconds of CPU of all
threads, at the end of each epoch since the process began, and, scored once, the accuracy on the
test split.

It takes hours. Stopped and started again, it goes on after the last epoch that it ended, from
checkpoints beside OUT; their seconds are added up. Writing them takes 0.1 s an epoch.
"""

import time

STARTED = time.monotonic()  # Before TensorFlow is imported: a user waits for that too.

import argparse  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from sortline.training import checkpoint  # noqa: E402

SIZE = (224, 224)
BATCH = 32
FROM_LAYER = 100
PATIENCE = 5
Row = dict[str, float]


class Ledger(keras.callbacks.Callback):  # type: ignore[misc]
    """Time spent at the end of each epoch, and a checkpoint of it.

    Args:
        file: of the checkpoint.
        before: the last epoch that an earlier process ended; its seconds are added.
        decisions: the callbacks whose memory belongs to the checkpoint; they come before this one.
    """

    def __init__(self, file: Path, before: Row, decisions: list[keras.callbacks.Callback]) -> None:
        super().__init__()
        self.file, self.before, self.decisions = file, before, decisions
        self.rows = _rows_in(file)

    def on_train_begin(self, logs: Row | None = None) -> None:  # noqa: ARG002
        """Go on from the checkpoint, if there is one."""
        self.model.optimizer.build(self.model.trainable_variables)
        if self.rows:
            checkpoint.restore(self.file, self.model, self.decisions)

    def on_epoch_end(self, epoch: int, logs: Row | None = None) -> None:
        """Note the time beside Keras's own figures, and keep everything."""
        spent = {
            "seconds": self.before["seconds"] + time.monotonic() - STARTED,
            "cpu_s": self.before["cpu_s"] + time.process_time(),
        }
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self.rows.append({"epoch": epoch + 1, **spent, **figures})
        checkpoint.save(self.file, self.model, self.decisions, self.rows)


def _rows_in(file: Path) -> list[Row]:
    return checkpoint.history_of(file) if file.is_file() else []


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
    model: keras.Model, splits: dict[str, Any], rate: float, epochs: range, out: Path, before: Row
) -> list[Row]:
    """One phase, with the reference recipe's callbacks; what is in `out` is not done again."""
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    decisions = [
        keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=3, factor=0.5),
    ]
    ledger = Ledger(out, before, decisions)
    losses = [row["val_loss"] for row in ledger.rows]
    stopped = len(losses) > PATIENCE and min(losses) not in losses[-PATIENCE:]
    model.fit(
        splits["train"],
        validation_data=splits["val"],
        initial_epoch=epochs.stop if stopped else epochs.start + len(losses),
        epochs=epochs.stop,
        verbose=2,
        callbacks=[*decisions, ledger],
    )
    return ledger.rows


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
    frozen, more = asked.epochs
    files = [asked.out.with_suffix(f".phase{phase}.safetensors") for phase in (1, 2)]
    before = [{"seconds": 0.0, "cpu_s": 0.0}, *_rows_in(files[0]), *_rows_in(files[1])][-1]
    first = fit(model, splits, 1e-4, range(frozen), files[0], before)
    base.trainable = True
    for layer in base.layers[:FROM_LAYER]:
        layer.trainable = False
    second = fit(model, splits, 1e-5, range(frozen, frozen + more), files[1], before)
    seconds = before["seconds"] + time.monotonic() - STARTED
    _, accuracy = model.evaluate(splits["test"], verbose=0)
    rows = [{"phase": 1, **row} for row in first] + [{"phase": 2, **row} for row in second]
    result = {"seed": asked.seed, "seconds": seconds, "test_accuracy": accuracy}
    asked.out.write_text(json.dumps({**result, "epochs": rows}, indent=2) + "\n")
    for file in files:
        file.unlink()


if __name__ == "__main__":
    main()
