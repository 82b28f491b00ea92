"""Pictures that say that they lie on their side, turned upright: one way for training and serving.

The exported graph ignores EXIF orientation, as TensorFlow does. So `sortline ingest`, `sortline
predict` and the clients turn such a picture before, by Pillow, which a client without TensorFlow
has, too. The colour mode stays what it was: its conversion is left to the decoder used everywhere.
"""

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from sortline.core.errors import ImageError
from sortline.images.header import Format, Header

if TYPE_CHECKING:
    from PIL import Image

# The names of Pillow's transpositions that undo each EXIF orientation.
_UNDONE_BY: Final = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
# PNG loses nothing. The graph drops alpha: what WebP stores under transparent pixels will be seen.
_OPTIONS: Final[dict[Format, dict[str, Any]]] = {
    "jpeg": {"quality": 95, "subsampling": "4:4:4"},
    "png": {},
    "webp": {"quality": 95, "exact": True},
}


def turned_upright(data: bytes, header: Header) -> bytes:
    """The picture upright and without the tag, encoded anew in its own format.

    JPEG and WebP lose a little by it: they are decoded and compressed once more, at quality 95.

    Args:
        data: of the file.
        header: of the same file; its orientation is not 1.

    Raises:
        ImageError: Pillow cannot decode it (reason "undecodable").
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(data), formats=[header.format.upper()]) as image:
            upright = image.transpose(Image.Transpose[_UNDONE_BY[header.orientation]])
            return _encoded(upright, header.format)
    # Pillow raises whatever a stranger's file makes its parsers trip on.
    except Exception as error:
        detail = f"its EXIF orientation is {header.orientation}, and it cannot be turned: {error}"
        raise ImageError("", "", "undecodable", detail) from error


def _encoded(image: "Image.Image", kind: Format) -> bytes:
    # Only what pixels mean goes along: no EXIF, whose orientation is no longer true.
    image.info = {key: image.info[key] for key in ("transparency",) if key in image.info}
    buffer = BytesIO()
    image.save(buffer, kind.upper(), **_OPTIONS[kind])
    return buffer.getvalue()
