"""Settings of when production has drifted."""

from typing import Annotated

from pydantic import Field, PositiveInt

from sortline.core.params import Section, Sections


class Drift(Section):
    """When the answers given in production are no longer those of the test split."""

    threshold: Annotated[float, Field(gt=0.0, le=100.0)]
    min_images: PositiveInt
    confidence_bins: Annotated[int, Field(ge=2, le=100)]
    min_new_labels: PositiveInt


class DriftParams(Sections):
    """What the drift command depends on."""

    drift: Drift
