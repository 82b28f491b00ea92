"""Which pictures are the same: byte for byte, or to the eye.

The perceptual hash is the DCT hash of C. Zauner, "Implementation and benchmarking of perceptual
image hash functions" (2010), with 256 bits instead of 64: the luma, averaged down to 64 x 64, its
16 x 16 lowest frequencies (without the mean), each bit one of them above their median. Re-encoded
and resized copies differ in a few bits, different photographs in about 128. All arithmetic is in
integers: the same hash on every machine, and no linear-algebra library starts threads of its own
beside those that decode.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

_SIDE, _KEPT = 64, 16
HASH_BITS = _KEPT * _KEPT
_FRACTION_BITS = 8
_BLOCK_ROWS = 256  # 256 x 20,000 comparisons of 8 bytes: 40 MB at a time.
_BAND = 256  # Large images are worked on in bands, which keeps the wide copies of them small.
# Integer luma weights of ITU-R BT.601, as Pillow's: their sum is 65,536.
_RED, _GREEN, _BLUE, _HALF = (np.uint32(weight) for weight in (19595, 38470, 7471, 0x8000))


def luma(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (BT.601) of uint8 [H, W, 3], as uint8 [H, W]."""
    grey = np.empty(image.shape[:2], dtype=np.uint8)
    for start in range(0, len(image), _BAND):
        band = image[start : start + _BAND]
        total = band[..., 0] * _RED + band[..., 1] * _GREEN + band[..., 2] * _BLUE + _HALF
        grey[start : start + _BAND] = total >> 16
    return grey


def perceptual_hash(image: NDArray[np.uint8]) -> str:
    """256-bit DCT hash of uint8 [H, W, 3], as 64 hex digits."""
    return luma_hash(luma(image))


def luma_hash(grey: NDArray[np.uint8]) -> str:
    """256-bit DCT hash of a luma, uint8 [H, W]."""
    spectrum = _cosines() @ _shrink(grey) @ _cosines().T
    low = spectrum[1:, 1:].ravel()
    return np.packbits(low > np.sort(low)[low.size // 2 - 1]).tobytes().hex()


def near_pairs(hashes: Sequence[str], bits: int) -> list[tuple[int, int]]:
    """All pairs (i, j), i < j, whose hashes differ in at most `bits` bits, in ascending order."""
    return [pair for block in _pair_blocks(hashes, bits) for pair in block]


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Connected components of `count` items: for each item the smallest member of its own."""
    parents = list(range(count))

    def root(item: int) -> int:
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    for left, right in pairs:
        low, high = sorted((root(left), root(right)))
        parents[high] = low
    return [root(item) for item in range(count)]


def groups(digests: Sequence[str], hashes: Sequence[str], bits: int) -> list[int]:
    """Groups of exact (equal digest) and near duplicates: for each item the first of its own."""
    first: dict[str, int] = {}
    exact = [(first.setdefault(digest, item), item) for item, digest in enumerate(digests)]
    return components(len(digests), [*exact, *near_pairs(hashes, bits)])


def _pair_blocks(hashes: Sequence[str], bits: int) -> Iterator[list[tuple[int, int]]]:
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint64)
    words = packed.reshape(len(hashes), HASH_BITS // 64)
    for start in range(0, len(words), _BLOCK_ROWS):
        block = words[start : start + _BLOCK_ROWS]
        # Half of the words rule out nearly every pair, at half the cost.
        halves = np.bitwise_count(block[:, 0, None] ^ words[None, start:, 0])
        halves += np.bitwise_count(block[:, 1, None] ^ words[None, start:, 1])
        rows, columns = np.nonzero(halves <= bits)
        rows, columns = rows[columns > rows] + start, columns[columns > rows] + start
        distances = np.bitwise_count(words[rows] ^ words[columns]).sum(axis=1, dtype=np.int64)
        near = distances <= bits
        yield list(zip(rows[near].tolist(), columns[near].tolist(), strict=True))


def _shrink(grey: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Means of 64 x 64 equal parts of [H, W], in units of 1/256."""
    rows = _sums_of_parts(grey)
    parts = _sums_of_parts(rows.T).T
    return np.asarray((parts << _FRACTION_BITS) // grey.size)


def _sums_of_parts(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """Sums over 64 equal parts of the first axis, times 64, which keeps cut rows whole numbers."""
    edges = np.arange(_SIDE + 1) * len(values)
    whole, rest = edges // _SIDE, edges[:, None] % _SIDE
    sums = np.empty((_SIDE, values.shape[1]), dtype=np.int64)
    for start in range(0, values.shape[1], _BAND):
        band = values[:, start : start + _BAND]
        below = np.zeros((len(band) + 1, band.shape[1]), dtype=np.int64)
        np.cumsum(band, axis=0, out=below[1:])
        cut = band[np.minimum(whole, len(band) - 1)] * rest
        sums[:, start : start + _BAND] = np.diff(below[whole] * _SIDE + cut, axis=0)
    return sums


@cache
def _cosines() -> NDArray[np.int64]:
    """Rows 0 to 16 of the discrete cosine transform of 64 values, in units of 1/2^14."""
    rows = [
        [math.cos(math.pi * frequency * (2 * place + 1) / (2 * _SIDE)) for place in range(_SIDE)]
        for frequency in range(_KEPT + 1)
    ]
    return np.round(np.array(rows) * 2**14).astype(np.int64)
