"""TFRecord files, without TensorFlow.

A record is its length (8 bytes), the length's masked CRC-32C, the data, the data's masked CRC-32C,
all little-endian:
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

import google_crc32c

_MASK_DELTA: Final = 0xA282EAD8
_ALL_BITS: Final = 0xFFFFFFFF
_LENGTH_BYTES: Final = 8
_CRC_BYTES: Final = 4


def _masked_crc(data: bytes) -> bytes:
    value = google_crc32c.value(data)
    rotated = ((value >> 15) | (value << 17)) & _ALL_BITS
    return struct.pack("<I", (rotated + _MASK_DELTA) & _ALL_BITS)


def write_records(records: Iterable[bytes]) -> bytes:
    """A whole file of records."""
    parts = []
    for record in records:
        length = struct.pack("<Q", len(record))
        parts += [length, _masked_crc(length), record, _masked_crc(record)]
    return b"".join(parts)


def read_records(data: bytes) -> Iterator[bytes]:
    """The records of a file, in their order.

    Raises:
        ValueError: it is cut off, or a checksum is wrong.
    """
    at, head = 0, _LENGTH_BYTES + _CRC_BYTES
    while at < len(data):
        length = data[at : at + _LENGTH_BYTES]
        if (
            len(length) < _LENGTH_BYTES
            or _masked_crc(length) != data[at + _LENGTH_BYTES : at + head]
        ):
            raise ValueError(f"the record at byte {at} has a damaged length")
        end = at + head + struct.unpack("<Q", length)[0]
        record = data[at + head : end]
        if _masked_crc(record) != data[end : end + _CRC_BYTES]:
            raise ValueError(f"the record at byte {at} is cut off or damaged")
        yield record
        at = end + _CRC_BYTES
