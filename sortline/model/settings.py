"""Settings of what is exported."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sortline.core.params import Section

LiteRt = Literal["float32", "int8"]


class Export(Section):
    """What is folded into the SavedModel, and how much of it is proved."""

    temperature: Literal["fit"] | Annotated[float, Field(gt=0.01, le=100.0)]
    threshold: Literal["fit"] | Annotated[float, Field(gt=0.0, lt=1.0)]
    parity_images: Annotated[int, Field(ge=1, le=4096)]
    litert: list[LiteRt]
    litert_images: Annotated[int, Field(ge=1, le=4096)]

    @model_validator(mode="after")
    def _refuse_doubles(self) -> Self:
        if len(set(self.litert)) < len(self.litert):
            raise ValueError("litert names a file twice: name each of float32 and int8 once")
        return self


def refuse_idle_threshold(activation: str, export: Export) -> None:
    """Raise ValueError where a threshold is set for a network that has none."""
    if activation == "softmax" and export.threshold != 0.5:
        raise ValueError("export.threshold is of head.activation sigmoid: set it to 0.5")
