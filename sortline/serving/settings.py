"""Settings of how a server is tried on the exported model."""

from typing import Annotated

from pydantic import Field, PositiveInt

from sortline.core.params import Section, Share


class InfraValidate(Section):
    """How a server is tried on the exported model."""

    images: PositiveInt
    timeout_s: Annotated[float, Field(gt=0.0, le=86400.0)]
    tolerance: Share
    warmup_records: Annotated[int, Field(ge=0, le=1000)]
