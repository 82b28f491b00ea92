"""Pixels in the place of features: for a network that trains, or moves its BatchNorm, from below.

They are decoded again for each epoch, a few batches ahead of the network, and never kept: memory
stays small and no disk fills. bench/pixel_rows.py prints what keeping them as uint8 would save.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sortline.core.files import read_verified
from sortline.images.pixels import pixel_batches
from sortline.training.features import Views

Array = npt.NDArray[Any]


class PixelRows:
    """The rows of a split as float32 [S, S, 3] in 0..255, the very pixels that the export decodes.

    Args:
        views: files, and the view that is drawn of each.
        size_px: side of the square, S.

    Raises:
        DataError: a file is not the one that was listed.
    """

    def __init__(self, views: Views, size_px: int) -> None:
        for file, sha256 in dict.fromkeys(zip(views.files, views.sha256, strict=True)):
            read_verified(file, sha256)
        self.views, self.size_px = views, size_px

    def batches(self, rows: Array, batch_size: int) -> Iterator[Array]:
        """Float32 [n, S, S, 3] in the order of `rows`, which are indices [R]."""
        files = [self.views.files[row] for row in rows]
        vectors = np.asarray(self.views.vectors[rows])
        yield from pixel_batches(files, vectors, self.size_px, batch_size, self.views.added)
