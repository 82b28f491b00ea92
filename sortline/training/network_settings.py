"""Settings of the network: its backbone and its head. Keras is not imported for them."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sortline.core.params import Section, Sections, Seed
from sortline.training.backbones import BACKBONES


def _registered(name: str) -> str:
    if name not in BACKBONES:
        raise ValueError(
            f"should be one of {', '.join(BACKBONES)}; another one is a file in plugins/backbones/"
        )
    return name


class Backbone(Section):
    """The pretrained part of the network, and the size of the images it sees."""

    architecture: Annotated[str, AfterValidator(_registered)]
    alpha: Annotated[float, Field(gt=0.0, le=2.0)]
    image_size_px: Annotated[int, Field(ge=8, le=1024)]
    weights: Annotated[str, Field(min_length=1)] | None

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        if self.alpha != 1.0 and not BACKBONES[self.architecture].has_widths:
            raise ValueError(f"alpha is ignored by {self.architecture}: set it to 1.0")
        return self


class Head(Section):
    """What turns features into logits: one a class, or a single one for two classes."""

    pooling: Literal["average", "max", "flatten"]
    batchnorm: bool
    hidden_units: Annotated[int, Field(ge=0, le=65536)]
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    activation: Literal["softmax", "sigmoid"]


class NetworkParams(Sections):
    """What decides which network is built, with which random weights."""

    seed: Seed
    backbone: Backbone
    head: Head
