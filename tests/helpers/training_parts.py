"""Examples with a weak signal, from which a training of a few epochs learns something."""

from pathlib import Path

import numpy as np

from sortline.training.batches import Examples, one_hot
from sortline.training.features import Views


def signal_examples(
    seed: int, images: int, extra_views: int, shape: tuple[int, ...] = (8,)
) -> Examples:
    """Images of three classes, `extra_views` of each besides itself, features of a shape."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=images)
    count = np.full(images, 1 + extra_views)
    rows = int(count.sum())
    views = Views(
        files=[Path("x")] * rows,
        sha256=["0"] * rows,
        vectors=np.zeros((rows, 1), "float32"),
        labels=labels,
        first=np.arange(images) * (1 + extra_views),
        count=count,
    )
    # Weak signal, so that the best epoch comes early and the rate is reduced.
    signal = 0.5 * np.repeat(labels, 1 + extra_views)
    features = rng.normal(size=(rows, *shape)) + signal.reshape(rows, *[1] * len(shape))
    return Examples(features.astype("float16"), views, one_hot(labels, 3))
