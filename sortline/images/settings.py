"""Settings of what counts as an image, everywhere."""

from typing import Annotated

from pydantic import Field

from sortline.core.params import Section


class Images(Section):
    """What counts as an image, everywhere."""

    max_pixels: Annotated[int, Field(ge=1024, le=1_000_000_000)]
