"""One worker of a test: trains a tiny network's tail by the loop, on the devices that it is told.

Called as `worker_program.py FOLDER SETTINGS`: FOLDER is this worker's own; SETTINGS is JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from helpers.training_parts import signal_examples
from sortline.core.entry import exit_code_of
from sortline.core.paths import Paths
from sortline.training.curves import Row
from sortline.training.devices import current
from sortline.training.loop import train
from sortline.training.phase_settings import Distribution, Phase
from sortline.training.strategy import opened


def network() -> keras.Model:
    """As phase 2's: convolutions under BatchNorm that is frozen, and a head."""
    keras.utils.set_random_seed(7)
    norm = keras.layers.BatchNormalization(trainable=False)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            keras.layers.Conv2D(8, 3, padding="same", use_bias=False),
            norm,
            keras.layers.ReLU(6.0),
            keras.layers.DepthwiseConv2D(3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )
    rng = np.random.default_rng(1)
    norm.set_weights([rng.uniform(0.5, 1.5, 8).astype("float32") for _ in range(4)])
    return model


def _two_processors() -> None:
    import tensorflow as tf

    logical = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
    every = tf.distribute.MirroredStrategy
    tf.distribute.MirroredStrategy = lambda: every(["CPU:0", "CPU:1"])


def _say(row: Row) -> None:
    print(f"epoch {row['epoch']}", flush=True)


def _work(folder: Path, settings: dict[str, Any]) -> None:
    if settings["distribution"]["strategy"] == "mirrored":
        _two_processors()
    with opened(Distribution(**settings["distribution"]), Paths(folder)) as paths:
        trained, model = None, network()
        print("open", flush=True)
        trained = train(
            model,
            (signal_examples(0, 75, 1, (6, 6, 4)), signal_examples(1, 40, 0, (6, 6, 4))),
            Phase.model_validate(settings["phase"]),
            seed=3,
            first_epoch=0,
            resume=paths.state / "resume.safetensors",
            on_epoch=_say,
        )
        figures = {"history": trained.history, "chief": current().chief}
    np.savez(folder / "weights.npz", *model.get_weights())
    (folder / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    sys.exit(exit_code_of(lambda: _work(place, json.loads(sys.argv[2]))))
