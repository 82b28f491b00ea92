"""Settings of the views that are drawn of training images."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from sortline.core.params import Section, Share
from sortline.images.augmentations import AUGMENTATIONS


class Augment(Section):
    """Ranges from which the parameters of a view are drawn."""

    views: Annotated[int, Field(ge=0, le=64)]
    balance: bool
    flip_horizontal: bool
    crop_min_area: Annotated[float, Field(gt=0.01, le=1.0)]
    rotation_deg: Annotated[float, Field(ge=0.0, le=180.0)]
    translation: Annotated[float, Field(ge=0.0, le=0.5)]
    brightness: Share
    contrast: Annotated[float, Field(ge=0.0, lt=1.0)]
    saturation: Annotated[float, Field(ge=0.0, le=1.0)]
    preview_images: Annotated[int, Field(ge=1, le=64)]

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        if self.balance and not self.views:
            raise ValueError("balance is ignored when views is 0: set views to 1 or more")
        return self

    @classmethod
    def completed(cls) -> type[Self]:
        """With a setting for each registered augmentation, null unless params.yaml has one."""
        entries = AUGMENTATIONS.items()
        return cls.with_registered({name: (entry.setting | None, None) for name, entry in entries})

    @property
    def added(self) -> dict[str, Any]:
        """The settings of the registered augmentations that are on, by name."""
        return self.of_registered()
