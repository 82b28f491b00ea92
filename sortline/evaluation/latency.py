"""How long one image takes, beside a reference that takes its time on the same machine.

Milliseconds of one machine say nothing on another, or under another load. The ratio to another
network, called in turns, does: both slow down together.
"""

import os
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import tensorflow as tf

from sortline.core.files import read_verified
from sortline.model.local_model import Served, evenly_spaced

_WARM_UP_CALLS: Final = 5
_TIMED_IMAGES: Final = 16
REFERENCE: Final = (
    "keras.applications.MobileNetV2, alpha 1.0, 224 px, random weights, on a decoded image"
)

Call = Callable[[], object]


def time_in_turns(
    ours: Sequence[Call], theirs: Sequence[Call], calls: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of `calls` calls of each, one of either in turns, after a warm-up of both.

    Either's calls are made one after the other, again and again.
    """
    pairs = zip(cycle(ours), cycle(theirs), strict=True)
    for our_call, their_call in islice(pairs, _WARM_UP_CALLS):
        our_call()
        their_call()
    times = [[_milliseconds(call) for call in pair] for pair in islice(pairs, calls)]
    return [pair[0] for pair in times], [pair[1] for pair in times]


def _milliseconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000.0


def percentiles(times_ms: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile of milliseconds, to a microsecond."""
    p50, p95 = np.percentile(np.asarray(times_ms, np.float64), [50, 95])
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


def reference_call() -> Call:
    """One forward pass of the reference network (see `REFERENCE`), without decoding anything."""
    import keras

    network = keras.applications.MobileNetV2(input_shape=(224, 224, 3), alpha=1.0, weights=None)
    forward = tf.function(
        lambda image: network(image, training=False),
        input_signature=[tf.TensorSpec((1, 224, 224, 3), tf.float32)],
    )
    image = tf.random.stateless_uniform((1, 224, 224, 3), seed=(0, 0), minval=-1.0)
    return lambda: forward(image).numpy()


def cpu_model() -> str:
    """The processor's name, as the kernel or the platform gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def timed_files(rows: pd.DataFrame) -> pd.DataFrame:
    """A few files that the model can read, spread evenly over the split."""
    return evenly_spaced(rows[rows["valid"]], _TIMED_IMAGES)


def measure(model: Served, rows: pd.DataFrame, root: Path, calls: int) -> dict[str, Any]:
    """One image at a time, from raw bytes, in turns with `REFERENCE`.

    Args:
        model: the SavedModel.
        rows: path, sha256 and valid of the images; a few are called again and again.
        root: where the paths begin.
        calls: that are timed.
    """
    files = timed_files(rows)
    images = [
        read_verified(root / path, sha256)
        for path, sha256 in zip(files["path"], files["sha256"], strict=True)
    ]
    ours, reference = time_in_turns(
        [partial(model.predict_bytes, [image]) for image in images], [reference_call()], calls
    )
    return {
        **percentiles(ours),
        "ratio": round(float(np.median(ours) / np.median(reference)), 4),
        "calls": calls,
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "accelerators": [device.name for device in tf.config.list_physical_devices("GPU")],
            "tensorflow": tf.__version__,
        },
        "reference": {"name": REFERENCE, **percentiles(reference)},
    }
