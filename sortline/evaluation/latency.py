"""How long one image takes, beside a reference that takes its time on the same machine.

Milliseconds of one machine say nothing on another, or under another load. The ratio to a fixed
network, called in turns with the model, does: both slow down together.
"""

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sortline.model.local_model import Served

_WARM_UP_CALLS = 5
REFERENCE = "keras.applications.MobileNetV2, alpha 1.0, 224 px, random weights, on a decoded image"

Call = Callable[[], object]


def _milliseconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000.0


def time_in_turns(model: Call, reference: Call, calls: int) -> tuple[list[float], list[float]]:
    """Milliseconds of `calls` calls of each, one after the other, after a warm-up of both."""
    for _ in range(_WARM_UP_CALLS):
        model()
        reference()
    pairs = [(_milliseconds(model), _milliseconds(reference)) for _ in range(calls)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def percentiles(times_ms: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile of milliseconds, to a microsecond."""
    p50, p95 = np.percentile(np.asarray(times_ms, np.float64), [50, 95])
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


def reference_call() -> Call:
    """One forward pass of the reference network (see `REFERENCE`), without decoding anything."""
    import keras
    import tensorflow as tf

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


def _machine() -> dict[str, Any]:
    import tensorflow as tf

    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "accelerators": [device.name for device in tf.config.list_physical_devices("GPU")],
        "tensorflow": tf.__version__,
    }


def measure(model: Served, images: Sequence[bytes], calls: int) -> dict[str, Any]:
    """What latency.json holds: one image at a time, from raw bytes, in turns with `REFERENCE`.

    The calls go through `images` (any number of files) again and again.
    """
    turn = iter(range(calls + _WARM_UP_CALLS))
    ours, reference = time_in_turns(
        lambda: model.predict_bytes([images[next(turn) % len(images)]]), reference_call(), calls
    )
    ratio = float(np.median(ours) / np.median(reference))
    return {
        **percentiles(ours),
        "ratio": round(ratio, 4),
        "calls": calls,
        "machine": _machine(),
        "reference": {"name": REFERENCE, **percentiles(reference)},
    }
