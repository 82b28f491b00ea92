"""Settings of what a dataset has to be like."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from sortline.core.params import Section, Sections, Seed, Share
from sortline.images.settings import Images

Severity = Literal["error", "warning"]
Mode = Literal[
    "1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCCK", "I;16", "LA;16", "RGB;16", "RGBA;16"
]


class Severities(Section):
    """What happens when an expectation is not met."""

    counts: Severity
    classes: Severity
    min_images: Severity
    leakage: Severity
    two_labels: Severity
    size: Severity
    mode: Severity
    near_duplicates: Severity
    class_drift: Severity
    brightness: Severity
    sharpness: Severity


class Counts(Section):
    """Exact number of images a split."""

    train: PositiveInt
    val: PositiveInt
    test: PositiveInt


class Validate(Section):
    """Expectations on the manifest."""

    expected_counts: Counts | None
    min_images_per_class: PositiveInt
    min_side_px: PositiveInt
    max_side_px: PositiveInt
    modes: list[Mode]
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)]
    max_near_duplicate_share: Share
    max_class_drift: Share
    outlier_sigmas: Annotated[float, Field(gt=0)]
    max_outlier_share: Share
    severity: Severities


class ValidateParams(Sections):
    """What decides which images a dataset may have."""

    images: Images
    validate_: Validate = Field(alias="validate")  # BaseModel has a method of that name.


class IngestParams(ValidateParams):
    """What an ingest depends on."""

    seed: Seed
